"""Queries: saved SQL, plain or materialized, and its execution."""

from __future__ import annotations

import enum

import attrs

from peaka_async.errors import ConfigurationError
from peaka_async.models._model import Model

__all__ = [
    "ExecutableQuery",
    "MaterializedQuerySchedule",
    "MaterializedQueryScheduleType",
    "Query",
    "QueryExecuteRequest",
    "QueryExecuteRequestId",
    "QueryExecuteRequestName",
    "QueryExecuteRequestStatement",
    "QueryPathUpdateRequest",
    "QueryRequest",
    "QueryType",
    "ResultFormat",
    "TableForQuery",
]


class QueryType(enum.StrEnum):
    """Whether a query's result is computed at each read, or stored."""

    PLAIN = "PLAIN"
    MATERIALIZED = "MATERIALIZED"


class MaterializedQueryScheduleType(enum.StrEnum):
    """The kind of schedule of a materialized query."""

    INTERVAL = "interval"
    CRON = "cron"
    NONE = "none"


class ResultFormat(enum.StrEnum):
    """The form in which the service sends a result."""

    CELL_TYPED = "CELL_TYPED"
    """Each cell with its column's name and type."""

    SIMPLE = "SIMPLE"
    """Each row as an object, without types. If several columns have the same name, only one of them is in it."""

    COMPACT = "COMPACT"
    """Each row as a list of values, without types. The smallest form."""


@attrs.frozen(kw_only=True)
class MaterializedQuerySchedule(Model):
    """The schedule of a materialized query's refreshes.

    An `interval` needs `repeat_duration`, an ISO 8601 duration such as `PT6H`. A `cron` needs `cron_expression`, with
    five fields as in Unix, and can have a `timezone`, an IANA name.
    """

    type: MaterializedQueryScheduleType | str | None = None
    cron_expression: str | None = None
    repeat_duration: str | None = None
    timezone: str | None = None


@attrs.frozen(kw_only=True)
class QueryRequest(Model):
    """A query to create, or the changes to a query.

    The SQL of a materialized query is `input_query`, or a copy of the SQL of the query with the id
    `input_query_ref_id`. `path` is the folder, such as `/reports/monthly`; missing folders are created.
    """

    display_name: str | None = None
    input_query: str | None = None
    query_type: QueryType | str | None = None
    schedule: MaterializedQuerySchedule | None = None
    input_query_ref_id: str | None = None
    path: str | None = None


@attrs.frozen
class Query(Model):
    """A saved query.

    `name` is its name in SQL: `"peaka"."query"."<name>"`, or `"peaka"."mtquery"."<name>"` for the stored result of a
    materialized query.
    """

    id: str | None = None
    display_name: str | None = None
    name: str | None = None
    input_query: str | None = None
    query_type: QueryType | str | None = None
    schedule: MaterializedQuerySchedule | None = None
    path: str | None = None
    folder_id: str | None = None


@attrs.frozen
class QueryPathUpdateRequest(Model):
    """A folder path such as `/reports/monthly`."""

    path: str | None = None


def _check_id(_: object, __: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        msg = f"QueryExecuteRequestId: the id must be a string, not {type(value).__name__}. Nothing was sent."
        raise ConfigurationError(msg)


@attrs.frozen(kw_only=True)
class TableForQuery(Model):
    """A table to read from, by its names in SQL."""

    catalog_id: str | None = None
    catalog_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None


@attrs.frozen(kw_only=True)
class QueryExecuteRequest(Model):
    """A query that is built from its parts.

    Without `columns` it reads all columns. An entry of `order_by` is a column name, optionally followed by ` ASC` or
    ` DESC`. `filters` has the service's form: `{"and": [[{"column": {…}}, ">", [150]]]}`. `timeout` is the time in
    seconds that the service may spend.
    """

    columns: list[str] | None = None
    from_: list[TableForQuery] = attrs.field(metadata={"json": "from"})
    limit: int | None = None
    offset: int | None = None
    order_by: list[str] | None = None
    filters: dict[str, object] | None = None
    timeout: int | None = None


@attrs.frozen
class QueryExecuteRequestId(Model):
    """A saved query, by its id. `timeout` is the time in seconds that the service may spend.

    Raises:
        ConfigurationError: the id is not a string. The service refuses a number.
    """

    id: str = attrs.field(validator=_check_id)
    timeout: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class QueryExecuteRequestName(Model):
    """A saved query or a table, by its name in SQL: `peaka.query.samplequery`, `stripe.payment.charges`.

    `timeout` is the time in seconds that the service may spend.
    """

    qualified_name: str
    timeout: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class QueryExecuteRequestStatement(Model):
    """A read-only statement in Trino's SQL, in which `OFFSET` comes before `LIMIT`.

    `bindings` are the values of its parameters. `timeout` is the time in seconds that the service may spend.
    """

    statement: str
    bindings: list[str] | None = attrs.field(default=None, kw_only=True)
    timeout: int | None = attrs.field(default=None, kw_only=True)


ExecutableQuery = QueryExecuteRequest | QueryExecuteRequestId | QueryExecuteRequestName | QueryExecuteRequestStatement
"""The queries that `queries.execute` accepts."""
