"""API keys: the Project keys of a project. The operations need a Partner key."""

from __future__ import annotations

from datetime import UTC, datetime

from peaka_async.emulator._clock import iso
from peaka_async.emulator._operation import Call, Operation, not_found, optional_text, text, unreadable
from peaka_async.emulator._seed import add_key
from peaka_async.emulator._state import ApiKey
from peaka_async.emulator._world import World


class ApiKeys:
    """The keys of a project. A secret is shown once, when its key is created."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/projects/{projectId}/apiKeys"
        return (
            Operation("api_keys.list", "GET", all_, self._list, partner_only=True),
            Operation("api_keys.create", "POST", all_, self._create, partner_only=True),
            Operation("api_keys.delete", "DELETE", f"{all_}/{{apiKeyId}}", self._delete, partner_only=True),
        )

    def _list(self, call: Call) -> object:
        return [_shown(each, secret=None) for each in self._world.project(call).keys.values()]

    def _create(self, call: Call) -> object:
        body = call.json_object()
        key = add_key(self._world.project(call), text(body, "name"), expires_at=_expiry(body))
        return _shown(key, secret=key.secret)

    def _delete(self, call: Call) -> None:
        keys = self._world.project(call).keys
        if call.path["apiKeyId"] not in keys:
            raise not_found(f"There is no API key with id {call.path['apiKeyId']}")
        del keys[call.path["apiKeyId"]]


def _expiry(body: dict[str, object]) -> datetime | None:
    value = optional_text(body, "expiresAt")
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise unreadable(name="expiresAt", value=value) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown(key: ApiKey, *, secret: str | None) -> dict[str, object]:
    return {"name": key.name, "apiKey": secret, "apiKeyId": key.id, "expiresAt": iso(key.expires_at)}
