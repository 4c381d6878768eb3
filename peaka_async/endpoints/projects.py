"""Projects: they hold connections, catalogs, tables and queries. The operations need a Partner key."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.projects import Project, ProjectRequest


class Projects(Group):
    """The projects of a workspace."""

    async def list(self, organization_id: str, workspace_id: str) -> List[Project]:
        """List the projects of a workspace.

        [API page](https://docs.peaka.com/api-reference/projects/list-projects)
        """
        return await self._send(
            Request(
                "projects.list",
                "GET",
                "/organizations/{organization_id}/workspaces/{workspace_id}/projects",
                path={"organization_id": organization_id, "workspace_id": workspace_id},
                returns=list[Project],
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    async def create(self, organization_id: str, workspace_id: str, project: ProjectRequest) -> Project:
        """Create a project.

        [API page](https://docs.peaka.com/api-reference/projects/create-project)
        """
        return await self._send(
            Request(
                "projects.create",
                "POST",
                "/organizations/{organization_id}/workspaces/{workspace_id}/projects",
                path={"organization_id": organization_id, "workspace_id": workspace_id},
                body=project,
                returns=Project,
                safety=Safety.ONCE,
                partner_only=True,
            )
        )

    async def get(self, organization_id: str, workspace_id: str, project_id: str) -> Project:
        """Get a project.

        [API page](https://docs.peaka.com/api-reference/projects/read-project)
        """
        return await self._send(
            Request(
                "projects.get",
                "GET",
                "/organizations/{organization_id}/workspaces/{workspace_id}/projects/{project_id}",
                path={"organization_id": organization_id, "workspace_id": workspace_id, "project_id": project_id},
                returns=Project,
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    async def update(
        self, organization_id: str, workspace_id: str, project_id: str, project: ProjectRequest
    ) -> Project:
        """Change a project's name or description.

        [API page](https://docs.peaka.com/api-reference/projects/update-project)
        """
        return await self._send(
            Request(
                "projects.update",
                "PUT",
                "/organizations/{organization_id}/workspaces/{workspace_id}/projects/{project_id}",
                path={"organization_id": organization_id, "workspace_id": workspace_id, "project_id": project_id},
                body=project,
                returns=Project,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )

    async def delete(self, organization_id: str, workspace_id: str, project_id: str) -> None:
        """Delete a project with everything in it.

        [API page](https://docs.peaka.com/api-reference/projects/delete-project)
        """
        return await self._send(
            Request(
                "projects.delete",
                "DELETE",
                "/organizations/{organization_id}/workspaces/{workspace_id}/projects/{project_id}",
                path={"organization_id": organization_id, "workspace_id": workspace_id, "project_id": project_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )
