"""Catalogs: the data sources of a project, with their schemas, tables and columns."""

from __future__ import annotations

import attrs

from peaka_async.models._model import Model

__all__ = [
    "Catalog",
    "CatalogRequest",
    "CatalogSchemaTable",
    "CatalogShareRequestV2",
    "ColumnStatistics",
    "Meta",
    "Page",
    "Schema",
    "SearchRequest",
    "SearchResult",
    "SearchText",
    "SharedCatalogResponse",
    "TableCacheResult",
    "TableStatistics",
]


@attrs.frozen
class CatalogRequest(Model):
    """A catalog to create on a connection.

    `extra_parameters` are needed by some connectors: Google Sheets takes the `sheets` to include.
    """

    name: str | None = None
    connection_id: str | None = None
    extra_parameters: dict[str, object] | None = None


@attrs.frozen
class Catalog(Model):
    """A data source of a project.

    `name` is the catalog's name in SQL. Semantic catalogs and the built-in catalogs have no connection. The built-in
    ones are `internal` (Peaka Tables and BI Tables) and `query` (saved queries).
    """

    id: str | None = None
    name: str | None = None
    display_name: str | None = None
    catalog_type: str | None = None
    connection_id: str | None = None


@attrs.frozen
class CatalogShareRequestV2(Model):
    """The project that gets read access to a catalog."""

    target_project_id: str | None = None


@attrs.frozen
class SharedCatalogResponse(Model):
    """The id that a shared catalog has in the other project."""

    shared_catalog_id: str | None = None


@attrs.frozen
class Schema(Model):
    """A schema of a catalog: a group of tables."""

    catalog_id: str | None = None
    catalog_name: str | None = None
    schema_name: str | None = None


@attrs.frozen
class TableCacheResult(Model):
    """Whether a table is cached, and how it can be cached.

    `supported_cache_types` holds `FULL_REFRESH`, `INCREMENTAL` or both; it is empty if the table cannot be cached.
    It and `is_cacheable` are None if the service could not find out.
    """

    supported_cache_types: list[str] | None = None
    is_cached: bool | None = None
    is_cacheable: bool | None = None


@attrs.frozen
class ColumnStatistics(Model):
    """An estimate for the query planner.

    `distinct_fraction` has the meaning of PostgreSQL's `n_distinct`. A negative value is minus the fraction of rows
    that are distinct; other values are the number of distinct values.
    """

    column_name: str | None = None
    distinct_fraction: float | None = None


@attrs.frozen
class TableStatistics(Model):
    """The estimates for a table's columns."""

    catalog_id: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    column_statistics: list[ColumnStatistics] | None = None


@attrs.frozen(kw_only=True)
class SearchRequest(Model):
    """A search for names that contain a text, in upper or lower case.

    `catalog` is a catalog's name in SQL. `schema` without `catalog` searches the schemas of that name in all catalogs.
    By default the service returns 100 results from offset 0.
    """

    catalog: str | None = None
    schema: str | None = None
    query: str | None = None
    limit: int | None = None
    offset: int | None = None


@attrs.frozen
class CatalogSchemaTable(Model):
    """A match: a catalog, a schema if `schema` is set, or a table if `table` is set too."""

    catalog: str | None = None
    schema: str | None = None
    table: str | None = None


@attrs.frozen
class Page(Model):
    """The position of a page in all results. `next_offset` is None on the last page."""

    limit: int | None = None
    offset: int | None = None
    next_offset: int | None = None


@attrs.frozen
class SearchText(Model):
    """The text that was searched for."""

    text: str | None = None


@attrs.frozen
class Meta(Model):
    """The search and the page that the results belong to."""

    page: Page | None = None
    query: SearchText | None = None


@attrs.frozen
class SearchResult(Model):
    """One page of matches. A group without matches is None or empty."""

    matched_catalogs: list[CatalogSchemaTable] | None = None
    matched_schemas: list[CatalogSchemaTable] | None = None
    matched_tables: list[CatalogSchemaTable] | None = None
    meta: Meta | None = None

    @property
    def matches(self) -> tuple[CatalogSchemaTable, ...]:
        """All matches of the page: catalogs, then schemas, then tables."""
        return (*(self.matched_catalogs or ()), *(self.matched_schemas or ()), *(self.matched_tables or ()))

    @property
    def next_offset(self) -> int | None:
        """The offset of the next page; None on the last page."""
        return None if self.meta is None or self.meta.page is None else self.meta.page.next_offset
