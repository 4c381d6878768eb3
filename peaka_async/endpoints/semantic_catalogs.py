"""Semantic catalogs: catalogs whose tables are saved queries."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.models.catalogs import Catalog
from peaka_async.models.semantic_catalogs import (
    CatalogShareRequest,
    SemanticCatalogRequest,
    SemanticTable,
    SemanticTableRequest,
)


class SemanticCatalogs(Group):
    """The semantic catalogs of a project."""

    async def create(self, project_id: str, catalog: SemanticCatalogRequest) -> Catalog:
        """Create a semantic catalog.

        [API page](https://docs.peaka.com/api-reference/semantic-catalogs/create-a-semantic-catalog)
        """
        return await self._send(
            Request(
                "semantic_catalogs.create",
                "POST",
                "/data/projects/{project_id}/semantic-catalogs",
                path={"project_id": project_id},
                body=catalog,
                returns=Catalog,
                safety=Safety.ONCE,
            )
        )

    async def create_table(self, project_id: str, catalog_id: str, table: SemanticTableRequest) -> SemanticTable:
        """Create a table of a semantic catalog from a saved query.

        [API page](https://docs.peaka.com/api-reference/semantic-catalogs/create-a-semantic-table)
        """
        return await self._send(
            Request(
                "semantic_catalogs.create_table",
                "POST",
                "/data/projects/{project_id}/semantic-catalogs/{catalog_id}",
                path={"project_id": project_id, "catalog_id": catalog_id},
                body=table,
                returns=SemanticTable,
                safety=Safety.ONCE,
            )
        )

    async def share(self, project_id: str, catalog_id: str, share: CatalogShareRequest) -> None:
        """Give another project read access to a semantic catalog.

        [API page](https://docs.peaka.com/api-reference/semantic-catalogs/share-semantic-catalog)
        """
        return await self._send(
            Request(
                "semantic_catalogs.share",
                "POST",
                "/data/projects/{project_id}/semantic-catalogs/{catalog_id}/share",
                path={"project_id": project_id, "catalog_id": catalog_id},
                body=share,
                returns=NoneType,
                safety=Safety.ONCE,
            )
        )

    async def delete_table(self, project_id: str, catalog_id: str, table_id: str) -> None:
        """Delete a table of a semantic catalog. The saved query stays.

        [API page](https://docs.peaka.com/api-reference/semantic-catalogs/delete-a-semantic-table)
        """
        return await self._send(
            Request(
                "semantic_catalogs.delete_table",
                "DELETE",
                "/data/projects/{project_id}/semantic-catalogs/{catalog_id}/table/{table_id}",
                path={"project_id": project_id, "catalog_id": catalog_id, "table_id": table_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )
