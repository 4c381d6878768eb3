"""Projects without a workspace: older operations, which the service keeps for existing clients."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.endpoints._deprecated import deprecated
from peaka_async.models.projects import Project, ProjectRequest


class DeprecatedProjects(Group):
    """The projects of the default workspace; use `projects` instead."""

    @deprecated("Use `projects.list`.")
    async def list(self) -> List[Project]:
        """List the projects that the key can access.

        [API page](https://docs.peaka.com/api-reference/projects/list-projects)

        Deprecated: use `projects.list`.
        """
        return await self._send(
            Request(
                "deprecated_projects.list",
                "GET",
                "/projects",
                returns=list[Project],
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    @deprecated("Use `projects.create`.")
    async def create(self, project: ProjectRequest) -> Project:
        """Create a project in the default workspace.

        [API page](https://docs.peaka.com/api-reference/projects/create-project)

        Deprecated: use `projects.create`.
        """
        return await self._send(
            Request(
                "deprecated_projects.create",
                "POST",
                "/projects",
                body=project,
                returns=Project,
                safety=Safety.ONCE,
                partner_only=True,
            )
        )

    @deprecated("Use `projects.get`.")
    async def get(self, project_id: str) -> Project:
        """Get a project.

        [API page](https://docs.peaka.com/api-reference/projects/read-project)

        Deprecated: use `projects.get`.
        """
        return await self._send(
            Request(
                "deprecated_projects.get",
                "GET",
                "/projects/{project_id}",
                path={"project_id": project_id},
                returns=Project,
                safety=Safety.SAFE,
                partner_only=True,
            )
        )

    @deprecated("Use `projects.update`.")
    async def update(self, project_id: str, project: ProjectRequest) -> Project:
        """Change a project's name or description.

        [API page](https://docs.peaka.com/api-reference/projects/update-project)

        Deprecated: use `projects.update`.
        """
        return await self._send(
            Request(
                "deprecated_projects.update",
                "PUT",
                "/projects/{project_id}",
                path={"project_id": project_id},
                body=project,
                returns=Project,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )

    @deprecated("Use `projects.delete`.")
    async def delete(self, project_id: str) -> None:
        """Delete a project with everything in it.

        [API page](https://docs.peaka.com/api-reference/projects/delete-project)

        Deprecated: use `projects.delete`.
        """
        return await self._send(
            Request(
                "deprecated_projects.delete",
                "DELETE",
                "/projects/{project_id}",
                path={"project_id": project_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
                partner_only=True,
            )
        )
