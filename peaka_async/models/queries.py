"""Queries: saved SQL, plain or materialized, and what to execute."""

from __future__ import annotations

import enum

import attrs

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
    """Whether a query's result is computed when it is read, or stored."""

    PLAIN = "PLAIN"
    MATERIALIZED = "MATERIALIZED"


class MaterializedQueryScheduleType(enum.StrEnum):
    """How the refreshes of a materialized query are timed."""

    INTERVAL = "interval"
    CRON = "cron"
    NONE = "none"


class ResultFormat(enum.StrEnum):
    """The form in which the service sends a result."""

    CELL_TYPED = "CELL_TYPED"
    """Each cell with its column's name and type."""

    SIMPLE = "SIMPLE"
    """Each row as an object: of columns with the same name only one survives, and the types are lost."""

    COMPACT = "COMPACT"
    """Each row as a list of values: the smallest, without types."""


@attrs.frozen(kw_only=True)
class MaterializedQuerySchedule:
    """When a materialized query is refreshed.

    An `interval` takes `repeat_duration`, an ISO 8601 duration such as `PT6H`. A `cron` takes `cron_expression`, five
    fields as in Unix, and optionally `timezone`, an IANA name.
    """

    type: MaterializedQueryScheduleType | str | None = None
    cron_expression: str | None = None
    repeat_duration: str | None = None
    timezone: str | None = None


@attrs.frozen(kw_only=True)
class QueryRequest:
    """A query to create, or what to change of one.

    A materialized query takes its SQL from `input_query`, or as a snapshot from the query that `input_query_ref_id`
    names. `path` is the folder, such as `/reports/monthly`; missing folders are made.
    """

    display_name: str | None = None
    input_query: str | None = None
    query_type: QueryType | str | None = None
    schedule: MaterializedQuerySchedule | None = None
    input_query_ref_id: str | None = None
    path: str | None = None


@attrs.frozen
class Query:
    """A saved query.

    `name` is its name in SQL: `"peaka"."query"."<name>"`, or `"peaka"."mtquery"."<name>"` for the stored result of
    a materialized one.
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
class QueryPathUpdateRequest:
    """A folder path such as `/reports/monthly`."""

    path: str | None = None


@attrs.frozen(kw_only=True)
class TableForQuery:
    """A table to read from, by its names in SQL."""

    catalog_id: str | None = None
    catalog_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None


@attrs.frozen(kw_only=True)
class QueryExecuteRequest:
    """A query put together of its parts.

    Without `columns` it reads all. An entry of `order_by` is a column name, with ` ASC` or ` DESC` after it if wanted.
    `filters` is the service's own form, `{"and": [[{"column": {…}}, ">", [150]]]}`. `timeout` is how many seconds the
    service may spend.
    """

    columns: list[str] | None = None
    from_: list[TableForQuery] = attrs.field(metadata={"json": "from"})
    limit: int | None = None
    offset: int | None = None
    order_by: list[str] | None = None
    filters: dict[str, object] | None = None
    timeout: int | None = None


@attrs.frozen
class QueryExecuteRequestId:
    """A saved query, by its id. `timeout` is how many seconds the service may spend."""

    id: str
    timeout: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class QueryExecuteRequestName:
    """A saved query or a table, by its name in SQL: `peaka.query.samplequery`, `stripe.payment.charges`.

    `timeout` is how many seconds the service may spend.
    """

    qualified_name: str
    timeout: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class QueryExecuteRequestStatement:
    """A statement in Trino's SQL, which only reads; `OFFSET` stands before `LIMIT`.

    `bindings` are the values of its parameters. `timeout` is how many seconds the service may spend.
    """

    statement: str
    bindings: list[str] | None = attrs.field(default=None, kw_only=True)
    timeout: int | None = attrs.field(default=None, kw_only=True)


ExecutableQuery = QueryExecuteRequest | QueryExecuteRequestId | QueryExecuteRequestName | QueryExecuteRequestStatement
"""What `queries.execute` takes."""
