"""The clients that are compared. Each completes a connection: it posts a callback and gets a Connection."""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import attrs
import cattrs
import httpx
import tenacity
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import peaka_async

CERTIFICATE = Path(__file__).parents[1] / "tests" / "fixtures" / "loopback.pem"
QUERY = "code=1234&state=xyz&param1=value1&param2=value2"
KEY = "key"

Job = Callable[[str], Awaitable[object]]
"""Completes a connection of the project."""

Peer = Callable[[str, int], AbstractAsyncContextManager[Job]]
"""Opens a client of the base URL with at most this many connections."""


def trust(base: str) -> ssl.SSLContext | None:
    """A TLS context that trusts the benchmark's certificate; None without TLS."""
    return ssl.create_default_context(cafile=CERTIFICATE) if base.startswith("https:") else None


# ── The lower limit: asyncio alone ───────────────────────────────────────────────────────────────────────────────────


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
    context = trust(base)
    idle: deque[_Connection] = deque()
    turns = asyncio.Semaphore(limit)
    every: list[_Connection] = []

    async def job(project: str) -> object:
        async with turns:
            if idle:
                connection = idle.pop()
            else:
                _, connection = await loop.create_connection(_Connection, url.hostname, url.port, ssl=context)
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
    """aiohttp, used as on its front page."""
    connector = aiohttp.TCPConnector(limit=limit, ssl=trust(base) or True)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:

        async def job(project: str) -> object:
            url = f"{base}/connections/{project}/oauth2"
            async with session.post(url, json={"queryParameters": QUERY}) as answer:
                answer.raise_for_status()
                return await answer.json()

        yield job


@attrs.frozen
class Callback:
    """The body that is sent."""

    queryParameters: str  # noqa: N815 - as the API has it


@attrs.frozen
class Connection:
    """The answer."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    url: str | None = None


@asynccontextmanager
async def whole_aiohttp(base: str, limit: int) -> AsyncIterator[Job]:
    """Hand-written aiohttp with tenacity, spans and cattrs, as a careful team would write it."""
    connector = aiohttp.TCPConnector(limit=limit, ssl=trust(base) or True)
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
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(limits=limits, headers=headers, timeout=60, verify=trust(base) or True) as client:

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


class Sink(BaseHTTPRequestHandler):
    """Accepts exported data and drops it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@attrs.define
class Telemetry:
    """The OpenTelemetry providers of a client; with None the API is used, which does nothing without an SDK."""

    spans: TracerProvider | None = None
    metrics: MeterProvider | None = None
    sink: ThreadingHTTPServer | None = None

    @property
    def tracer_provider(self) -> trace.TracerProvider:
        return self.spans or trace.NoOpTracerProvider()

    def close(self) -> None:
        for each in (self.spans, self.metrics, self.sink):
            if each is not None:
                each.shutdown()


def sampling_nothing() -> TracerProvider:
    return TracerProvider(sampler=ALWAYS_OFF)


def recording(exporter: SpanExporter | None = None) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter or _Nowhere(), max_queue_size=1 << 16))
    return provider


def measuring() -> MeterProvider:
    """Metrics that are collected as in production, and then dropped."""
    return MeterProvider([PeriodicExportingMetricReader(_Unread(), export_interval_millis=10_000)])


class _Unread(MetricExporter):
    def export(self, metrics_data: object, timeout_millis: float = 0, **_: object) -> MetricExportResult:  # noqa: ARG002
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None:
        pass

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002
        return True


def exporting() -> Telemetry:
    """Spans and metrics over OTLP/HTTP to a sink in this process, whose work is counted too."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{sink.server_port}"
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{address}/v1/metrics"), export_interval_millis=1_000)
    return Telemetry(recording(OTLPSpanExporter(f"{address}/v1/traces")), MeterProvider([reader]), sink)


def _peaka(tell: Callable[[], Telemetry]) -> Peer:
    @asynccontextmanager
    async def peer(base: str, limit: int) -> AsyncIterator[Job]:
        callback = peaka_async.Oauth2Callback(QUERY)
        told = tell()
        async with peaka_async.PeakaClient(
            KEY,
            base_url=base,
            ssl=trust(base),
            max_connections=limit,
            tracer_provider=told.tracer_provider,
            meter_provider=told.metrics or NoOpMeterProvider(),
            timeout=peaka_async.Timeouts(total=120, attempt=60),
        ) as peaka:

            async def job(project: str) -> object:
                return await peaka.connections.oauth2_callback(project, callback)

            yield job
        told.close()

    return peer


# ── aiohttp with OpenTelemetry's own instrumentation ─────────────────────────────────────────────────────────────────


@asynccontextmanager
async def instrumented_aiohttp(base: str, limit: int) -> AsyncIterator[Job]:
    """aiohttp with one recorded span for each request, by OpenTelemetry's instrumentation."""  # noqa: D403
    from opentelemetry.instrumentation.aiohttp_client import create_trace_config  # noqa: PLC0415

    provider = recording()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=trust(base) or True),
        headers={"Authorization": f"Bearer {KEY}"},
        trace_configs=[create_trace_config(tracer_provider=provider)],
    ) as session:

        async def job(project: str) -> object:
            url = f"{base}/connections/{project}/oauth2"
            async with session.post(url, json={"queryParameters": QUERY}) as answer:
                answer.raise_for_status()
                return await answer.json()

        yield job
    provider.shutdown()


# ── Clients in Rust: raw exchanges, without retries, deadline over all, spans or models ──────────────────────────────


@asynccontextmanager
async def by_wreq(base: str, limit: int) -> AsyncIterator[Job]:
    """wreq."""  # noqa: D403
    from wreq import Client  # noqa: PLC0415
    from wreq.tls import CertStore  # noqa: PLC0415

    verify = {"tls_verify": CertStore.from_pem_stack(CERTIFICATE.read_bytes())} if trust(base) else {}
    client = Client(headers={"Authorization": f"Bearer {KEY}"}, pool_max_idle_per_host=limit, **verify)

    async def job(project: str) -> object:
        answer = await client.post(f"{base}/connections/{project}/oauth2", json={"queryParameters": QUERY})
        answer.raise_for_status()
        return await answer.json()

    yield job


@asynccontextmanager
async def by_pyreqwest(base: str, limit: int) -> AsyncIterator[Job]:
    """pyreqwest."""  # noqa: D403
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415

    builder = ClientBuilder().default_headers({"Authorization": f"Bearer {KEY}"}).max_connections(limit)
    if trust(base):
        builder = builder.add_root_certificate_pem(CERTIFICATE.read_bytes())
    async with builder.error_for_status(enable=True).build() as client:

        async def job(project: str) -> object:
            request = client.post(f"{base}/connections/{project}/oauth2").body_json({"queryParameters": QUERY})
            answer = await request.build().send()
            return await answer.json()

        yield job


# ── Generated from the published document ────────────────────────────────────────────────────────────────────────────


class GenerationError(Exception):
    """A client could not be generated; the message says why."""


def generate(command: list[str], folder: Path) -> None:
    """Run a generator and make its package importable.

    Raises:
        GenerationError: the generator is not installed, or failed.
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
    """The client that openapi-python-client generates, with httpx and attrs.

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
            verify_ssl=trust(base) or True,
            httpx_args={"limits": limits},
        )
        body = models.Oauth2Callback(query_parameters=QUERY)
        async with client:

            async def job(project: str) -> object:
                return await operation.asyncio(project, client=client, body=body)

            yield job

    return peer


def generator_client(document: Path, folder: Path) -> Peer:
    """The client that openapi-generator generates for asyncio, with aiohttp and pydantic.

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
        configuration.ssl_ca_cert = str(CERTIFICATE) if trust(base) else None
        async with client_module.ApiClient(configuration) as client:
            api = client_module.ConnectionsApi(client)
            body = client_module.Oauth2Callback(queryParameters=QUERY)

            async def job(project: str) -> object:
                return await api.oauth2_callback(project, body)

            yield job

    return peer


BARE = "aiohttp"
INSTRUMENTED = "aiohttp + OpenTelemetry's instrumentation, recorded"
WHOLE = "aiohttp + tenacity + spans + cattrs"
PYTHON_CLIENT = "openapi-python-client"
GENERATOR = "openapi-generator (asyncio)"
OURS = "peaka_async"
OURS_UNSAMPLED = "peaka_async, nothing sampled"
OURS_RECORDED = "peaka_async, every span recorded"
OURS_MEASURED = "peaka_async, metrics"
OURS_EXPORTED = "peaka_async, spans and metrics over OTLP"

PEERS: Mapping[str, Peer] = {
    BARE: bare_aiohttp,
    "asyncio.Protocol": protocol,
    INSTRUMENTED: instrumented_aiohttp,
    WHOLE: whole_aiohttp,
    "httpx": by_httpx,
    OURS: _peaka(Telemetry),
    OURS_UNSAMPLED: _peaka(lambda: Telemetry(sampling_nothing())),
    OURS_RECORDED: _peaka(lambda: Telemetry(recording())),
    OURS_MEASURED: _peaka(lambda: Telemetry(metrics=measuring())),
    OURS_EXPORTED: _peaka(exporting),
}
IN_RUST: Mapping[str, Peer] = {"wreq": by_wreq, "pyreqwest": by_pyreqwest}
GENERATED: Mapping[str, Callable[[Path, Path], Peer]] = {
    PYTHON_CLIENT: python_client,
    GENERATOR: generator_client,
}
