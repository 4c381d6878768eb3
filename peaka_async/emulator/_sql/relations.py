"""The tables and queries behind the names of a statement, and the number of their rows that a read sees."""

from __future__ import annotations

from typing import final

import attrs

from peaka_async.emulator._operation import failed
from peaka_async.emulator._state import QUERY_CATALOG, Catalog, ProjectRecord, SavedQuery, Table

READ_CAP = 100
"""The largest number of rows in a read of an uncached table of an API connector."""


@final
@attrs.frozen
class Relation:
    """A named table, and the number of its rows that a read sees; None sets no limit."""

    catalog: str
    schema: str
    table: Table
    limit: int | None = None


@final
@attrs.frozen
class QueryRelation:
    """A named saved query; `stored` selects its stored result."""

    schema: str
    query: SavedQuery
    stored: bool


def find(project: ProjectRecord, catalog: str, schema: str, name: str) -> Relation | QueryRelation:
    """Find the table or query with the name `"catalog"."schema"."name"`.

    Raises:
        Refusal: it does not exist; the message says which part of the name is unknown.
    """
    catalogs = [each for each in project.catalogs.values() if each.name == catalog]
    if not catalogs:
        raise failed(f"line 1:15: Catalog '{catalog}' does not exist")
    having = [each for each in catalogs if schema in schemas_of(each)]
    if not having:
        raise failed(f"line 1:15: Schema '{schema}' does not exist")
    if having[0].id == QUERY_CATALOG:
        query = next((each for each in project.queries.values() if each.name == name), None)
        stored = schema == "mtquery"
        if query is not None and stored <= (query.type == "MATERIALIZED"):
            return QueryRelation(schema, query, stored)
    else:
        table = table_of(having[0], schema, name)
        if table is not None:
            return Relation(catalog, schema, table, rows_seen(project, having[0], schema, table))
    query_table = _semantic(project, having[0], schema, name)
    if query_table is not None:
        return query_table
    raise failed(f"line 1:15: Table '{catalog}.{schema}.{name}' does not exist")


def schemas_of(catalog: Catalog) -> list[str]:
    """The names of a catalog's schemas, including those of its parametric and semantic tables."""
    more = [each.to_schema for each in catalog.parametric] + [each["schema"] for each in catalog.semantic.values()]
    return list(dict.fromkeys([*catalog.schemas, *more]))


def table_of(catalog: Catalog, schema: str, name: str) -> Table | None:
    """A table of a catalog; for a parametric table, the table that it is made from."""
    for each in catalog.parametric:
        if (each.to_schema, each.to_table) == (schema, name):
            schema, name = each.from_schema, each.from_table
    return catalog.schemas.get(schema, {}).get(name)


def rows_seen(project: ProjectRecord, catalog: Catalog, schema: str, table: Table) -> int | None:
    """The number of rows that a read sees: 100 for an uncached API table, the synced rows for a cached table."""
    for cache in project.caches.values():
        if (cache.catalog_id, cache.schema, cache.table) == (catalog.id, schema, table.name) and not cache.deleting:
            return cache.rows if cache.filled else 0
    present = table.count if table.rows is None and table.most > table.count else None
    if catalog.capped and table.cache_types:
        return READ_CAP if present is None else min(READ_CAP, present)
    return present


def _semantic(project: ProjectRecord, catalog: Catalog, schema: str, name: str) -> QueryRelation | None:
    for each in catalog.semantic.values():
        if (each["schema"], each["table"]) == (schema, name) and each["query"] in project.queries:
            return QueryRelation(schema, project.queries[each["query"]], stored=False)
    return None
