"""Supported drivers: connection strings for tools that use Peaka's query engine."""

from __future__ import annotations

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.models.supported_drivers import ConnectionStrings


class SupportedDrivers(Group):
    """Connection strings for other tools. They hold the API key."""

    async def get(self, *, catalog_name: str | None = None) -> ConnectionStrings:
        """Get the connection strings of all drivers.

        [API page](https://docs.peaka.com/api-reference/supported-drivers/list-supported-drivers)
        """
        return await self._send(
            Request(
                "supported_drivers.get",
                "GET",
                "/supportedDrivers",
                query={"catalog_name": catalog_name},
                returns=ConnectionStrings,
                safety=Safety.SAFE,
            )
        )

    async def get_jdbc(self) -> ConnectionStrings:
        """Get the JDBC connection string.

        [API page](https://docs.peaka.com/api-reference/supported-drivers/get-jdbc-driver)
        """
        return await self._send(
            Request(
                "supported_drivers.get_jdbc",
                "GET",
                "/supportedDrivers/jdbc",
                returns=ConnectionStrings,
                safety=Safety.SAFE,
            )
        )

    async def get_sql_alchemy(self, catalog_name: str) -> ConnectionStrings:
        """Get the SQLAlchemy connection string for a catalog.

        [API page](https://docs.peaka.com/api-reference/supported-drivers/get-sql-alchemy-driver)
        """
        return await self._send(
            Request(
                "supported_drivers.get_sql_alchemy",
                "GET",
                "/supportedDrivers/sql_alchemy",
                query={"catalog_name": catalog_name},
                returns=ConnectionStrings,
                safety=Safety.SAFE,
            )
        )
