"""Workspaces: groups of projects in an organization. The operations need a Partner key."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.workspaces import Workspace, WorkspaceRequest


class Workspaces(Group):
    """The workspaces of an organization."""

    async def list(self, organization_id: str) -> List[Workspace]:
        """List the workspaces of an organization.

        [API page](https://docs.peaka.com/api-reference/workspaces/list-workspaces)
        """
        return await self._send(
            Request(
                "workspaces.list",
                "GET",
                "/organizations/{organization_id}/workspaces",
                path={"organization_id": organization_id},
                returns=list[Workspace],
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    async def create(self, organization_id: str, workspace: WorkspaceRequest) -> Workspace:
        """Create a workspace.

        [API page](https://docs.peaka.com/api-reference/workspaces/create-workspace)
        """
        return await self._send(
            Request(
                "workspaces.create",
                "POST",
                "/organizations/{organization_id}/workspaces",
                path={"organization_id": organization_id},
                body=workspace,
                returns=Workspace,
                safety=Safety.ONCE,
                partner_only=True,
            )
        )

    async def get(self, organization_id: str, workspace_id: str) -> Workspace:
        """Get a workspace.

        [API page](https://docs.peaka.com/api-reference/workspaces/read-workspace)
        """
        return await self._send(
            Request(
                "workspaces.get",
                "GET",
                "/organizations/{organization_id}/workspaces/{workspace_id}",
                path={"organization_id": organization_id, "workspace_id": workspace_id},
                returns=Workspace,
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    async def update(self, organization_id: str, workspace_id: str, workspace: WorkspaceRequest) -> Workspace:
        """Change a workspace's name or description.

        [API page](https://docs.peaka.com/api-reference/workspaces/update-workspace)
        """
        return await self._send(
            Request(
                "workspaces.update",
                "PUT",
                "/organizations/{organization_id}/workspaces/{workspace_id}",
                path={"organization_id": organization_id, "workspace_id": workspace_id},
                body=workspace,
                returns=Workspace,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )

    async def delete(self, organization_id: str, workspace_id: str) -> None:
        """Delete a workspace.

        [API page](https://docs.peaka.com/api-reference/workspaces/delete-workspace)
        """
        return await self._send(
            Request(
                "workspaces.delete",
                "DELETE",
                "/organizations/{organization_id}/workspaces/{workspace_id}",
                path={"organization_id": organization_id, "workspace_id": workspace_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )
