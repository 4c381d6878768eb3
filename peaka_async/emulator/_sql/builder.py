"""The statement for a request that gives a query by its parts."""

from __future__ import annotations

from typing import cast

from sqlglot import exp

from peaka_async.emulator._operation import objects, optional_number, texts, wrong_request
from peaka_async.emulator._state import ProjectRecord

_COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    "<>": exp.NEQ,
    ">": exp.GT,
    ">=": exp.GTE,
    "<": exp.LT,
    "<=": exp.LTE,
    "like": exp.Like,
}
_PARTS = 3


def statement_of(project: ProjectRecord, body: dict[str, object]) -> str:
    """Build the statement in Trino's SQL.

    Raises:
        Refusal: a part has the wrong form.
    """
    tables = objects(body, "from")
    if not tables:
        raise wrong_request("'from' is empty")
    columns = texts(body, "columns")
    query = exp.select(*(_column(name) for name in columns) if columns else [exp.Star()])
    for index, table in enumerate(tables):
        source = _table(project, table)
        query = query.from_(source) if index == 0 else query.join(source, join_type="cross")
    filters = body.get("filters")
    if filters is not None:
        query = query.where(_condition(filters))
    for entry in texts(body, "orderBy"):
        query = query.order_by(_ordered(entry))
    offset, limit = optional_number(body, "offset"), optional_number(body, "limit")
    if offset:
        query = query.offset(offset)
    if limit is not None:
        query = query.limit(limit)
    return query.sql("trino")


def _table(project: ProjectRecord, table: dict[str, object]) -> exp.Table:
    catalog = table.get("catalogName")
    if catalog is None:
        known = project.catalogs.get(str(table.get("catalogId")))
        catalog = known.name if known is not None else table.get("catalogId")
    names = (catalog, table.get("schemaName"), table.get("tableName"))
    if not all(isinstance(name, str) and name for name in names):
        raise wrong_request("A table in 'from' needs catalogName or catalogId, schemaName and tableName")
    catalog_name, schema, name = (exp.to_identifier(str(each), quoted=True) for each in names)
    return exp.Table(this=name, db=schema, catalog=catalog_name)


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))


def _ordered(entry: str) -> exp.Ordered:
    name, _, direction = entry.strip().rpartition(" ")
    if direction.upper() not in {"ASC", "DESC"} or not name:
        name, direction = entry.strip(), "ASC"
    return exp.Ordered(this=_column(name.strip().strip('"')), desc=direction.upper() == "DESC", nulls_first=False)


def _condition(filters: object) -> exp.Expr:
    """Conditions that are joined by `and` or `or`; each has a column, an operator and values."""
    if (
        isinstance(filters, list)
        and len(filters) >= _PARTS - 1
        and isinstance(filters[0], dict)
        and "column" in filters[0]
    ):
        return _comparison(filters)
    if isinstance(filters, dict) and len(filters) == 1:
        (word, members), *_ = filters.items()
        if word in {"and", "or"} and isinstance(members, list) and members:
            conditions = [_condition(each) for each in members]
            return exp.and_(*conditions) if word == "and" else exp.or_(*conditions)
    raise wrong_request('\'filters\' is not of the form {"and": [[{"column": …}, operator, [values]]]}')


def _comparison(parts: list[object]) -> exp.Expr:
    named = cast("dict[str, dict[str, object]]", parts[0])["column"]
    column = _column(str(named.get("columnName")))
    operator = str(parts[1]).lower()
    values = parts[2] if len(parts) >= _PARTS else []
    literals = [_literal(each) for each in (values if isinstance(values, list) else [values])]
    if operator in {"is null", "is not null"}:
        null = exp.Is(this=column, expression=exp.Null())
        return exp.Not(this=null) if operator == "is not null" else null
    if operator in {"in", "not in"}:
        chosen = exp.In(this=column, expressions=literals)
        return exp.Not(this=chosen) if operator == "not in" else chosen
    if operator not in _COMPARISONS or len(literals) != 1:
        raise wrong_request(f"Unknown operator '{operator}', or not one value for it")
    return _COMPARISONS[operator](this=column, expression=literals[0])


def _literal(value: object) -> exp.Expr:
    if isinstance(value, bool | str | int | float) or value is None:
        return exp.convert(value)
    raise wrong_request("A value in 'filters' is a text, a number or a boolean")
