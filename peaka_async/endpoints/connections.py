"""Connections: authenticated links to a customer's data sources."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.connections import Connection, ConnectionConfiguration, ConnectionRequest, Oauth2Callback


class Connections(Group):
    """The connections of a project, and the connectors that they use."""

    async def list_configs(self) -> List[ConnectionConfiguration]:
        """List the connectors with the credential fields that each one needs.

        [API page](https://docs.peaka.com/api-reference/connections/list-connection-config)
        """
        return await self._send(
            Request(
                "connections.list_configs",
                "GET",
                "/connections/config",
                returns=list[ConnectionConfiguration],
                safety=Safety.SAFE,
            )
        )

    async def get_config(self, connection_type: str) -> ConnectionConfiguration:
        """Get a connector with the credential fields that it needs.

        [API page](https://docs.peaka.com/api-reference/connections/get-connection-config)

        Raises:
            NotFoundError: there is no such connector.
        """
        return await self._send(
            Request(
                "connections.get_config",
                "GET",
                "/connections/config/{connection_type}",
                path={"connection_type": connection_type},
                returns=ConnectionConfiguration,
                safety=Safety.SAFE,
            )
        )

    async def list(self, project_id: str) -> List[Connection]:
        """List the project's connections.

        [API page](https://docs.peaka.com/api-reference/connections/list-connections)
        """
        return await self._send(
            Request(
                "connections.list",
                "GET",
                "/connections/{project_id}",
                path={"project_id": project_id},
                returns=list[Connection],
                safety=Safety.SAFE,
            )
        )

    async def create(self, project_id: str, connection: ConnectionRequest) -> Connection:
        """Create a connection.

        If the connector needs an OAuth2 flow, send the customer to the answer's `url`, the consent page.

        [API page](https://docs.peaka.com/api-reference/connections/create-connection)

        Raises:
            BadRequestError: the credential is invalid, or a property of it is missing.
            OutcomeUnknownError: no answer came; list the connections before creating it again.
        """
        return await self._send(
            Request(
                "connections.create",
                "POST",
                "/connections/{project_id}",
                path={"project_id": project_id},
                body=connection,
                returns=Connection,
                safety=Safety.ONCE,
            )
        )

    async def oauth2_callback(self, project_id: str, callback: Oauth2Callback) -> Connection:
        """Complete a connection with the query string of the provider's redirect.

        An authorization code works once, and a second use can revoke the tokens of the first. So this call is repeated
        only if the request was not sent, or if the server refused it without acting on it (HTTP 429).

        [API page](https://docs.peaka.com/api-reference/connections/oauth2-callback)

        Raises:
            BadRequestError: the code or the state is wrong, expired or used.
            OutcomeUnknownError: no answer came; get or list the connections to see whether this one was completed.
        """
        return await self._send(
            Request(
                "connections.oauth2_callback",
                "POST",
                "/connections/{project_id}/oauth2",
                path={"project_id": project_id},
                body=callback,
                takes=Oauth2Callback,
                returns=Connection,
                safety=Safety.ONCE,
            )
        )

    async def get(self, project_id: str, connection_id: str) -> Connection:
        """Get a connection.

        [API page](https://docs.peaka.com/api-reference/connections/get-connection)

        Raises:
            NotFoundError: there is no such connection.
        """
        return await self._send(
            Request(
                "connections.get",
                "GET",
                "/connections/{project_id}/{connection_id}",
                path={"project_id": project_id, "connection_id": connection_id},
                returns=Connection,
                safety=Safety.SAFE,
            )
        )

    async def update(self, project_id: str, connection_id: str, connection: ConnectionRequest) -> Connection:
        """Replace a connection's name, credential or other properties.

        [API page](https://docs.peaka.com/api-reference/connections/update-connection)

        Raises:
            NotFoundError: there is no such connection.
        """
        return await self._send(
            Request(
                "connections.update",
                "PUT",
                "/connections/{project_id}/{connection_id}",
                path={"project_id": project_id, "connection_id": connection_id},
                body=connection,
                returns=Connection,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete(self, project_id: str, connection_id: str) -> None:
        """Delete a connection. Catalogs that use it lose their data source.

        [API page](https://docs.peaka.com/api-reference/connections/delete-connection)
        """
        return await self._send(
            Request(
                "connections.delete",
                "DELETE",
                "/connections/{project_id}/{connection_id}",
                path={"project_id": project_id, "connection_id": connection_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def get_view(self, project_id: str, connection_id: str) -> dict[str, object]:
        """Get the properties of a connection's credential, without the confidential ones.

        [API page](https://docs.peaka.com/api-reference/connections/get-connection-detail)

        Raises:
            NotFoundError: there is no such connection.
        """
        return await self._send(
            Request(
                "connections.get_view",
                "GET",
                "/connections/{project_id}/{connection_id}/detail",
                path={"project_id": project_id, "connection_id": connection_id},
                returns=dict[str, object],
                safety=Safety.SAFE,
            )
        )
