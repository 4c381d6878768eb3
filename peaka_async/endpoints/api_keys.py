"""API keys: the Project keys of a project. The operations need a Partner key."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.api_keys import ApiKey, ApiKeyRequest


class ApiKeys(Group):
    """The Project keys of a project."""

    async def list(self, project_id: str) -> List[ApiKey]:
        """List the project's keys, without their secrets.

        [API page](https://docs.peaka.com/api-reference/api-key/list-api-keys)
        """
        return await self._send(
            Request(
                "api_keys.list",
                "GET",
                "/projects/{project_id}/apiKeys",
                path={"project_id": project_id},
                returns=list[ApiKey],
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    async def create(self, project_id: str, api_key: ApiKeyRequest) -> ApiKey:
        """Create a key. Store its secret: only this answer holds it.

        [API page](https://docs.peaka.com/api-reference/api-key/create-api-key)
        """
        return await self._send(
            Request(
                "api_keys.create",
                "POST",
                "/projects/{project_id}/apiKeys",
                path={"project_id": project_id},
                body=api_key,
                returns=ApiKey,
                safety=Safety.ONCE,
                partner_only=True,
            )
        )

    async def delete(self, project_id: str, api_key_id: str) -> None:
        """Delete a key. From then on the service refuses it.

        [API page](https://docs.peaka.com/api-reference/api-key/delete-api-key)
        """
        return await self._send(
            Request(
                "api_keys.delete",
                "DELETE",
                "/projects/{project_id}/apiKeys/{api_key_id}",
                path={"project_id": project_id, "api_key_id": api_key_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )
