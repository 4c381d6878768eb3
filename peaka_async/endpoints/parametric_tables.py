"""Parametric tables: tables of REST sources, with values for their parameters."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.parametric_tables import ParametricTable


class ParametricTables(Group):
    """The parametric tables of a catalog."""

    async def list(self, project_id: str, catalog_id: str) -> List[ParametricTable]:
        """List the parametric tables of a catalog.

        [API page](https://docs.peaka.com/api-reference/parametric-tables/list-parametric-tables)
        """
        return await self._send(
            Request(
                "parametric_tables.list",
                "GET",
                "/data/projects/{project_id}/catalogs/{catalog_id}/parametricTables",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=list[ParametricTable],
                safety=Safety.SAFE,
            )
        )

    async def create(self, project_id: str, catalog_id: str, table: ParametricTable) -> ParametricTable:
        """Create a parametric table.

        [API page](https://docs.peaka.com/api-reference/parametric-tables/create-parametric-table)
        """
        return await self._send(
            Request(
                "parametric_tables.create",
                "POST",
                "/data/projects/{project_id}/catalogs/{catalog_id}/parametricTables",
                path={"project_id": project_id, "catalog_id": catalog_id},
                body=table,
                returns=ParametricTable,
                safety=Safety.ONCE,
            )
        )

    async def delete(self, project_id: str, catalog_id: str, to_schema: str, to_table: str) -> None:
        """Delete a parametric table by its own schema and name. The table that it was made from stays.

        [API page](https://docs.peaka.com/api-reference/parametric-tables/delete-parametric-table)
        """
        return await self._send(
            Request(
                "parametric_tables.delete",
                "DELETE",
                "/data/projects/{project_id}/catalogs/{catalog_id}/parametricTables",
                path={"project_id": project_id, "catalog_id": catalog_id},
                query={"to_schema": to_schema, "to_table": to_table},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )
