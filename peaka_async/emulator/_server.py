"""The emulator's server: routing, keys, faults, and what it saw."""

from __future__ import annotations

import ipaddress
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import TracebackType
from typing import Self, final
from urllib.parse import urlencode

import aiohttp
import attrs
from aiohttp import web

from peaka_async.emulator import _pages
from peaka_async.emulator._connections import Connections, StoredConnection
from peaka_async.emulator._faults import Fault, Faults, Moment
from peaka_async.emulator._keys import Caller, Keys, Project
from peaka_async.emulator._operation import Call, Operation, Refusal
from peaka_async.emulator._provider import AuthorizationServer, Code, Provider, ResponseMode
from peaka_async.errors import ConfigurationError

_PREFIX = "/api/v1"
_LEDGER_LENGTH = 10_000
_LEDGER_BODY_BYTES = 65_536
_MAX_BODY_BYTES = 64 * 1024 * 1024
_SHUTDOWN_SECONDS = 0.01  # aiohttp takes 0 for no limit, and a fault may hang until the client gives up

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@final
@attrs.frozen
class Received:
    """A request that reached the API.

    `operation` is None where nothing answers to the path and method. `body` holds the first 64 KiB, and nothing where
    a fault struck on arrival. `fault` is what the request ran into.
    """

    operation: str | None
    method: str
    target: str
    headers: dict[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    at: datetime
    fault: Fault | None = None


class Emulator:
    """A local stand-in for Peaka and for an OAuth2 provider.

    Args:
        port: where it listens; 0 takes a free port.
        host: a loopback address.
        code_seconds: how long an authorization code is valid.
        state_seconds: how long an OAuth2 flow may take.
        response_mode: how the provider delivers its answer: in a redirect, or by a form that the browser posts.
        authorization_server: another provider, in place of the emulator's own, as of a mock server written by others.

    Attributes:
        api_key: a Partner key.
        project_id: a project that exists.
        project_key: a Project key of that project.
        faults: what goes wrong, by script.
        provider: the emulator's own OAuth2 provider.

    Raises:
        ConfigurationError: the host is not loopback.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        code_seconds: float = 600.0,
        state_seconds: float = 3600.0,
        response_mode: ResponseMode = "query",
        authorization_server: AuthorizationServer | None = None,
    ) -> None:
        self._host, self._port = _loopback(host), port
        self._keys = Keys()
        self.provider: Provider = Provider(code_seconds=code_seconds, response_mode=response_mode)
        self._connections = Connections(authorization_server or self.provider, state_seconds=state_seconds)
        self._operations = self._routing_table()
        self.faults: Faults = Faults(self._operations)
        self._requests: deque[Received] = deque(maxlen=_LEDGER_LENGTH)
        self._runner: web.AppRunner | None = None
        self.api_key: str = self._keys.partner
        self.project_id: str = self._keys.first.id
        self.project_key: str = self._keys.first.key

    @property
    def origin(self) -> str:
        """Scheme, host and port.

        Raises:
            ConfigurationError: it is not started.
        """
        if not self.provider.origin:
            msg = "The emulator is not started."
            raise ConfigurationError(msg)
        return self.provider.origin

    @property
    def base_url(self) -> str:
        """Where the API is.

        Raises:
            ConfigurationError: it is not started.
        """
        return self.origin + _PREFIX

    @property
    def requests(self) -> tuple[Received, ...]:
        """What reached the API, the newest last; at most the last 10,000."""
        return tuple(self._requests)

    @property
    def codes(self) -> tuple[Code, ...]:
        """The authorization codes that were issued, and how often each was presented to the provider."""
        return tuple(self.provider.codes.values())

    def connections(self, project_id: str | None = None) -> list[StoredConnection]:
        """The connections that a project has; that of `project_id` unless told otherwise."""
        wanted = project_id or self.project_id
        return [each for each in self._connections.stored.values() if each.project_id == wanted]

    def add_project(self, name: str) -> Project:
        """Make another project, with a key of its own."""
        return self._keys.add_project(name)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: it is started already.
            OSError: the port is taken.
        """
        if self._runner is not None:
            msg = "The emulator is started already."
            raise ConfigurationError(msg)
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._runner = runner
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await self.stop()
            raise
        port = runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.provider.origin = self._connections.origin = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close all sockets at once; what was stored stays."""
        runner, self._runner = self._runner, None
        self.provider.origin = ""
        if runner is not None:
            await runner.cleanup()

    async def consent(self, url: str, *, allow: bool = True) -> str:
        """Do what a person does on the consent page, over HTTP.

        Returns:
            The URL that the provider sends the browser to, byte for byte; it is not followed. In the form_post mode it
            is the form's URL with the fields as the query, encoded as a browser encodes the body.

        Raises:
            ConfigurationError: the URL is no consent page of this emulator, or the page turned it down.
        """
        if not url.startswith(f"{self.origin}/oauth2/authorize?"):
            msg = "This is no consent page of this emulator."
            raise ConfigurationError(msg)
        async with aiohttp.ClientSession() as browser:
            async with browser.get(url) as shown:
                page = _Form.of(await shown.text())
            if page.action is None:
                msg = f"The consent page turned the request down: HTTP {shown.status}."
                raise ConfigurationError(msg)
            decision = {"decision": "allow" if allow else "deny"}
            async with browser.post(self.origin + page.action, data=decision, allow_redirects=False) as decided:
                return decided.headers.get("Location") or _Form.of(await decided.text()).target()

    def _routing_table(self) -> dict[str, Operation]:
        info = Operation("info", "GET", "/info", self._info)
        return {operation.id: operation for operation in (info, *self._connections.operations())}

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer_framework_errors], client_max_size=_MAX_BODY_BYTES)
        for operation in self._operations.values():
            application.router.add_route(operation.method, _PREFIX + operation.template, self._served(operation))
        application.router.add_routes([*self.provider.routes(), *self._connections.routes()])
        application.router.add_get("/", self._welcome)
        return application

    def _served(self, operation: Operation) -> _Handler:
        """Around each operation: the ledger, the fault of the day, the key, and errors in the API's forms."""

        async def serve(request: web.Request) -> web.StreamResponse:
            fault = self.faults.take(operation.id)
            arriving = fault is not None and fault.moment is Moment.ON_ARRIVAL
            self._record(request, operation.id, b"" if arriving else await request.read(), fault)

            async def work() -> web.Response:
                return await self._work(operation, request)

            return await (work() if fault is None else fault.strike(request, work))

        return serve

    async def _work(self, operation: Operation, request: web.Request) -> web.Response:
        try:
            caller = self._authenticate(request)
            return await operation.work(Call(request, await request.read(), caller))
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)

    def _authenticate(self, request: web.Request) -> Caller:
        caller = self._keys.caller(request.headers.get("Authorization", ""))
        if caller is None:
            raise Refusal(401, code=401, message="The API key is not valid")
        project_id = request.match_info.get("projectId")
        if project_id is not None and not caller.may_reach(project_id):
            raise Refusal(403, code=403, message="The API key does not belong to this project")
        if project_id is not None and project_id not in self._keys.projects:
            raise Refusal(404, error="NOT_FOUND", message=f"There is no project with id {project_id}", errorCode=None)
        return caller

    def _record(self, request: web.Request, operation: str | None, body: bytes, fault: Fault | None) -> None:
        self._requests.append(
            Received(
                operation,
                request.method,
                request.raw_path,
                dict(request.headers),
                body[:_LEDGER_BODY_BYTES],
                datetime.now(UTC),
                fault,
            )
        )

    @staticmethod
    async def _info(call: Call) -> web.Response:
        info = {"userId": "u-1", "email": "partner@example.com"}
        if call.caller.project is not None:
            info |= {"projectId": call.caller.project.id, "projectName": call.caller.project.name}
        return web.json_response(info)

    async def _welcome(self, _: web.Request) -> web.Response:
        count = len(self._connections.stored)
        return _pages.notice("Peaka emulator", f"The API is at {self.base_url}. It holds {count} connections.")

    @web.middleware
    async def _answer_framework_errors(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """What the service's framework answers where no operation is reached."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:  # noqa: PLR2004
                raise
            if request.path.startswith(f"{_PREFIX}/") and request.match_info.http_exception is not None:
                self._record(request, None, b"", None)
            body = {
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "path": request.path,
                "status": error.status,
                "error": error.reason,
                "requestId": uuid.uuid4().hex[:8],
            }
            return web.json_response(body, status=error.status)


class _Form(HTMLParser):
    """The form of a page: where it goes, and what it carries."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: list[tuple[str, str]] = []

    @classmethod
    def of(cls, page: str) -> Self:
        form = cls()
        form.feed(page)
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.action = values.get("action")
        elif tag == "input":
            self.fields.append((values.get("name") or "", values.get("value") or ""))

    def target(self) -> str:
        return f"{self.action}{'&' if '?' in (self.action or '') else '?'}{urlencode(self.fields)}"


def _loopback(host: str) -> str:
    """The address to listen on; `localhost` is one address, since two would get two ports."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    msg = "The emulator listens on loopback only: it hands out connections to whoever asks."
    raise ConfigurationError(msg)
