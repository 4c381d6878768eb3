"""Projects, by their workspace. The operations need a Partner key."""

from __future__ import annotations

from peaka_async.emulator._clock import iso
from peaka_async.emulator._groups.workspaces import workspace_of
from peaka_async.emulator._operation import Call, Operation, not_found, optional_text, text
from peaka_async.emulator._seed import new_project
from peaka_async.emulator._state import ProjectRecord
from peaka_async.emulator._world import World


class Projects:
    """The projects of a workspace."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/organizations/{organizationId}/workspaces/{workspaceId}/projects"
        one = f"{all_}/{{projectId}}"
        return (
            Operation("projects.list", "GET", all_, self._list, partner_only=True),
            Operation("projects.create", "POST", all_, self._create, partner_only=True),
            Operation("projects.get", "GET", one, self._get, partner_only=True),
            Operation("projects.update", "PUT", one, self._update, partner_only=True),
            Operation("projects.delete", "DELETE", one, self._delete, partner_only=True),
        )

    def _list(self, call: Call) -> object:
        workspace = workspace_of(self._world, call)
        projects = self._world.state.projects.values()
        return [shown(self._world, each) for each in projects if each.workspace_id == workspace.id]

    def _create(self, call: Call) -> object:
        return create(self._world, call, workspace_of(self._world, call).id)

    def _get(self, call: Call) -> object:
        return shown(self._world, self._find(call))

    def _update(self, call: Call) -> object:
        return update(self._world, call, self._find(call))

    def _delete(self, call: Call) -> None:
        delete(self._world, self._find(call))

    def _find(self, call: Call) -> ProjectRecord:
        workspace, project = workspace_of(self._world, call), self._world.project(call)
        if project.workspace_id != workspace.id:
            raise not_found(f"There is no project with id {project.id}")
        return project


def create(world: World, call: Call, workspace_id: str) -> object:
    """Create the project of a call."""
    body = call.json_object()
    project = new_project(world.state, text(body, "name"), workspace_id)
    project.description = optional_text(body, "description")
    project.created_at = world.now
    return shown(world, project)


def update(world: World, call: Call, project: ProjectRecord) -> object:
    """Change a project's name or description."""
    body = call.json_object()
    project.name = text(body, "name")
    project.description = optional_text(body, "description") or project.description
    return shown(world, project)


def delete(world: World, project: ProjectRecord) -> None:
    """Delete a project with everything in it, including its connections."""
    state = world.state
    del state.projects[project.id]
    for connection in [each for each in state.connections.values() if each.project_id == project.id]:
        del state.connections[connection.id]


def shown(world: World, project: ProjectRecord) -> dict[str, object]:
    """A project as the API shows it."""
    domain = f"{''.join(filter(str.isalnum, project.name.lower()))}-{project.id[:4].lower()}"
    return {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "domain": domain,
        "webhookBaseUrl": f"https://{domain}--test.api.peaka.host" if project.description else None,
        "createdAt": iso(project.created_at),
        "owner": world.state.user_id,
        "workspaceId": project.workspace_id,
    }
