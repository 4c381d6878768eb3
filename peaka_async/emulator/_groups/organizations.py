"""Organizations: the top level. The operations need a Partner key."""

from __future__ import annotations

from peaka_async.emulator._clock import iso
from peaka_async.emulator._operation import Call, Operation, not_found
from peaka_async.emulator._state import Organization
from peaka_async.emulator._world import World


class Organizations:
    """The organizations. A Partner key can access all of them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("organizations.list", "GET", "/organizations", self._list, partner_only=True),
            Operation("organizations.get", "GET", "/organizations/{organizationId}", self._get, partner_only=True),
        )

    def _list(self, _: Call) -> object:
        return [self._shown(each) for each in self._world.state.organizations.values()]

    def _get(self, call: Call) -> object:
        return self._shown(organization_of(self._world, call))

    def _shown(self, organization: Organization) -> dict[str, object]:
        return {
            "id": organization.id,
            "name": organization.name,
            "owner": self._world.state.user_id,
            "createdAt": iso(organization.created_at),
            "iconFileId": None,
            "description": organization.description,
        }


def organization_of(world: World, call: Call) -> Organization:
    """The organization of a call."""
    organization_id = call.path["organizationId"]
    found = world.state.organizations.get(organization_id)
    if found is None:
        raise not_found(f"There is no organization with id {organization_id}")
    return found
