"""The connections group: its state, its nine operations, and Peaka's own OAuth2 callback."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from typing import final
from urllib.parse import parse_qsl, urlencode

import attrs
from aiohttp import web

from peaka_async.emulator import _pages
from peaka_async.emulator._catalogue import CATALOGUE, Connector
from peaka_async.emulator._operation import Call, Operation, Refusal, text, unreadable
from peaka_async.emulator._provider import AuthorizationServer, CodeRefused, Grant, redirect_problem

_PEAKA_CLIENT_ID = "peaka"
_PEAKA_CALLBACK = "/oauth2/callback"

_TOKENS = frozenset({"accessToken", "refreshToken"})


@final
@attrs.frozen
class StoredConnection:
    """A connection as it was when it was asked for.

    It is active once it can read data: at once with a full credential, after the callback in an OAuth2 flow. Until
    then `url` is the consent page.
    """

    id: str
    project_id: str
    name: str
    type: str
    credential: dict[str, object] = attrs.field(repr=False)
    active: bool = True
    url: str | None = attrs.field(default=None, repr=False)
    grant: Grant | None = attrs.field(default=None, repr=False)

    def to_json(self) -> dict[str, object]:
        shown: dict[str, object] = {"id": self.id, "name": self.name, "type": self.type}
        return shown if self.url is None else {**shown, "url": self.url}


@final
@attrs.frozen
class _Flow:
    """A consent that was asked for: its state leads back to it."""

    connection_id: str
    project_id: str
    client_id: str
    client_secret: str = attrs.field(repr=False)
    redirect_uri: str
    callback: str | None
    expires_at: float


class Connections:
    """The connections of all projects.

    Args:
        provider: whose consent pages are shown, and who exchanges the codes.
        state_seconds: how long a flow may take.
    """

    def __init__(self, provider: AuthorizationServer, *, state_seconds: float = 3600.0) -> None:
        self.origin = ""
        self.stored: dict[str, StoredConnection] = {}
        self._provider = provider
        self._state_seconds = state_seconds
        self._flows: dict[str, _Flow] = {}

    def operations(self) -> tuple[Operation, ...]:
        one = "/connections/{projectId}/{connectionId}"
        return (
            Operation("connections.list_configs", "GET", "/connections/config", self._list_configs),
            Operation("connections.get_config", "GET", "/connections/config/{connectionType}", self._get_config),
            Operation("connections.list", "GET", "/connections/{projectId}", self._list),
            Operation("connections.create", "POST", "/connections/{projectId}", self._create),
            Operation("connections.oauth2_callback", "POST", "/connections/{projectId}/oauth2", self._take_callback),
            Operation("connections.get", "GET", one, self._get),
            Operation("connections.update", "PUT", one, self._update),
            Operation("connections.delete", "DELETE", one, self._delete),
            Operation("connections.get_view", "GET", f"{one}/detail", self._get_view),
        )

    def routes(self) -> list[web.RouteDef]:
        """Where a provider sends the browser when Peaka takes the redirect itself."""
        return [
            # A HEAD request must not complete a flow.
            web.get(_PEAKA_CALLBACK, self._take_redirect, allow_head=False),
            web.post(_PEAKA_CALLBACK, self._take_redirect),
        ]

    async def _list_configs(self, _: Call) -> web.Response:
        return web.json_response([connector.to_json() for connector in CATALOGUE.values()])

    async def _get_config(self, call: Call) -> web.Response:
        connector = CATALOGUE.get(call.path["connectionType"])
        if connector is None:
            raise Refusal(404, error="NOT_FOUND", message="There is no such connection type", errorCode=None)
        return web.json_response(connector.to_json())

    async def _list(self, call: Call) -> web.Response:
        project_id = call.path["projectId"]
        return web.json_response([each.to_json() for each in self.stored.values() if each.project_id == project_id])

    async def _create(self, call: Call) -> web.Response:
        body = call.json_object()
        connector = _connector(body)
        callback = _callback_url(body)
        stored = StoredConnection(
            id=str(uuid.uuid4()),
            project_id=call.path["projectId"],
            name=text(body, "name"),
            type=connector.type,
            credential=_credential(body, connector, ends_at_callback=callback is not None),
        )
        if connector.needs_redirect and not _TOKENS & stored.credential.keys():
            stored = self._begin(stored, callback)
        self.stored[stored.id] = stored
        return web.json_response(stored.to_json())

    def _begin(self, stored: StoredConnection, callback: str | None) -> StoredConnection:
        """Open a flow: the connection waits for a consent."""
        redirect = stored.credential.get("redirectUrl")
        flow = _Flow(
            connection_id=stored.id,
            project_id=stored.project_id,
            client_id=str(stored.credential.get("clientId", _PEAKA_CLIENT_ID)),
            client_secret=str(stored.credential.get("clientSecret", "")),
            redirect_uri=str(redirect or f"{self.origin}{_PEAKA_CALLBACK}"),
            callback=callback,
            expires_at=time.monotonic() + self._state_seconds,
        )
        state = secrets.token_urlsafe(24)
        self._flows[state] = flow
        url = self._provider.consent_url(
            client_id=flow.client_id, redirect_uri=flow.redirect_uri, scope=f"{stored.type}.read", state=state
        )
        return attrs.evolve(stored, active=False, url=url)

    async def _take_callback(self, call: Call) -> web.Response:
        answer = _parse(text(call.json_object(), "queryParameters"))
        flow = self._flow(answer)
        if flow.project_id != call.path["projectId"]:
            raise _unknown_state()
        return web.json_response((await self._complete(flow, answer)).to_json())

    def _flow(self, answer: dict[str, str]) -> _Flow:
        flow = self._flows.get(answer.get("state", ""))
        if flow is None:
            raise _unknown_state()
        return flow

    async def _complete(self, flow: _Flow, answer: dict[str, str]) -> StoredConnection:
        """Exchange the code of a provider's answer, and bring the connection of its flow to life."""
        if time.monotonic() >= flow.expires_at:
            raise Refusal(400, error="INVALID_STATE", message="The state is expired", errorCode="oa001")
        if "error" in answer:
            raise Refusal(400, error="AUTHORIZATION_DENIED", message=answer["error"], errorCode="oa003")
        grant = await self._exchange(flow, answer.get("code", ""))
        stored = self.stored.get(flow.connection_id)
        if stored is None or stored.active:
            raise Refusal(400, error="INVALID_STATE", message="The state was used before", errorCode="oa001")
        stored = attrs.evolve(stored, active=True, url=None, grant=grant)
        self.stored[stored.id] = stored
        return stored

    async def _exchange(self, flow: _Flow, code: str) -> Grant:
        try:
            return await self._provider.exchange(
                code, client_id=flow.client_id, client_secret=flow.client_secret, redirect_uri=flow.redirect_uri
            )
        except CodeRefused as refused:
            if refused.revoked is not None:
                self._destroy(refused.revoked)
            raise Refusal(400, error="INVALID_GRANT", message=refused.reason, errorCode="oa002") from None

    def _destroy(self, grant: Grant) -> None:
        """Remove what lived from a grant that its provider has revoked."""
        for stored in [each for each in self.stored.values() if each.grant == grant]:
            del self.stored[stored.id]

    async def _take_redirect(self, request: web.Request) -> web.Response:
        raw = request.rel_url.raw_query_string if request.method == "GET" else await request.text()
        try:
            answer = _parse(raw)
            flow = self._flow(answer)
        except Refusal:
            return _pages.notice("This flow is not known", "Begin again in the application you came from.", status=400)
        if flow.callback is None:
            return _pages.notice("This flow ends elsewhere", "It was begun without a connectionCallback.", status=400)
        try:
            await self._complete(flow, answer)
        except Refusal:
            status = "fail"
        else:
            status = "success"
        outcome = urlencode({"connectionId": flow.connection_id, "status": status})
        location = f"{flow.callback}{'&' if '?' in flow.callback else '?'}{outcome}"
        return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})

    async def _get(self, call: Call) -> web.Response:
        return web.json_response(self._find(call).to_json())

    async def _update(self, call: Call) -> web.Response:
        stored = self._find(call)
        body = call.json_object()
        if "type" in body and text(body, "type") != stored.type:
            raise Refusal(400, error="WrongRequestException", message="A connection keeps its type", errorCode=None)
        if "name" in body:
            stored = attrs.evolve(stored, name=text(body, "name"))
        if "credential" in body:
            credential = _credential(body, CATALOGUE[stored.type], ends_at_callback=True)
            stored = attrs.evolve(stored, credential=credential)
            if _TOKENS & credential.keys():
                stored = attrs.evolve(stored, active=True, url=None, grant=None)
        self.stored[stored.id] = stored
        return web.json_response(stored.to_json())

    async def _delete(self, call: Call) -> web.Response:
        del self.stored[self._find(call).id]
        return web.Response(status=200)

    async def _get_view(self, call: Call) -> web.Response:
        stored = self._find(call)
        return web.json_response({"type": stored.type, **CATALOGUE[stored.type].public(stored.credential)})

    def _find(self, call: Call) -> StoredConnection:
        connection_id = call.path["connectionId"]
        stored = self.stored.get(connection_id)
        if stored is None or stored.project_id != call.path["projectId"]:
            raise Refusal(
                400,
                error="INVALID_CONNECTION_ID",
                message=f"There is no connection with id {connection_id}",
                errorCode="cn004",
            )
        return stored


def _parse(query: str) -> dict[str, str]:
    """The parameters of a provider's answer; none may come twice (RFC 6749, section 3.1)."""
    pairs = parse_qsl(query, keep_blank_values=True)
    answer = dict(pairs)
    repeated = [name for name in ("code", "state", "error") if sum(key == name for key, _ in pairs) > 1]
    if repeated:
        raise Refusal(400, error="Bad Request", message=f"Repeated parameter '{repeated[0]}'")
    return answer


def _unknown_state() -> Refusal:
    return Refusal(400, error="INVALID_STATE", message="The state is not known", errorCode="oa001")


def _connector(body: dict[str, object]) -> Connector:
    connector = CATALOGUE.get(text(body, "type"))
    if connector is None:
        raise Refusal(400, error="WrongRequestException", message="Unknown connection type", errorCode=None)
    return connector


def _callback_url(body: dict[str, object]) -> str | None:
    if body.get("connectionCallback") is None:
        return None
    url = text(body, "connectionCallback")
    if problem := redirect_problem(url):
        raise Refusal(400, error="WrongRequestException", message=f"connectionCallback: {problem}", errorCode=None)
    return url


def _credential(body: dict[str, object], connector: Connector, *, ends_at_callback: bool) -> dict[str, object]:
    """The credential of a request, if it is enough for the connector.

    A flow that ends at a connectionCallback can be served by Peaka's own app and callback.
    """
    credential = body.get("credential")
    if not credential and connector.needs_redirect and ends_at_callback:
        return {}
    if credential is None:
        raise Refusal(400, error="Bad Request", message="Missing property 'credential'")
    if not isinstance(credential, dict):
        raise unreadable(name="credential", value=credential)
    for name in _needed(credential, connector, ends_at_callback=ends_at_callback):
        if credential.get(name) is None or credential[name] == "":
            # The service repeats the credential in its message.
            message = f"Missing '{name}' in credential {json.dumps(credential)}"
            raise Refusal(400, error="INVALID_CREDENTIALS", message=message)
    if "redirectUrl" in credential and (problem := redirect_problem(str(credential["redirectUrl"]))):
        raise Refusal(400, error="INVALID_CREDENTIALS", message=f"redirectUrl: {problem}")
    return credential


def _needed(credential: dict[str, object], connector: Connector, *, ends_at_callback: bool) -> list[str]:
    """What the credential must hold; an own OAuth2 app without tokens has to say where its redirect goes."""
    if not connector.needs_redirect:
        return connector.required
    needed = ["clientId", "clientSecret"]
    if not ends_at_callback and not _TOKENS & credential.keys():
        needed.append("redirectUrl")
    return needed
