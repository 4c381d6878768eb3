"""The connections group: its nine operations, and Peaka's own OAuth2 callback."""

from __future__ import annotations

import json
import secrets
import uuid
from datetime import timedelta
from urllib.parse import parse_qsl, quote

import attrs
from aiohttp import web

from peaka_async.emulator import _html
from peaka_async.emulator._catalogue import CATALOGUE, Connector
from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._operation import Call, Operation, Refusal, not_found, text, unreadable, wrong_request
from peaka_async.emulator._provider import AuthorizationServer, CodeRefused, Grant, redirect_problem
from peaka_async.emulator._state import Flow, StoredConnection
from peaka_async.emulator._world import Oddity, World

_PEAKA_CLIENT_ID = "peaka"
_PEAKA_CALLBACK = "/oauth2/callback"

_TOKENS = frozenset({"accessToken", "refreshToken"})

WRONG_SECRET = "wrong"  # noqa: S105 - a secret that every source refuses
_UNREACHABLE_PORT = "1"


class Connections:
    """The connections of all projects.

    Args:
        world: the state.
        provider: shows the consent pages and exchanges the codes.
        state_seconds: how long a flow may take.
    """

    def __init__(self, world: World, provider: AuthorizationServer, *, state_seconds: float = 3600.0) -> None:
        self.origin = ""
        self._world = world
        self._provider = provider
        self._state_seconds = state_seconds

    @property
    def _stored(self) -> dict[str, StoredConnection]:
        return self._world.state.connections

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
        """The URL that a provider sends the browser to if Peaka itself takes the redirect."""
        return [
            # A HEAD request must not complete a flow.
            web.get(_PEAKA_CALLBACK, self._take_redirect, allow_head=False),
            web.post(_PEAKA_CALLBACK, self._take_redirect),
        ]

    def _list_configs(self, _: Call) -> object:
        return [connector.to_json() for connector in CATALOGUE.values()]

    def _get_config(self, call: Call) -> object:
        connector = CATALOGUE.get(call.path["connectionType"])
        if connector is None:
            raise not_found("There is no such connection type")
        return connector.to_json()

    def _list(self, call: Call) -> object:
        project_id = call.path["projectId"]
        return [each.to_json() for each in self._stored.values() if each.project_id == project_id]

    def _create(self, call: Call) -> object:
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
        self._stored[stored.id] = stored
        return stored.to_json()

    def _begin(self, stored: StoredConnection, callback: str | None) -> StoredConnection:
        """Open a flow: the connection waits for a consent."""
        redirect = stored.credential.get("redirectUrl")
        flow = Flow(
            connection_id=stored.id,
            project_id=stored.project_id,
            client_id=str(stored.credential.get("clientId", _PEAKA_CLIENT_ID)),
            client_secret=str(stored.credential.get("clientSecret", "")),
            redirect_uri=str(redirect or f"{self.origin}{_PEAKA_CALLBACK}"),
            callback=callback,
            expires_at=self._world.now + timedelta(seconds=self._state_seconds),
        )
        state = secrets.token_urlsafe(24)
        self._world.state.flows[state] = flow
        url = self._provider.consent_url(
            client_id=flow.client_id, redirect_uri=flow.redirect_uri, scope=f"{stored.type}.read", state=state
        )
        return attrs.evolve(stored, active=False, url=url)

    async def _take_callback(self, call: Call) -> object:
        answer = _parse(text(call.json_object(), "queryParameters"))
        flow = self._flow(answer)
        if flow.project_id != call.path["projectId"]:
            raise _unknown_state()
        done = await self._complete(flow, answer)
        return {"id": done.id} if Oddity.CALLBACK_ANSWERS_ID in self._world.oddities else done.to_json()

    def _flow(self, answer: dict[str, str]) -> Flow:
        flow = self._world.state.flows.get(answer.get("state", ""))
        if flow is None:
            raise _unknown_state()
        return flow

    async def _complete(self, flow: Flow, answer: dict[str, str]) -> StoredConnection:
        """Exchange the code of a provider's answer, and activate the connection of its flow."""
        if self._world.now >= flow.expires_at:
            raise Refusal(400, error="INVALID_STATE", message="The state is expired", errorCode="oa001")
        if "error" in answer:
            raise Refusal(400, error="AUTHORIZATION_DENIED", message=answer["error"], errorCode="oa003")
        grant = await self._exchange(flow, answer.get("code", ""))
        stored = self._stored.get(flow.connection_id)
        if stored is None or stored.active:
            raise Refusal(400, error="INVALID_STATE", message="The state was used before", errorCode="oa001")
        stored = attrs.evolve(stored, active=True, url=None, grant=grant)
        self._stored[stored.id] = stored
        return stored

    async def _exchange(self, flow: Flow, code: str) -> Grant:
        try:
            return await self._provider.exchange(
                code, client_id=flow.client_id, client_secret=flow.client_secret, redirect_uri=flow.redirect_uri
            )
        except CodeRefused as refused:
            if refused.revoked is not None:
                self._destroy(refused.revoked)
            raise Refusal(400, error="INVALID_GRANT", message=refused.reason, errorCode="oa002") from None

    def _destroy(self, grant: Grant) -> None:
        """Remove the connections that used a grant that its provider has revoked."""
        for stored in [each for each in self._stored.values() if each.grant == grant]:
            del self._stored[stored.id]

    async def _take_redirect(self, request: web.Request) -> web.Response:
        raw = request.rel_url.raw_query_string if request.method == "GET" else await request.text()
        try:
            answer = _parse(raw)
            flow = self._flow(answer)
        except Refusal:
            return _html.notice("This flow is unknown", "Start again in the application you came from.", status=400)
        if flow.callback is None:
            return _html.notice("This flow ends elsewhere", "It was started without a connectionCallback.", status=400)
        try:
            await self._complete(flow, answer)
        except Refusal:
            status = "fail"
        else:
            status = "success"
        between = "?" if Oddity.SECOND_QUESTION_MARK in self._world.oddities else "&"
        outcome = between.join(f"{n}={quote(v)}" for n, v in (("connectionId", flow.connection_id), ("status", status)))
        location = f"{flow.callback}{'&' if '?' in flow.callback else '?'}{outcome}"
        return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})

    def _get(self, call: Call) -> object:
        return self._find(call).to_json()

    def _update(self, call: Call) -> object:
        stored = self._find(call)
        body = call.json_object()
        if "type" in body and text(body, "type") != stored.type:
            raise wrong_request("A connection keeps its type")
        if "name" in body:
            stored = attrs.evolve(stored, name=text(body, "name"))
        if "credential" in body:
            credential = _credential(body, CATALOGUE[stored.type], ends_at_callback=True)
            stored = attrs.evolve(stored, credential=credential)
            if _TOKENS & credential.keys():
                stored = attrs.evolve(stored, active=True, url=None, grant=None)
        self._stored[stored.id] = stored
        return stored.to_json()

    def _delete(self, call: Call) -> None:
        del self._stored[self._find(call).id]

    def _get_view(self, call: Call) -> object:
        stored = self._find(call)
        return {"type": stored.type, **CATALOGUE[stored.type].public(stored.credential)}

    def _find(self, call: Call) -> StoredConnection:
        connection_id = call.path["connectionId"]
        stored = self._stored.get(connection_id)
        if stored is None or stored.project_id != call.path["projectId"]:
            raise Refusal(
                400 if self._world.deviates(Deviation.DELETED_THING) else 404,
                error="INVALID_CONNECTION_ID",
                message=f"There is no connection with id {connection_id}",
                errorCode="cn004",
            )
        return stored


def _parse(query: str) -> dict[str, str]:
    """The parameters of a provider's answer; each may occur only once (RFC 6749, section 3.1)."""
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
        raise wrong_request("Unknown connection type")
    return connector


def _callback_url(body: dict[str, object]) -> str | None:
    if body.get("connectionCallback") is None:
        return None
    url = text(body, "connectionCallback")
    if problem := redirect_problem(url):
        raise wrong_request(f"connectionCallback: {problem}")
    return url


def _credential(body: dict[str, object], connector: Connector, *, ends_at_callback: bool) -> dict[str, object]:
    """The credential of a request, if it is enough for the connector.

    A flow that ends at a connectionCallback can use Peaka's own app and callback.
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
    _reach_source(credential, connector)
    return credential


def _reach_source(credential: dict[str, object], connector: Connector) -> None:
    """Refuse a credential that no source accepts: the secret `wrong`, or port 1, on which nothing listens."""
    confidential = [field.name for field in connector.fields if field.confidential]
    if str(credential.get("port")) == _UNREACHABLE_PORT:
        problem = "connection refused"
    elif any(credential.get(name) == WRONG_SECRET for name in confidential):
        problem = "authentication failed"
    else:
        return
    # The live service shows one of its internal routes, and never the credential.
    message = f"POST http://connector-service.internal:8080/v1/{connector.type.lower()}/validate: {problem}"
    raise Refusal(400, error="INVALID_CREDENTIALS", message=message)


def _needed(credential: dict[str, object], connector: Connector, *, ends_at_callback: bool) -> list[str]:
    """The required fields of the credential. The partner's own OAuth2 app without tokens needs a redirect URL."""
    if not connector.needs_redirect:
        return connector.required
    if "accessToken" in credential:
        return []
    needed = ["clientId", "clientSecret"]
    if not ends_at_callback and not _TOKENS & credential.keys():
        needed.append("redirectUrl")
    return needed
