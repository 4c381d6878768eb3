"""Projects without a workspace: all projects are listed, and new ones are created in the default workspace."""

from __future__ import annotations

from peaka_async.emulator._groups import projects
from peaka_async.emulator._operation import Call, Operation, wrong_request
from peaka_async.emulator._world import World


class DeprecatedProjects:
    """The older operations, which the service keeps for existing clients."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        one = "/projects/{projectId}"
        return (
            Operation("deprecated_projects.list", "GET", "/projects", self._list, partner_only=True),
            Operation("deprecated_projects.create", "POST", "/projects", self._create, partner_only=True),
            Operation("deprecated_projects.get", "GET", one, self._get, partner_only=True),
            Operation("deprecated_projects.update", "PUT", one, self._update, partner_only=True),
            Operation("deprecated_projects.delete", "DELETE", one, self._delete, partner_only=True),
        )

    def _list(self, _: Call) -> object:
        return [projects.shown(self._world, each) for each in self._world.state.projects.values()]

    def _create(self, call: Call) -> object:
        default = next((each for each in self._world.state.workspaces.values() if each.default), None)
        if default is None:
            raise wrong_request("There is no default workspace")
        return projects.create(self._world, call, default.id)

    def _get(self, call: Call) -> object:
        return projects.shown(self._world, self._world.project(call))

    def _update(self, call: Call) -> object:
        return projects.update(self._world, call, self._world.project(call))

    def _delete(self, call: Call) -> None:
        projects.delete(self._world, self._world.project(call))
