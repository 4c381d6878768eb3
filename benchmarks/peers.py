"""The clients that are compared. Each does the main job: it posts a callback and gets a Connection."""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import attrs
import cattrs
import httpx
import tenacity
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import peaka_async

QUERY = "code=1234&state=xyz&param1=value1&param2=value2"
KEY = "key"

Job = Callable[[str], Awaitable[object]]
"""Completes a connection of the project."""

Peer = Callable[[str, int], AbstractAsyncContextManager[Job]]
"""Opens a client of the base URL with so many connections."""


# ── The floor: what asyncio alone costs ──────────────────────────────────────────────────────────────────────────────


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.waiting: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        head = self.data.find(b"\r\n\r\n")
        if head < 0 or self.waiting is None:
            return
        length = int(self.data[:head].lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(self.data) >= head + 4 + length:
            body, self.data = self.data[head + 4 : head + 4 + length], b""
            self.waiting.set_result(body)


@asynccontextmanager
async def protocol(base: str, limit: int) -> AsyncIterator[Job]:
    """A hand-written asyncio.Protocol client."""
    url = urlsplit(base)
    loop = asyncio.get_running_loop()
    idle: deque[_Connection] = deque()
    turns = asyncio.Semaphore(limit)
    every: list[_Connection] = []

    async def job(project: str) -> object:
        async with turns:
            if idle:
                connection = idle.pop()
            else:
                _, connection = await loop.create_connection(_Connection, url.hostname, url.port)
                every.append(connection)
            body = json.dumps({"queryParameters": QUERY}).encode()
            head = (
                f"POST {url.path}/connections/{project}/oauth2 HTTP/1.1\r\nHost: {url.netloc}\r\n"
                f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.waiting = loop.create_future()
            connection.transport.write(head.encode() + body)
            answer = await connection.waiting
            idle.append(connection)
        return json.loads(answer)

    try:
        yield job
    finally:
        for connection in every:
            connection.transport.close()


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def bare_aiohttp(base: str, limit: int) -> AsyncIterator[Job]:
    """aiohttp as its front page shows it."""  # noqa: D403 - its own name
    connector = aiohttp.TCPConnector(limit=limit)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:

        async def job(project: str) -> object:
            url = f"{base}/connections/{project}/oauth2"
            async with session.post(url, json={"queryParameters": QUERY}) as answer:
                answer.raise_for_status()
                return await answer.json()

        yield job


@attrs.frozen
class Callback:
    """What is sent."""

    queryParameters: str  # noqa: N815 - as the API has it


@attrs.frozen
class Connection:
    """What comes back."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    url: str | None = None


@asynccontextmanager
async def whole_aiohttp(base: str, limit: int) -> AsyncIterator[Job]:
    """aiohttp by hand with tenacity, spans and cattrs: what a careful team writes."""  # noqa: D403
    connector = aiohttp.TCPConnector(limit=limit)
    converter = cattrs.Converter()
    tracer = trace.get_tracer("by-hand")
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:

        async def once(url: str, body: object) -> Connection:
            attributes = {"http.request.method": "POST", "url.full": url}
            with tracer.start_as_current_span("POST", kind=trace.SpanKind.CLIENT, attributes=attributes) as span:
                async with session.post(url, json=body) as answer:
                    span.set_attribute("http.response.status_code", answer.status)
                    answer.raise_for_status()
                    return converter.structure(await answer.json(), Connection)

        async def job(project: str) -> object:
            body = converter.unstructure(Callback(QUERY))
            async for attempt in tenacity.AsyncRetrying(
                stop=tenacity.stop_after_attempt(3),
                wait=tenacity.wait_exponential(0.01),
                retry=tenacity.retry_if_exception_type((aiohttp.ClientError, TimeoutError)),
                reraise=True,
            ):
                with attempt:
                    return await once(f"{base}/connections/{project}/oauth2", body)
            return None

        yield job


@asynccontextmanager
async def by_httpx(base: str, limit: int) -> AsyncIterator[Job]:
    """httpx."""  # noqa: D403
    limits = httpx.Limits(max_connections=limit, max_keepalive_connections=limit)
    async with httpx.AsyncClient(limits=limits, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as client:

        async def job(project: str) -> object:
            answer = await client.post(f"{base}/connections/{project}/oauth2", json={"queryParameters": QUERY})
            answer.raise_for_status()
            return answer.json()

        yield job


# ── peaka_async ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def sampling_nothing() -> TracerProvider:
    return TracerProvider(sampler=ALWAYS_OFF)


def recording() -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere(), max_queue_size=1 << 16))
    return provider


def _peaka(provider: Callable[[], trace.TracerProvider]) -> Peer:
    @asynccontextmanager
    async def peer(base: str, limit: int) -> AsyncIterator[Job]:
        callback = peaka_async.Oauth2Callback(QUERY)
        made = provider()
        timeout = peaka_async.Timeouts(total=120, attempt=60)
        async with peaka_async.PeakaClient(
            KEY, base_url=base, max_connections=limit, tracer_provider=made, timeout=timeout
        ) as peaka:

            async def job(project: str) -> object:
                return await peaka.connections.oauth2_callback(project, callback)

            yield job
        if isinstance(made, TracerProvider):
            made.shutdown()

    return peer


# ── Generated from the published document ────────────────────────────────────────────────────────────────────────────


class GenerationError(Exception):
    """A client could not be generated; says why."""


def generate(command: list[str], folder: Path) -> None:
    """Run a generator and make its package importable.

    Raises:
        GenerationError: it is not installed, or failed.
    """
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        msg = f"{command[0]} is not installed"
        raise GenerationError(msg)
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)  # noqa: S603
    packages = [each.parent for each in folder.glob("*/__init__.py")]
    if not packages:
        msg = f"{command[0]} made nothing (exit code {done.returncode})"
        raise GenerationError(msg)
    sys.path.insert(0, str(folder))


def python_client(document: Path, folder: Path) -> Peer:
    """What openapi-python-client generates: httpx and attrs.

    Raises:
        GenerationError: it could not be generated.
    """
    generate(
        ["openapi-python-client", "generate", "--path", str(document), "--output-path", str(folder), "--overwrite"],
        folder,
    )
    (package,) = [each.parent.name for each in folder.glob("*/client.py")]
    client_module = importlib.import_module(f"{package}.client")
    operation = importlib.import_module(f"{package}.api.connections.oauth_2_callback")
    models = importlib.import_module(f"{package}.models")

    @asynccontextmanager
    async def peer(base: str, limit: int) -> AsyncIterator[Job]:
        limits = httpx.Limits(max_connections=limit, max_keepalive_connections=limit)
        client = client_module.AuthenticatedClient(
            base_url=base,
            token=KEY,
            raise_on_unexpected_status=True,
            timeout=httpx.Timeout(60),
            httpx_args={"limits": limits},
        )
        body = models.Oauth2Callback(query_parameters=QUERY)
        async with client:

            async def job(project: str) -> object:
                return await operation.asyncio(project, client=client, body=body)

            yield job

    return peer


def generator_client(document: Path, folder: Path) -> Peer:
    """What openapi-generator generates for asyncio: aiohttp and pydantic.

    Raises:
        GenerationError: it could not be generated.
    """
    command = ["openapi-generator-cli", "generate", "--skip-validate-spec", "-g", "python", "--library", "asyncio"]
    generate([*command, "-i", str(document), "-o", str(folder)], folder)
    client_module = importlib.import_module("openapi_client")

    @asynccontextmanager
    async def peer(base: str, limit: int) -> AsyncIterator[Job]:
        configuration = client_module.Configuration(host=base, access_token=KEY)
        configuration.connection_pool_maxsize = limit
        async with client_module.ApiClient(configuration) as client:
            api = client_module.ConnectionsApi(client)
            body = client_module.Oauth2Callback(queryParameters=QUERY)

            async def job(project: str) -> object:
                return await api.oauth2_callback(project, body)

            yield job

    return peer


BARE = "aiohttp"
WHOLE = "aiohttp + tenacity + spans + cattrs"
PYTHON_CLIENT = "openapi-python-client"
GENERATOR = "openapi-generator (asyncio)"
OURS = "peaka_async"
OURS_UNSAMPLED = "peaka_async, nothing sampled"
OURS_RECORDED = "peaka_async, every span recorded"

PEERS: Mapping[str, Peer] = {
    BARE: bare_aiohttp,
    "asyncio.Protocol": protocol,
    WHOLE: whole_aiohttp,
    "httpx": by_httpx,
    OURS: _peaka(trace.NoOpTracerProvider),
    OURS_UNSAMPLED: _peaka(sampling_nothing),
    OURS_RECORDED: _peaka(recording),
}
GENERATED: Mapping[str, Callable[[Path, Path], Peer]] = {
    PYTHON_CLIENT: python_client,
    GENERATOR: generator_client,
}
