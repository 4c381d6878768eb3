"""One trace leads from the browser's request through the queue to the post."""

from __future__ import annotations

import json
import signal

import celery
import pytest
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from test_queues import ALL, accepted, killed, settled


@pytest.fixture
def queue():
    return ALL[0]


@pytest.fixture
def tracer():
    """A tracer of the web service, whose messages have the trace context."""
    provider, instrumentor = TracerProvider(), CeleryInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield provider.get_tracer("web")
    instrumentor.uninstrument()


async def test_one_trace_from_the_browser_to_the_post(
    flow, tracer, start_worker, environment, emulator, project_id, tmp_path
):
    """The worker's post is a descendant of the request that accepted the return."""
    spans = tmp_path / "spans"
    worker = await start_worker(
        *("celery", "-A", "traced_queue", "worker", "-l", "info", "-c", "1"),
        ready=" ready.",
        environment={**environment, "SPANS": str(spans)},
    )
    app = celery.Celery(broker=environment["BROKER"])
    with tracer.start_as_current_span("GET /return") as request:
        pending, query = await accepted(flow, emulator, project_id)
        app.send_task("celery_queue.settle_flow", [pending.id])
    await settled(flow, pending.id)
    await killed(worker, signal.SIGTERM)
    app.close()

    trace_id = f"0x{request.get_span_context().trace_id:032x}"
    ours = [
        span for line in spans.read_text().splitlines() if (span := json.loads(line))["context"]["trace_id"] == trace_id
    ]
    by_id = {span["context"]["span_id"]: span for span in ours}
    (post,) = [span for span in ours if span["name"] == "POST /connections/{projectId}/oauth2"]
    names = []
    while post is not None:
        names.append(post["name"])
        post = by_id.get(post["parent_id"])
    assert names == [
        "POST /connections/{projectId}/oauth2",
        "peaka.connections.oauth2_callback",
        "run/celery_queue.settle_flow",
    ]
    secret = [part.partition("=")[2] for part in query.split("&")]
    assert [text for text in secret if text in spans.read_text()] == []
