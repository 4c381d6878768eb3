"""The connections group: its state and its nine operations."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

import attrs
from aiohttp import web

from peaka_async.emulator._provider import Provider

_PEAKA_CLIENT_ID = "peaka"
_PEAKA_CALLBACK = "/oauth2/callback"

_SECRET_WORDS = ("token", "secret", "password", "key")


def _field(name: str, kind: str = "text", *, required: bool = True) -> dict[str, object]:
    return {"fieldName": name, "fieldType": kind, "required": required, "description": name}


def _connector(
    kind: str, label: str, category: str, authorization: str, *fields: dict[str, object]
) -> dict[str, object]:
    return {
        "connectionType": kind,
        "connectionTypeLabel": label,
        "name": label,
        "authorizationType": authorization,
        "credentialSchemaType": f"{kind.lower()}_credential_schema",
        "redirectRequired": authorization == "oauth2",
        "category": category,
        "configuration": list(fields),
        "documentationUrl": f"https://docs.peaka.com/integrations/{kind.lower().replace('_', '-')}",
    }


_APP = (_field("clientId"), _field("clientSecret"))
CONNECTORS: dict[str, dict[str, object]] = {
    str(connector["connectionType"]): connector
    for connector in (
        _connector("stripe", "Stripe", "Payment", "bearer_token", _field("token")),
        _connector("airtable", "Airtable", "Productivity", "bearer_token", _field("personalAccessToken")),
        _connector("hubspot", "HubSpot", "CRM", "oauth2", *_APP),
        _connector("salesforce", "Salesforce", "CRM", "oauth2", *_APP),
        _connector("google_analytics", "Google Analytics", "Marketing", "oauth2", *_APP),
        _connector("google_sheets", "Google Sheets", "Productivity", "oauth2", *_APP),
        _connector("slack", "Slack", "Communication", "oauth2", *_APP),
        _connector("shopify", "Shopify", "E-Commerce", "api_key", _field("shop"), _field("accessToken")),
        _connector(
            "POSTGRES",
            "PostgreSQL",
            "Database",
            "custom",
            _field("url"),
            _field("port", "number"),
            _field("user"),
            _field("password"),
            _field("databaseName"),
            _field("useSsl", "boolean"),
        ),
        _connector(
            "MYSQL",
            "MySQL",
            "Database",
            "custom",
            _field("url"),
            _field("port", "number"),
            _field("user"),
            _field("password"),
        ),
    )
}


@attrs.define
class Stored:
    """A connection as the emulator keeps it.

    It is active once it can read data: at once with a full credential, after the consent in an OAuth2 flow.
    """

    id: str
    project_id: str
    name: str
    type: str
    credential: dict[str, object] = attrs.field(repr=False)
    callback: str | None = None
    active: bool = True
    code: str | None = attrs.field(default=None, repr=False)

    def shown(self) -> dict[str, object]:
        return {"id": self.id, "name": self.name, "type": self.type}


class Refusal(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, **body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@attrs.frozen
class _Flow:
    """A consent that was asked for: the state leads back to it."""

    connection_id: str
    client_id: str
    redirect_uri: str


class Connections:
    """The connections of all projects."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.origin = ""
        self.stored: dict[str, Stored] = {}
        self._flows: dict[str, _Flow] = {}

    def routes(self) -> dict[str, tuple[str, str, object]]:
        """Operation → (method, path below the base URL, handler)."""
        return {
            "connections.list_connection_config": ("GET", "/connections/config", self._configs),
            "connections.get_connection_config": ("GET", "/connections/config/{connectionType}", self._config),
            "connections.list_connections": ("GET", "/connections/{projectId}", self._list),
            "connections.create_connection": ("POST", "/connections/{projectId}", self._create),
            "connections.oauth2_callback": ("POST", "/connections/{projectId}/oauth2", self._callback),
            "connections.get_connection": ("GET", "/connections/{projectId}/{connectionId}", self._get),
            "connections.update_connection": ("PUT", "/connections/{projectId}/{connectionId}", self._update),
            "connections.delete_connection": ("DELETE", "/connections/{projectId}/{connectionId}", self._delete),
            "connections.get_connection_view": ("GET", "/connections/{projectId}/{connectionId}/detail", self._detail),
        }

    async def _configs(self, _: web.Request) -> web.Response:
        return web.json_response(list(CONNECTORS.values()))

    async def _config(self, request: web.Request) -> web.Response:
        connector = CONNECTORS.get(request.match_info["connectionType"])
        if connector is None:
            raise Refusal(404, error="NOT_FOUND", message="There is no such connection type", errorCode=None)
        return web.json_response(connector)

    async def _list(self, request: web.Request) -> web.Response:
        project = request.match_info["projectId"]
        return web.json_response([each.shown() for each in self.stored.values() if each.project_id == project])

    async def _create(self, request: web.Request) -> web.Response:
        body = await _body(request)
        kind = _text(body, "type")
        connector = CONNECTORS.get(kind)
        if connector is None:
            raise Refusal(400, error="WrongRequestException", message="Unknown connection type", errorCode=None)
        credential = body.get("credential")
        if credential is None and not (connector["redirectRequired"] and body.get("connectionCallback")):
            raise Refusal(400, error="Bad Request", message="Missing property 'credential'")
        if credential is not None and not isinstance(credential, dict):
            raise Refusal(400, errorCode=100, message="'credential' must be an object")
        callback = body.get("connectionCallback")
        stored = Stored(
            id=str(uuid.uuid4()),
            project_id=request.match_info["projectId"],
            name=_text(body, "name"),
            type=kind,
            credential=dict(credential or {}),
            callback=callback if isinstance(callback, str) else None,
        )
        needs_consent = bool(connector["redirectRequired"]) and not {"accessToken", "refreshToken"} & set(
            stored.credential
        )
        self.stored[stored.id] = stored
        if not needs_consent:
            return web.json_response(stored.shown())
        stored.active = False
        return web.json_response({**stored.shown(), "url": self._consent_url(stored)})

    def _consent_url(self, stored: Stored) -> str:
        redirect = stored.credential.get("redirectUrl")
        flow = _Flow(
            connection_id=stored.id,
            client_id=str(stored.credential.get("clientId") or _PEAKA_CLIENT_ID),
            redirect_uri=str(redirect) if redirect else f"{self.origin}{_PEAKA_CALLBACK}",
        )
        state = secrets.token_urlsafe(24)
        self._flows[state] = flow
        return self.origin + self.provider.consent_path(
            client_id=flow.client_id, redirect_uri=flow.redirect_uri, state=state, scope=stored.type
        )

    async def _callback(self, request: web.Request) -> web.Response:
        body = await _body(request)
        stored = self._complete(_text(body, "queryParameters"), request.match_info["projectId"])
        return web.json_response(stored.shown())

    def _complete(self, query: str, project_id: str | None) -> Stored:
        """Exchange the code that a raw query carries, and bring its connection to life."""
        parameters = parse_qs(query, keep_blank_values=True)
        flow = self._flows.get(parameters.get("state", [""])[0])
        stored = self.stored.get(flow.connection_id) if flow is not None else None
        value = parameters.get("code", [""])[0]
        code = None
        if flow is not None:
            code = self.provider.redeem(value, client_id=flow.client_id, redirect_uri=flow.redirect_uri)
        self._punish(value)
        if (
            stored is None
            or stored.id not in self.stored
            or (project_id is not None and stored.project_id != project_id)
        ):
            raise Refusal(400, error="INVALID_STATE", message="The state is not known", errorCode="oa001")
        if code is None:
            raise Refusal(400, error="INVALID_GRANT", message="The code is wrong, expired or used", errorCode="oa002")
        stored.active, stored.code = True, value
        return stored

    def _punish(self, value: str) -> None:
        """A code presented again revokes what it made before, as RFC 6749 (section 4.1.2) lets providers do."""
        code = self.provider.codes.get(value)
        if code is not None and code.presented > 1:
            for stored in [each for each in self.stored.values() if each.code == value]:
                del self.stored[stored.id]

    async def peaka_callback(self, request: web.Request) -> web.StreamResponse:
        """Where Peaka itself takes the provider's redirect, and sends the browser on to the partner."""
        query = request.rel_url.raw_query_string
        flow = self._flows.get(request.query.get("state", ""))
        target = self.stored[flow.connection_id].callback if flow and flow.connection_id in self.stored else None
        if flow is None or target is None:
            return web.Response(status=400, text="This flow is not known.")
        try:
            self._complete(query, None)
        except Refusal:
            status = "fail"
        else:
            status = "success"
        answer = urlencode({"connectionId": flow.connection_id, "status": status})
        return web.Response(status=302, headers={"Location": f"{target}{'&' if '?' in target else '?'}{answer}"})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).shown())

    async def _update(self, request: web.Request) -> web.Response:
        stored = self._find(request)
        body = await _body(request)
        credential = body.get("credential")
        if isinstance(credential, dict):
            stored.credential = dict(credential)
        if isinstance(body.get("name"), str):
            stored.name = _text(body, "name")
        return web.json_response(stored.shown())

    async def _delete(self, request: web.Request) -> web.Response:
        del self.stored[self._find(request).id]
        return web.Response(status=200)

    async def _detail(self, request: web.Request) -> web.Response:
        stored = self._find(request)
        public = {
            name: value
            for name, value in stored.credential.items()
            if not any(word in name.lower() for word in _SECRET_WORDS)
        }
        return web.json_response({"type": stored.type, **public})

    def _find(self, request: web.Request) -> Stored:
        stored = self.stored.get(request.match_info["connectionId"])
        if stored is None or stored.project_id != request.match_info["projectId"]:
            raise Refusal(
                400,
                error="INVALID_CONNECTION_ID",
                message=f"There is no connection with id {request.match_info['connectionId']}",
                errorCode="cn004",
            )
        return stored


async def _body(request: web.Request) -> Mapping[str, object]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, error="Bad Request", message="The body is not a JSON object")
    return body


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(400, error="Bad Request", message=f"Missing property '{name}'")
    return value
