"""The emulator's server: routing, keys, faults, and the received requests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ipaddress
import os
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Self, final
from urllib.parse import urlencode

import aiohttp
import attrs
from aiohttp import web

from peaka_async.emulator import _front_page, _strict
from peaka_async.emulator._clock import Clock
from peaka_async.emulator._control import Control
from peaka_async.emulator._faults import Fault, Faults, Moment
from peaka_async.emulator._files import Files
from peaka_async.emulator._groups.connections import Connections
from peaka_async.emulator._groups.table import routing_table
from peaka_async.emulator._keys import caller_of
from peaka_async.emulator._operation import Answer, Call, Caller, Operation, Project, Refusal, not_found
from peaka_async.emulator._provider import AuthorizationServer, Code, Provider, ResponseMode
from peaka_async.emulator._seed import add_key, new_project, seed, with_keys
from peaka_async.emulator._state import State, StoredConnection
from peaka_async.emulator._world import Oddity, Pace, World
from peaka_async.errors import ConfigurationError

_PREFIX = "/api/v1"
_LEDGER_LENGTH = 10_000
_SHOWN_CALLS = 100
_SAVE_SECONDS = 1.0
_LEDGER_BODY_BYTES = 65_536
_MAX_BODY_BYTES = 64 * 1024 * 1024
_SHUTDOWN_SECONDS = 0.01  # for aiohttp 0 is no limit, and a fault may hang until the client gives up

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@final
@attrs.frozen
class Received:
    """A request that reached the API.

    `operation` is None if no operation has the path and method. `body` holds the first 64 KiB; it is empty if a fault
    happened before the body was read. `fault` is the fault of the request.
    """

    operation: str | None
    method: str
    target: str
    headers: dict[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    at: datetime
    fault: Fault | None = None


class Emulator:
    """A local Peaka, with an OAuth2 provider.

    Args:
        port: the port to listen on; 0 selects a free port.
        host: a loopback address.
        code_seconds: how long an authorization code is valid.
        state_seconds: how long an OAuth2 flow may take.
        response_mode: how the provider delivers its answer: in a redirect, or in a form that the browser posts.
        authorization_server: another provider instead of the emulator's own, such as a mock server.
        api_key: the Partner key. Defaults to a new one.
        project_key: the project's key. Defaults to a new one.
        project_id: the project's id. Defaults to `mtKDhe1U`.
        seed: the initial state: a `State`, or a file with one. Defaults to a small company with five data sources.
        state_file: a file in which the state is kept. If it exists, it is the initial state.
        strict: whether answers follow the published document instead of the live service.
        manual_time: whether time stops until `advance` is called.
        pace: how long work in the background takes.
        control: whether another process on this machine may set faults and time, and read the received requests, at
            `/control`.

    Attributes:
        api_key: a Partner key.
        project_id: the id of the first project.
        project_key: a Project key of that project.
        faults: the script of faults.
        oddities: odd behaviour that the live service shows now and then; the emulator shows those in this set.
        provider: the emulator's own OAuth2 provider.
        state: the emulator's data.

    Raises:
        ConfigurationError: the host is not a loopback address, or a file cannot be read.
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
        api_key: str | None = None,
        project_key: str | None = None,
        project_id: str | None = None,
        seed: State | str | os.PathLike[str] | None = None,
        state_file: str | os.PathLike[str] | None = None,
        strict: bool = False,
        manual_time: bool = False,
        pace: Pace | None = None,
        control: bool = False,
    ) -> None:
        self._host, self._port = _loopback(host), port
        self._state_file = None if state_file is None else Path(state_file)
        state = _begin_with(seed, self._state_file, api_key=api_key, project_key=project_key, project_id=project_id)
        self._clock = Clock(manual=manual_time)
        self._world = World(state, self._clock, strict=strict, pace=pace)
        self.state: State = state
        self.oddities: set[Oddity] = self._world.oddities
        self.provider: Provider = Provider(code_seconds=code_seconds, response_mode=response_mode, clock=self._clock)
        server = authorization_server or self.provider
        self._control = Control(self) if control else None
        self._connections = Connections(self._world, server, state_seconds=state_seconds)
        self._files = Files(self._clock)
        self._operations = routing_table(self._world, self._connections, self._files)
        self.faults: Faults = Faults(self._operations)
        self._requests: deque[Received] = deque(maxlen=_LEDGER_LENGTH)
        self._calls: deque[_front_page.Served] = deque(maxlen=_SHOWN_CALLS)
        self._runners: list[web.AppRunner] = []
        self._saving: asyncio.Task[None] | None = None
        self.api_key: str = state.partner_key
        self.project_id: str
        self.project_key: str
        self.project_id, self.project_key = _first_project(state)

    @property
    def origin(self) -> str:
        """The scheme, host and port.

        Raises:
            ConfigurationError: the emulator is not started.
        """
        if not self.provider.origin:
            msg = "The emulator is not started."
            raise ConfigurationError(msg)
        return self.provider.origin

    @property
    def base_url(self) -> str:
        """The API's address, for `PeakaClient(base_url=…)`.

        Raises:
            ConfigurationError: the emulator is not started.
        """
        return self.origin + _PREFIX

    @property
    def requests(self) -> tuple[Received, ...]:
        """The last 10,000 requests that reached the API; the newest is the last."""
        return tuple(self._requests)

    @property
    def downloads(self) -> tuple[str, ...]:
        """The targets of requests for exported files, which are on another host; the newest is the last."""
        return tuple(self._files.targets)

    @property
    def codes(self) -> tuple[Code, ...]:
        """The issued authorization codes, with the number of times that each was presented to the provider."""
        return tuple(self.provider.codes.values())

    def received(self, operation: str | None = None) -> tuple[Received, ...]:
        """The requests for an operation (such as `queries.execute`), or for all; the newest is the last.

        Raises:
            ConfigurationError: there is no such operation.
        """
        if operation is None:
            return self.requests
        self.faults.check(operation)
        return tuple(each for each in self._requests if each.operation == operation)

    def connections(self, project_id: str | None = None) -> list[StoredConnection]:
        """The connections that were created in a project, without those of the initial state.

        The default is the project of the attribute `project_id`.
        """
        wanted = project_id or self.project_id
        made = [each for key, each in self.state.connections.items() if key not in self.state.seeded]
        return [each for each in made if each.project_id == wanted]

    def add_project(self, name: str) -> Project:
        """Add a project with its own key."""
        workspace = next(iter(self.state.workspaces), "")
        project = new_project(self.state, name, workspace)
        project.created_at = self._world.now
        return Project(project.id, name, add_key(project, name).secret)

    def advance(self, seconds: float) -> None:
        """Advance the time: work in the background goes on, and codes, links and keys expire.

        Raises:
            ConfigurationError: the number is negative, or too large.
        """
        self._clock.advance(seconds)
        self._world.settle()

    def set_row_count(self, catalog: str, schema: str, table: str, count: int) -> None:
        """Set the number of rows of a source's table, as if its owner had added or removed rows.

        Raises:
            ConfigurationError: there is no such table, or its rows are not generated.
        """
        for found, found_schema, each in self.state.projects[self.project_id].tables():
            if (found.name, found_schema, each.name) == (catalog, schema, table) and each.rows is None:
                each.most, each.count = max(each.most, each.count), count
                return
        msg = f"The emulator has no table {catalog}.{schema}.{table} whose rows can be set."
        raise ConfigurationError(msg)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start to listen.

        Raises:
            ConfigurationError: the emulator is already started.
            OSError: the port is in use.
        """
        if self._runners:
            msg = "The emulator is already started."
            raise ConfigurationError(msg)
        try:
            self.provider.origin = self._connections.origin = await self._listen(self._application(), self._port)
            self._files.origin = await self._listen(self._files.application(), 0)
        except BaseException:
            await self.stop()
            raise
        if self._state_file is not None:
            self._world.changed = True
            self._saving = asyncio.create_task(self._keep_saving())

    async def stop(self) -> None:
        """Close all sockets at once. The state stays."""
        runners, self._runners = self._runners, []
        saving, self._saving = self._saving, None
        self.provider.origin = ""
        for runner in runners:
            await runner.cleanup()
        if saving is not None:
            saving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await saving
            self._save()

    async def consent(self, url: str, *, allow: bool = True) -> str:
        """Allow or deny on the consent page, over HTTP, as a person does in a browser.

        Returns:
            The URL that the provider sends the browser to, byte for byte. It is not followed. In the form_post mode it
            is the form's URL with the fields as the query, encoded as a browser encodes the body.

        Raises:
            ConfigurationError: the URL is not a consent page of this emulator, or the page refused the request.
        """
        if not url.startswith(f"{self.origin}/oauth2/authorize?"):
            msg = "The URL is not a consent page of this emulator."
            raise ConfigurationError(msg)
        async with aiohttp.ClientSession() as browser:
            async with browser.get(url) as shown:
                page = _Form.of(await shown.text())
            if page.action is None:
                msg = f"The consent page refused the request: HTTP {shown.status}."
                raise ConfigurationError(msg)
            decision = {"decision": "allow" if allow else "deny"}
            async with browser.post(self.origin + page.action, data=decision, allow_redirects=False) as decided:
                return decided.headers.get("Location") or _Form.of(await decided.text()).target()

    async def _listen(self, application: web.Application, port: int) -> str:
        """Serve an application and return its origin."""
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, self._host, port).start()
        taken = runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{taken}"

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self._save()

    def _save(self) -> None:
        if self._state_file is not None and self._world.changed:
            self._world.changed = False
            self.state.save(self._state_file)

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer_framework_errors], client_max_size=_MAX_BODY_BYTES)
        for operation in self._operations.values():
            application.router.add_route(operation.method, _PREFIX + operation.template, self._served(operation))
        application.router.add_routes([*self.provider.routes(), *self._connections.routes()])
        application.router.add_get("/", self._welcome)
        if self._control is not None:
            application.router.add_routes(self._control.routes())
        return application

    def _served(self, operation: Operation) -> _Handler:
        """Wrap an operation: record the request, apply faults, check the key, and give errors the API's form."""

        async def serve(request: web.Request) -> web.StreamResponse:
            began = time.monotonic()
            fault = self.faults.take(operation.id)
            arriving = fault is not None and fault.moment is Moment.ON_ARRIVAL
            self._record(request, operation.id, b"" if arriving else await request.read(), fault)

            async def work() -> web.Response:
                return await self._work(operation, request)

            answer = await (work() if fault is None else fault.strike(request, work))
            self._calls.append(
                _front_page.Served(
                    at=self._world.now,
                    method=request.method,
                    path=request.path,
                    operation=operation.id,
                    status=answer.status,
                    seconds=time.monotonic() - began,
                    fault=None if fault is None else fault.kind,
                )
            )
            return answer

        return serve

    async def _work(self, operation: Operation, request: web.Request) -> web.Response:
        self._world.settle()
        self._world.changed |= request.method != "GET"
        try:
            caller = self._authenticate(operation, request)
            done = operation.work(Call(request, await request.read(), caller))
            answer = await done if inspect.isawaitable(done) else done
        except Refusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        except ModuleNotFoundError as error:
            message = f"The emulator's SQL needs {error.name}: pip install peaka-async[emulator]"
            answer = Answer(501, {"error": "Not Implemented", "message": message})
        if isinstance(answer, web.Response):
            return answer
        if not isinstance(answer, Answer):
            answer = Answer(200, answer)
        if self._world.strict:
            answer = _strict.as_documented(operation.id, answer)
        return _response(answer)

    def _authenticate(self, operation: Operation, request: web.Request) -> Caller:
        caller = caller_of(self.state, request.headers.get("Authorization", ""), self._world.now)
        if caller is None:
            raise Refusal(401, code=401, message="The API key is not valid")
        if operation.partner_only and caller.project is not None:
            raise Refusal(403, code=403, message="A Project key may not do this")
        project_id = request.match_info.get("projectId")
        if project_id is not None and not caller.may_reach(project_id):
            raise Refusal(403, code=403, message="The API key does not belong to this project")
        if project_id is not None and project_id not in self.state.projects:
            raise not_found(f"There is no project with id {project_id}")
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

    async def _welcome(self, _: web.Request) -> web.Response:
        return _front_page.page(self.base_url, self.state, self._calls, strict=self._world.strict)

    @web.middleware
    async def _answer_framework_errors(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Give the answers of the service's framework if the request reaches no operation."""
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
    """The form of a page: its target and its fields."""

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


def _begin_with(given: State | str | os.PathLike[str] | None, state_file: Path | None, **options: str | None) -> State:
    """The stored state, else the given seed, else the default seed; with the given keys and project id."""
    if state_file is not None and state_file.exists():
        given = state_file
    if given is None:
        return seed(**options)
    state = given if isinstance(given, State) else State.load(given)
    return with_keys(state, **options)


def _first_project(state: State) -> tuple[str, str]:
    """The id and the first key of the first project."""
    for project in state.projects.values():
        for key in project.keys.values():
            return project.id, key.secret
    msg = "The emulator's seed needs a project with a key."
    raise ConfigurationError(msg)


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status)
    return web.json_response(answer.body, status=answer.status)


def _loopback(host: str) -> str:
    """The address to listen on. For `localhost` it is a single address, because two would get two ports."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    msg = "The emulator listens only on loopback, because it gives connections to everyone who asks."
    raise ConfigurationError(msg)
