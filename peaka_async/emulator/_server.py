"""The emulator's server: keys, routing, faults, and what it saw."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, cast

import aiohttp
import attrs
from aiohttp import web

from peaka_async.emulator._connections import Connections, Refusal, Stored
from peaka_async.emulator._faults import Faults
from peaka_async.emulator._provider import Provider, page
from peaka_async.errors import ConfigurationError

_PREFIX = "/api/v1"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LEDGER_LENGTH = 10_000
_SHUTDOWN_SECONDS = 0.01  # aiohttp takes 0 for no limit, and a fault may hang for an hour

Handler = Callable[[web.Request], Awaitable[web.Response]]


@attrs.frozen
class Received:
    """A request that reached an operation."""

    operation: str
    method: str
    target: str
    headers: dict[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


class Emulator:
    """A local stand-in for Peaka and for an OAuth2 provider.

    Args:
        port: where it listens; 0 takes a free port.
        host: a loopback address.
        code_seconds: how long an authorization code is valid.

    Attributes:
        api_key: a Partner key.
        project_id: a project that exists.
        project_key: a Project key of that project.
        faults: what goes wrong, by script.
        provider: the OAuth2 provider, with the codes that it issued.
        requests: what reached the API, the newest last.

    Raises:
        ConfigurationError: the host is not loopback.
    """

    def __init__(self, *, port: int = 0, host: str = "127.0.0.1", code_seconds: float = 600.0) -> None:
        if host not in _LOOPBACK:
            msg = "The emulator listens on loopback only: it hands out connections to whoever asks."
            raise ConfigurationError(msg)
        self.api_key: str = f"pk-partner-{secrets.token_hex(8)}"
        self.project_key: str = f"pk-project-{secrets.token_hex(8)}"
        self.project_id = "mtKDhe1U"
        self.faults: Faults = Faults()
        self.provider: Provider = Provider(code_seconds=code_seconds)
        self.requests: deque[Received] = deque(maxlen=_LEDGER_LENGTH)
        self._connections = Connections(self.provider)
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        return self._connections.origin

    @property
    def base_url(self) -> str:
        return self.origin + _PREFIX

    def connections(self, project_id: str | None = None) -> list[Stored]:
        """The connections that a project has."""
        wanted = project_id or self.project_id
        return [each for each in self._connections.stored.values() if each.project_id == wanted]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._connections.origin = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close all sockets."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def consent(self, url: str, *, allow: bool = True) -> str:
        """Do what a person does on the consent page, over HTTP.

        Returns:
            The URL that the provider sends the browser to, byte for byte; it is not followed.
        """
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as asked:
                asked.raise_for_status()
            decision = {"decision": "allow" if allow else "deny"}
            async with session.post(asked.url, data=decision, allow_redirects=False) as decided:
                return decided.headers["Location"]

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_framework_errors], client_max_size=64 * 1024 * 1024)
        for operation, (method, path, handler) in self._operations().items():
            application.router.add_route(method, _PREFIX + path, self._served(operation, handler))
        application.router.add_routes(self.provider.routes())
        application.router.add_get("/oauth2/callback", self._connections.peaka_callback)
        application.router.add_get("/", self._welcome)
        return application

    def _operations(self) -> dict[str, tuple[str, str, Handler]]:
        operations = {"info": ("GET", "/info", self._info), **self._connections.routes()}
        return cast("dict[str, tuple[str, str, Handler]]", operations)

    def _served(self, operation: str, work: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Around each operation: the ledger, the fault of the day, the key, and errors in the API's forms."""

        async def checked(request: web.Request) -> web.Response:
            try:
                self._check_key(request)
                return await work(request)
            except Refusal as refusal:
                return web.json_response(refusal.body, status=refusal.status)

        async def serve(request: web.Request) -> web.StreamResponse:
            fault = self.faults.take(operation)
            body = b"" if fault is not None and fault.moment.value == "on arrival" else await request.read()
            self.requests.append(
                Received(operation, request.method, request.rel_url.raw_path_qs, dict(request.headers), body)
            )
            return await (checked(request) if fault is None else fault.strike(request, checked))

        return serve

    def _check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        known = {self.api_key: None, self.project_key: self.project_id}
        if scheme != "Bearer" or key not in known:
            raise Refusal(401, code=401, message="The API key is not valid")
        project = request.match_info.get("projectId")
        if known[key] is not None and project is not None and project != known[key]:
            raise Refusal(403, code=403, message="The API key does not belong to this project")

    async def _info(self, request: web.Request) -> web.Response:
        info = {"userId": "u-1", "email": "partner@example.com"}
        if request.headers["Authorization"].endswith(self.project_key):
            info |= {"projectId": self.project_id, "projectName": "Emulated project"}
        return web.json_response(info)

    async def _welcome(self, _: web.Request) -> web.Response:
        count = len(self._connections.stored)
        return page("Peaka emulator", f"<h1>Peaka emulator</h1><p>The API is at {_PREFIX}. Connections: {count}.</p>")


@web.middleware
async def _framework_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the service's framework answers before any operation is reached."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004
            raise
        body = {
            "timestamp": datetime.now(UTC).isoformat(),
            "path": request.path,
            "status": error.status,
            "error": error.reason,
            "requestId": uuid.uuid4().hex[:8],
        }
        return web.json_response(body, status=error.status)


async def serve(port: int, host: str) -> None:
    """Serve an emulator until it is cancelled, and say how to reach it."""
    async with Emulator(port=port, host=host) as emulator:
        print(  # noqa: T201 - the command's own output
            f"Peaka emulator at {emulator.base_url}\n"
            f"  Partner key  {emulator.api_key}\n"
            f"  Project key  {emulator.project_key} (project {emulator.project_id})\n"
            "Try it:\n"
            f"  curl -H 'Authorization: Bearer {emulator.api_key}' {emulator.base_url}/connections/config\n"
            "Ctrl-C ends it.",
            flush=True,
        )
        await asyncio.Event().wait()
