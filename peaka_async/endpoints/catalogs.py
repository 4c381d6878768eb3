"""Catalogs: the data sources of a project, with their schemas, tables and columns."""

from __future__ import annotations

from types import NoneType

import attrs

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.endpoints._paging import Pages, ResultPage, made_token, read_offset
from peaka_async.models.catalogs import (
    Catalog,
    CatalogRequest,
    CatalogSchemaTable,
    CatalogShareRequestV2,
    Schema,
    SearchRequest,
    SearchResult,
    SharedCatalogResponse,
    TableCacheResult,
    TableStatistics,
)
from peaka_async.models.internal_tables import ColumnDetail, Table


class Catalogs(Group):
    """The catalogs of a project, and search in them."""

    async def list(self, project_id: str) -> List[Catalog]:
        """List the project's catalogs, including the built-in ones.

        [API page](https://docs.peaka.com/api-reference/catalogs/list-catalogs)
        """
        return await self._send(
            Request(
                "catalogs.list",
                "GET",
                "/data/projects/{project_id}/catalogs",
                path={"project_id": project_id},
                returns=list[Catalog],
                safety=Safety.SAFE,
            )
        )

    async def create(self, project_id: str, catalog: CatalogRequest) -> Catalog:
        """Create a catalog on a connection.

        [API page](https://docs.peaka.com/api-reference/catalogs/create-catalog)

        Raises:
            BadRequestError: the name is taken, or the connection does not work.
        """
        return await self._send(
            Request(
                "catalogs.create",
                "POST",
                "/data/projects/{project_id}/catalogs",
                path={"project_id": project_id},
                body=catalog,
                returns=Catalog,
                safety=Safety.ONCE,
            )
        )

    async def get(self, project_id: str, catalog_id: str) -> Catalog:
        """Get a catalog.

        [API page](https://docs.peaka.com/api-reference/catalogs/read-catalog)

        Raises:
            NotFoundError: there is no such catalog.
        """
        return await self._send(
            Request(
                "catalogs.get",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=Catalog,
                safety=Safety.SAFE,
            )
        )

    async def delete(self, project_id: str, catalog_id: str) -> None:
        """Delete a catalog. Its connection stays.

        [API page](https://docs.peaka.com/api-reference/catalogs/delete-catalog)
        """
        return await self._send(
            Request(
                "catalogs.delete",
                "DELETE",
                "/data/projects/{project_id}/catalogs/{catalog_id}",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def list_schemas(self, project_id: str, catalog_id: str) -> List[Schema]:
        """List the schemas of a catalog.

        [API page](https://docs.peaka.com/api-reference/catalogs/list-schemas)

        Raises:
            NotFoundError: there is no such catalog.
        """
        return await self._send(
            Request(
                "catalogs.list_schemas",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}/schemas",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=list[Schema],
                safety=Safety.SAFE,
            )
        )

    async def list_tables(self, project_id: str, catalog_id: str, schema_name: str) -> List[Table]:
        """List the tables of a schema.

        [API page](https://docs.peaka.com/api-reference/catalogs/list-tables)
        """
        return await self._send(
            Request(
                "catalogs.list_tables",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}/schemas/{schema_name}/tables",
                path={"project_id": project_id, "catalog_id": catalog_id, "schema_name": schema_name},
                returns=list[Table],
                safety=Safety.SAFE,
            )
        )

    async def list_columns(
        self, project_id: str, catalog_id: str, schema_name: str, table_name: str
    ) -> List[ColumnDetail]:
        """List the columns of a table.

        [API page](https://docs.peaka.com/api-reference/catalogs/list-columns)
        """
        return await self._send(
            Request(
                "catalogs.list_columns",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}/schemas/{schema_name}/tables/{table_name}/columns",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                },
                returns=list[ColumnDetail],
                safety=Safety.SAFE,
            )
        )

    async def is_cached(self, project_id: str, catalog_id: str, schema_name: str, table_name: str) -> TableCacheResult:
        """Get whether a table is cached, and how it can be cached.

        [API page](https://docs.peaka.com/api-reference/catalogs/table-is-cached)
        """
        return await self._send(
            Request(
                "catalogs.is_cached",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}/schemas/{schema_name}/tables/{table_name}/isCached",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                },
                returns=TableCacheResult,
                safety=Safety.SAFE,
            )
        )

    async def read_is_capped(self, project_id: str, catalog_id: str, schema_name: str, table_name: str) -> bool | None:
        """Get whether reads of a table silently stop at 100 rows; None if the service does not say.

        Tables of API connectors, such as Stripe's, have this limit while they are not cached. It affects queries,
        joins, exports and materialized queries. Cache the table to remove it, for example with `cache.run_create`.
        """
        found = await self.is_cached(project_id, catalog_id, schema_name, table_name)
        if found.is_cacheable is None or found.is_cached is None:
            return None
        return found.is_cacheable and not found.is_cached

    async def get_table_statistics(
        self, project_id: str, catalog_id: str, schema_name: str, table_name: str
    ) -> TableStatistics:
        """Get the query planner's estimates for a table.

        [API page](https://docs.peaka.com/api-reference/catalogs/table-statistics)

        Raises:
            BadRequestError: the catalog has no statistics; only PostgreSQL catalogs have them.
        """
        return await self._send(
            Request(
                "catalogs.get_table_statistics",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}/schemas/{schema_name}/tables/{table_name}/statistics",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                },
                returns=TableStatistics,
                safety=Safety.SAFE,
            )
        )

    async def share(self, project_id: str, catalog_id: str, share: CatalogShareRequestV2) -> SharedCatalogResponse:
        """Give another project read access to a catalog.

        [API page](https://docs.peaka.com/api-reference/catalogs/share-catalog)
        """
        return await self._send(
            Request(
                "catalogs.share",
                "POST",
                "/data/projects/{project_id}/catalogs/{catalog_id}/share",
                path={"project_id": project_id, "catalog_id": catalog_id},
                body=share,
                returns=SharedCatalogResponse,
                safety=Safety.ONCE,
            )
        )

    async def search(self, project_id: str, search: SearchRequest) -> SearchResult:
        """Search catalogs, schemas and tables by name, and return one page of matches.

        [API page](https://docs.peaka.com/api-reference/catalogs/search)
        """
        return await self._send(
            Request(
                "catalogs.search",
                "POST",
                "/data/projects/{project_id}/search",
                path={"project_id": project_id},
                body=search,
                returns=SearchResult,
                safety=Safety.SAFE,
            )
        )

    def search_pages(
        self, project_id: str, search: SearchRequest, *, resume_token: str | None = None
    ) -> Pages[CatalogSchemaTable]:
        """Search catalogs, schemas and tables by name, and give all matches, fetched a page at a time.

        `search.limit` is the size of a page (100 by default). `resume_token` continues an earlier search.
        """

        async def fetch(token: str | None) -> ResultPage[CatalogSchemaTable]:
            at = read_offset("search", token) if token else search.offset
            found = await self.search(project_id, attrs.evolve(search, offset=at))
            following = found.next_offset
            return ResultPage(found.matches, None if following is None else made_token("search", following))

        return Pages(fetch, resume_token=resume_token)
