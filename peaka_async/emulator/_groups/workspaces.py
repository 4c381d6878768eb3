"""Workspaces: groups of projects in an organization. The operations need a Partner key."""

from __future__ import annotations

import uuid

from peaka_async.emulator._clock import iso
from peaka_async.emulator._groups.organizations import organization_of
from peaka_async.emulator._operation import Call, Operation, not_found, optional_text, text, wrong_request
from peaka_async.emulator._state import Workspace
from peaka_async.emulator._world import World


class Workspaces:
    """The workspaces of an organization."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/organizations/{organizationId}/workspaces"
        one = f"{all_}/{{workspaceId}}"
        return (
            Operation("workspaces.list", "GET", all_, self._list, partner_only=True),
            Operation("workspaces.create", "POST", all_, self._create, partner_only=True),
            Operation("workspaces.get", "GET", one, self._get, partner_only=True),
            Operation("workspaces.update", "PUT", one, self._update, partner_only=True),
            Operation("workspaces.delete", "DELETE", one, self._delete, partner_only=True),
        )

    def _list(self, call: Call) -> object:
        organization = organization_of(self._world, call)
        workspaces = self._world.state.workspaces.values()
        return [self._shown(each) for each in workspaces if each.organization_id == organization.id]

    def _create(self, call: Call) -> object:
        organization = organization_of(self._world, call)
        body = call.json_object()
        workspace = Workspace(
            id=str(uuid.uuid4()),
            organization_id=organization.id,
            name=text(body, "name"),
            description=optional_text(body, "description"),
            created_at=self._world.now,
        )
        self._world.state.workspaces[workspace.id] = workspace
        return self._shown(workspace)

    def _get(self, call: Call) -> object:
        return self._shown(workspace_of(self._world, call))

    def _update(self, call: Call) -> object:
        workspace = workspace_of(self._world, call)
        body = call.json_object()
        workspace.name = optional_text(body, "name") or workspace.name
        workspace.description = optional_text(body, "description") or workspace.description
        return self._shown(workspace)

    def _delete(self, call: Call) -> None:
        workspace = workspace_of(self._world, call)
        state = self._world.state
        if workspace.default:
            raise wrong_request("The default workspace cannot be deleted")
        del state.workspaces[workspace.id]
        for project in [each for each in state.projects.values() if each.workspace_id == workspace.id]:
            del state.projects[project.id]

    def _shown(self, workspace: Workspace) -> dict[str, object]:
        return {
            "id": workspace.id,
            "name": workspace.name,
            "createdBy": self._world.state.user_id,
            "organizationId": workspace.organization_id,
            "description": workspace.description,
            "createdAt": iso(workspace.created_at),
            "defaultWorkspace": workspace.default,
        }


def workspace_of(world: World, call: Call) -> Workspace:
    """The workspace of a call; it must belong to the call's organization."""
    organization = organization_of(world, call)
    workspace_id = call.path["workspaceId"]
    found = world.state.workspaces.get(workspace_id)
    if found is None or found.organization_id != organization.id:
        raise not_found(f"There is no workspace with id {workspace_id}")
    return found
