"""Celery with OpenTelemetry's instrumentation; each span is a line in a file."""

from __future__ import annotations

import os

from celery import signals
from celery_queue import app, settle_flow
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

__all__ = ["app", "settle_flow"]


@signals.worker_process_init.connect(weak=False)
def trace_tasks(**_: object) -> None:
    provider = TracerProvider()
    spans = open(os.environ["SPANS"], "a")  # noqa: PTH123, SIM115 - open as long as the process
    exporter = ConsoleSpanExporter(out=spans, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()
