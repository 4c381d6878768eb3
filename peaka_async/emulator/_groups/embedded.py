"""Embedded Peaka: sessions of the user interface. The emulator has only their URLs."""

from __future__ import annotations

import secrets

from peaka_async.emulator._operation import Call, Operation, Refusal, not_found, optional_number, text
from peaka_async.emulator._world import World

_MODES = (None, "FULL_STUDIO", "CONNECTOR_MODAL_ONLY")


class Embedded:
    """The sessions of the embedded interface."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("embedded.init_session_from_query", "GET", "/ui/initSession", self._init_from_query),
            Operation("embedded.init_session", "POST", "/ui/initSession", self._init),
        )

    def _init_from_query(self, call: Call) -> object:
        project_id = call.query.get("projectId")
        if not project_id:
            raise Refusal(400, error="Bad Request", message="Missing parameter 'projectId'")
        return self._session(call, project_id)

    def _init(self, call: Call) -> object:
        body = call.json_object()
        optional_number(body, "timeoutInSeconds")
        if body.get("sessionMode") not in _MODES:
            raise Refusal(400, error="Bad Request", message=f"Unknown session mode '{body['sessionMode']}'")
        return self._session(call, text(body, "projectId"))

    def _session(self, call: Call, project_id: str) -> object:
        if project_id not in self._world.state.projects:
            raise not_found(f"There is no project with id {project_id}")
        if not call.caller.may_reach(project_id):
            raise Refusal(403, code=403, message="The API key does not belong to this project")
        url = call.request.url.origin()
        return {
            "sessionUrl": f"{url}/api/v1/ui/session?code={secrets.token_hex(32)}",
            "partnerOrigin": str(url),
        }
