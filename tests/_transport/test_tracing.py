"""Spans, metrics and propagation, as the SDK's in-memory exporters see them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from scripted_server import ScriptedServer, answer, hang, reset

from peaka_async import Oauth2Callback, PeakaClient, PeakaError, RetryPolicy, Timeouts
from peaka_async._transport import names
from peaka_async._transport.tracing import shown_url

CALLBACK = Oauth2Callback("code=SplxlOBeZQQYbYS6WxSbIA&state=xyz")
SAMPLED = 1
SWIFT = RetryPolicy(backoff=0.001, rate_limit_backoff=0.001, unsent_seconds=0.05)


class Recorded:
    """A provider of each kind, and what they were told."""

    def __init__(self, **options):
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(**options)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader])

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def operation(self):
        (span,) = [span for span in self.spans if span.name.startswith("peaka.")]
        return span

    @property
    def attempts(self):
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]

    def points(self):
        """The data points by the instrument's name; a gauge gives its value to one reading only."""
        data = self.reader.get_metrics_data()
        metrics = [metric for r in data.resource_metrics for s in r.scope_metrics for metric in s.metrics]
        return {metric.name: list(metric.data.data_points) for metric in metrics}


@pytest.fixture
def recorded():
    recorded = Recorded()
    yield recorded
    recorded.tracer_provider.shutdown()
    recorded.meter_provider.shutdown()


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


def client(server, recorded, **options):
    return PeakaClient(
        "pk-2f9c41d7",
        base_url=server.base_url,
        retry=SWIFT,
        timeout=Timeouts(total=20, attempt=1),
        tracer_provider=recorded.tracer_provider,
        meter_provider=recorded.meter_provider,
        **options,
    )


async def once(peaka):
    return await peaka.connections.oauth2_callback("mtKDhe1U", CALLBACK)


async def failing(peaka):
    with pytest.raises(PeakaError) as raised:
        await once(peaka)
    return raised.value


async def test_a_call_is_an_operation_with_one_attempt(server, recorded):
    """The operation is INTERNAL without http attributes; the attempt is CLIENT, named by the template."""
    async with client(server, recorded) as peaka:
        await once(peaka)

    (attempt,) = recorded.attempts
    operation = recorded.operation
    assert (operation.name, operation.status.status_code) == ("peaka.connections.oauth2_callback", StatusCode.UNSET)
    assert dict(operation.attributes) == {
        "peaka.operation": "connections.oauth2_callback",
        "peaka.safety": "once",
        "peaka.attempts": 1,
    }
    assert (attempt.name, attempt.parent.span_id) == (
        "POST /connections/{projectId}/oauth2",
        operation.context.span_id,
    )
    assert dict(attempt.attributes) == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.full": f"{server.base_url}/connections/mtKDhe1U/oauth2",
        "url.template": "/connections/{projectId}/oauth2",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": server.port,
    }
    assert attempt.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"
    assert attempt.status.status_code is StatusCode.UNSET


async def test_retries_are_siblings_and_the_waits_events(server, recorded):
    """Each attempt has its span, counted from the second; a retried error does not mark the operation."""
    server.script(answer(429, {}, {"Retry-After-Ms": "5"}), answer(429, {}))
    async with client(server, recorded) as peaka:
        await once(peaka)

    assert [span.attributes.get("http.request.resend_count") for span in recorded.attempts] == [None, 1, 2]
    assert [(span.status.status_code, span.attributes.get("error.type")) for span in recorded.attempts] == [
        (StatusCode.ERROR, "429"),
        (StatusCode.ERROR, "429"),
        (StatusCode.UNSET, None),
    ]
    assert recorded.operation.status.status_code is StatusCode.UNSET
    assert recorded.operation.attributes["peaka.attempts"] == 3
    first, second = (event for event in recorded.operation.events if event.name == "peaka.retry")
    assert {
        "peaka.retry.delay": pytest.approx(0.0055, abs=0.0005),
        "peaka.retry.delay_source": "retry-after-ms",
        "peaka.wire_progress": "answered",
        "error.type": "429",
    }.items() <= dict(first.attributes).items()
    assert second.attributes["peaka.retry.delay_source"] == "backoff"


async def test_a_failure_marks_both_spans(server, recorded):
    """A call that fails says what failed, and why it was not tried again."""
    server.script(reset(after="body"))
    async with client(server, recorded) as peaka:
        await failing(peaka)

    (attempt,) = recorded.attempts
    assert (attempt.status.status_code, attempt.attributes["error.type"]) == (StatusCode.ERROR, "TransportError")
    assert "http.response.status_code" not in attempt.attributes
    assert (recorded.operation.status.status_code, recorded.operation.attributes["error.type"]) == (
        StatusCode.ERROR,
        "OutcomeUnknownError",
    )
    assert recorded.operation.status.description == "it may have been sent, and a second send could do harm"


async def test_cancellation_is_no_error(server, recorded):
    """A call that its caller cancelled leaves the status unset, and says that it was cancelled."""
    server.script(hang(after="body"))
    async with client(server, recorded) as peaka:
        task = asyncio.create_task(once(peaka))
        while not server.requests:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [span.status.status_code for span in recorded.spans] == [StatusCode.UNSET] * 2
    assert [span.attributes.get("error.type") for span in recorded.spans] == [None] * 2
    assert [span.attributes["peaka.cancelled"] for span in recorded.spans] == [True] * 2


async def test_each_attempt_carries_its_own_trace_context(server, recorded):
    """The server's spans hang below the attempt that reached it; baggage stays at home."""
    server.script(answer(429, {}))
    token = context.attach(baggage.set_baggage("customer", "acme"))
    async with client(server, recorded) as peaka:
        await once(peaka)
    context.detach(token)

    sent = [seen.headers["traceparent"].rpartition("-") for seen in server.requests]
    assert [ids for ids, _, _ in sent] == [
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in recorded.attempts
    ]
    assert [int(flags, 16) & SAMPLED for _, _, flags in sent] == [SAMPLED, SAMPLED]
    assert ["baggage" in seen.headers for seen in server.requests] == [False, False]


async def test_unsampled_calls_pass_the_decision_on(server):
    """With a sampler that drops everything no span is recorded, and the server is told so."""
    recorded = Recorded(sampler=ALWAYS_OFF)
    async with client(server, recorded) as peaka:
        await once(peaka)

    assert recorded.spans == ()
    assert int(server.requests[0].headers["traceparent"][-2:], 16) & SAMPLED == 0


async def test_without_tracing_nothing_is_sent(server):
    """Where no SDK is set up, no trace header goes out."""
    async with PeakaClient("key", base_url=server.base_url) as peaka:
        await once(peaka)

    assert "traceparent" not in server.requests[0].headers


async def test_an_active_instrumentation_adds_no_second_span(server, recorded):
    """With aiohttp instrumented there is one CLIENT span for each attempt, ours."""
    AioHttpClientInstrumentor().instrument(tracer_provider=recorded.tracer_provider)
    try:
        async with client(server, recorded) as peaka:
            await once(peaka)
    finally:
        AioHttpClientInstrumentor().uninstrument()

    scopes = [span.instrumentation_scope.name for span in recorded.spans]
    assert scopes.count("peaka_async") == 2
    assert len(scopes) == 2


async def test_the_callers_span_is_the_parent_and_stays_current(server, recorded):
    """A call hangs below the caller's span, and leaves the caller's context as it was."""
    tracer = recorded.tracer_provider.get_tracer("app")
    with tracer.start_as_current_span("request") as span:
        async with client(server, recorded) as peaka:
            await once(peaka)
            assert trace.get_current_span() is span

    assert recorded.operation.parent.span_id == span.context.span_id


async def test_metrics(server, recorded):
    """Attempts and operations are measured in seconds, retries and the budget counted, nothing stays in flight."""
    server.script(answer(429, {}))
    async with client(server, recorded) as peaka:
        await once(peaka)
        server.script(answer(400, {}))
        await failing(peaka)

    points = recorded.points()
    attempts = {
        (point.attributes["http.response.status_code"], point.attributes.get("error.type")): point.count
        for point in points["http.client.request.duration"]
    }
    operations = {
        point.attributes.get("error.type"): point.count for point in points["peaka.client.operation.duration"]
    }
    assert attempts == {(429, "429"): 1, (200, None): 1, (400, "400"): 1}
    assert operations == {None: 1, "400": 1}
    retries = [(point.attributes["peaka.retry.reason"], point.value) for point in points["peaka.client.retries"]]
    assert retries == [("rate_limited", 1)]
    assert [point.value for point in points["peaka.client.active_operations"]] == [0]
    assert [point.value for point in points["peaka.client.retry_budget"]] == [500]
    (point, *_) = points["http.client.request.duration"]
    assert point.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


async def test_the_budget_and_the_calls_in_flight_are_right_whenever_they_are_read(server, recorded):
    """They are read from the client: after an outage the budget shows that it was refilled, and a call shows up."""
    server.default = answer(503, {})
    async with client(server, recorded) as peaka:
        with pytest.raises(PeakaError):
            await peaka.connections.get("p", "c")
        spent = recorded.points()["peaka.client.retry_budget"][0].value
        server.default = answer()
        for _ in range(28):
            await once(peaka)
        refilled = recorded.points()["peaka.client.retry_budget"][0].value
        server.script(hang(after="body"))
        task = asyncio.create_task(once(peaka))
        await server.until(lambda: len(server.requests) == 32)
        in_flight = recorded.points()["peaka.client.active_operations"][0].value
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        after = recorded.points()["peaka.client.active_operations"][0].value

    assert (spent, refilled, in_flight, after) == (472, 500, 1, 0)


async def test_several_clients_of_one_server_are_one_reading(server, recorded):
    """Calls in flight are added up, and the lowest budget is shown; a client that is gone is not."""
    server.default = answer(503, {})
    async with client(server, recorded) as first, client(server, recorded) as second:
        with pytest.raises(PeakaError):
            await first.connections.get("p", "c")
        server.default = hang(after="body")
        tasks = [asyncio.create_task(once(peaka)) for peaka in (first, second)]
        await server.seen(5)
        points = recorded.points()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert [point.value for point in points["peaka.client.active_operations"]] == [2]
    assert [point.value for point in points["peaka.client.retry_budget"]] == [472]


async def test_what_is_not_modelled_has_no_template(server, recorded):
    """The path of `request` can hold anything, so that it is neither a span's name nor a metric's attribute."""
    server.default = answer(200, {})
    async with client(server, recorded) as peaka:
        await peaka.request("GET", "/a/1")
        await peaka.request("GET", "/a/2")

    assert {span.name for span in recorded.attempts} == {"GET"}
    assert [point.count for point in recorded.points()["http.client.request.duration"]] == [2]
    assert {span.attributes["url.full"].rpartition("/")[2] for span in recorded.attempts} == {"1", "2"}


async def test_attempts_alone(server, recorded):
    """Without the spans of calls, the attempts hang below the caller's span and name the operation."""
    server.script(answer(429, {}))
    tracer = recorded.tracer_provider.get_tracer("app")
    async with client(server, recorded, operation_spans=False) as peaka:
        with tracer.start_as_current_span("request") as span:
            await once(peaka)
            assert trace.get_current_span() is span

    assert [each.parent.span_id for each in recorded.attempts] == [span.context.span_id] * 2
    assert {each.attributes["peaka.operation"] for each in recorded.attempts} == {"connections.oauth2_callback"}
    assert len(recorded.spans) == 3
    sent = [seen.headers["traceparent"].split("-")[2] for seen in server.requests]
    assert sent == [f"{each.context.span_id:016x}" for each in recorded.attempts]


async def test_attempts_alone_without_tracing(server):
    """If no SDK is set up nothing is sent."""
    async with PeakaClient("key", base_url=server.base_url, operation_spans=False) as peaka:
        await once(peaka)

    assert "traceparent" not in server.requests[0].headers


async def test_the_state_of_the_trace_goes_on(server, recorded):
    """A tracestate is sent with the attempt's own id."""
    carrier = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    token = context.attach(TraceContextTextMapPropagator().extract(carrier))
    async with client(server, recorded) as peaka:
        await once(peaka)
    context.detach(token)

    (seen,), (attempt,) = server.requests, recorded.attempts
    assert seen.headers["tracestate"] == "vendor=1"
    assert seen.headers["traceparent"] == f"00-{'a' * 32}-{attempt.context.span_id:016x}-01"


async def test_every_name_is_in_the_table(server, recorded):
    """What spans, events and metrics of this package are called, the documentation says, and nothing else."""

    class Slow:
        async def acquire(self, request):
            await asyncio.sleep(0.002)

        async def throttled(self, request, seconds):
            pass

    server.script(answer(429, {}), answer(), hang(after="body"))
    async with client(server, recorded, limiter=Slow()) as peaka:
        await once(peaka)
        task = asyncio.create_task(once(peaka))
        await server.seen(3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    found = {name for span in recorded.spans for name in span.attributes}
    for event in (event for span in recorded.spans for event in span.events):
        found |= {event.name, *event.attributes}
    for name, points in recorded.points().items():
        found |= {name, *(key for point in points for key in point.attributes)}
    assert {name for name in found if name.startswith("peaka.")} == {name for name, _, _ in names.TABLE}


def test_the_shown_url_keeps_an_allow_list_of_query_values():
    """How the API is used is shown, what it is asked about is not."""
    assert (
        shown_url("https://h/api/v1", "/metadata/p/query?table=secret&topK=5")
        == "https://h/api/v1/metadata/p/query?table=REDACTED&topK=5"
    )


def test_the_switch_turns_it_off():
    """OTEL_PYTHON_INSTRUMENTATION_PEAKA_ENABLED=false leaves no span."""
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/_transport']\n"
        "import asyncio, test_tracing as t\n"
        "async def main():\n"
        "    r = t.Recorded()\n"
        "    async with t.ScriptedServer() as s, t.client(s, r) as p:\n"
        "        await t.once(p)\n"
        "    print(len(r.spans), r.reader.get_metrics_data())\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "OTEL_PYTHON_INSTRUMENTATION_PEAKA_ENABLED": "false"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.split() == ["0", "None"]
