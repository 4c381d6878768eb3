"""Spans, metrics and propagation; the only module with opentelemetry.

A call has one INTERNAL span, and below it one CLIENT span for each attempt, by the stable HTTP conventions
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/). Texts of exceptions, bodies and credentials are never
recorded.
"""

from __future__ import annotations

import asyncio
import os
from contextvars import Token
from typing import TYPE_CHECKING, TypeVar, final
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from peaka_async._version import __version__
from peaka_async.errors import APIError, Attempt

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, TracerProvider

    from peaka_async._request import Request
    from peaka_async._transport.retry import Decision
    from peaka_async._transport.wire import Wire

T = TypeVar("T")

# Not public, and absent in some versions: there an active instrumentation of aiohttp traces the attempt a second time.
_SUPPRESS_HTTP: str | None = getattr(otel_context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", None)

_SCOPE = "peaka_async"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_SWITCH = "OTEL_PYTHON_INSTRUMENTATION_PEAKA_ENABLED"

# The convention's advice for http.client.request.duration.
_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

# Passing an open door is no wait.
_LEAST_WAIT = 0.001

# Query keys whose values say how the API is used and nothing about whose data it is.
_SHOWN_QUERY_KEYS = frozenset(
    {"format", "limit", "offset", "excludeLogs", "includeQueries", "force", "checkSchemaExists", "topK", "status"}
)

Attributes = dict[str, str | int | bool | float]
Outcome = tuple[int | None, str]
"""The HTTP status, where an answer came, and the error's type, empty where there is none."""


def shown_url(base: str, target: str) -> str:
    """The URL for a span: values of query keys outside of an allow-list are replaced."""
    path, mark, query = target.partition("?")
    if not mark:
        return base + path
    pairs = (pair.partition("=") for pair in query.split("&"))
    shown = (f"{key}={value if key in _SHOWN_QUERY_KEYS else 'REDACTED'}" for key, _, value in pairs)
    return f"{base}{path}?{'&'.join(shown)}"


def error_type(error: BaseException) -> str:
    """The low-cardinality name of an error: the HTTP status, or the name of its class."""
    return str(error.status) if isinstance(error, APIError) else type(error).__name__


def _outcome(status: int | None, error: BaseException | None) -> Outcome:
    if error is None or isinstance(error, asyncio.CancelledError):
        return status, ""
    return status, error_type(error)


def _enabled() -> bool:
    return os.environ.get(_SWITCH, "true").strip().lower() not in {"false", "0", "off"}


@final
class Telemetry:
    """What a client tells OpenTelemetry, towards one server."""

    def __init__(
        self,
        *,
        address: str,
        port: int,
        base: str,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        if not _enabled():
            tracer_provider, meter_provider = trace.NoOpTracerProvider(), metrics.NoOpMeterProvider()
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA_URL)
        self._base = base
        self._server: Attributes = {"server.address": address, "server.port": port}
        # W3C trace context alone: the global propagator would send the baggage to Peaka too.
        self._propagator = propagator or TraceContextTextMapPropagator()
        self._known: dict[tuple[str, str, Outcome], Attributes] = {}
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider, _SCHEMA_URL)
        self._attempt_duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._operation_duration = meter.create_histogram(
            "peaka.client.operation.duration",
            unit="s",
            description="Duration of calls with all their attempts and waits.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._retries = meter.create_counter(
            "peaka.client.retries", unit="{retry}", description="Attempts made after a failed one."
        )
        self._waits = meter.create_histogram(
            "peaka.client.wait.duration",
            unit="s",
            description="Duration of waits for the throttle and the limiter.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._budget = meter.create_gauge(
            "peaka.client.retry_budget", unit="{token}", description="What is left of the retry budget."
        )
        self._active = meter.create_up_down_counter(
            "peaka.client.active_operations", unit="{operation}", description="Calls in flight."
        )

    def start(self, request: Request[T], *, current: bool = True) -> OperationSpan | None:
        """Begin the span of a call; None where no tracing is set up.

        It is the current span until it ends, unless the call gives control back before.
        """
        self._active.add(1, self._server)
        attributes = {"peaka.operation": request.operation, "peaka.safety": request.safety.value}
        span = self._tracer.start_span(f"peaka.{request.operation}", attributes=attributes)
        if not span.get_span_context().is_valid:
            return None
        return OperationSpan(span, current=current)

    def ended(
        self, request: Request[T], span: OperationSpan | None, seconds: float, error: BaseException | None = None
    ) -> None:
        """Record a finished call, and how it failed where it did."""
        self._active.add(-1, self._server)
        self._operation_duration.record(seconds, self._attributes(request, "peaka", _outcome(None, error)))
        if span is not None:
            span.end(error)

    def start_attempt(
        self, request: Request[T], operation: OperationSpan | None, target: str, resends: int
    ) -> AttemptSpan | None:
        """Begin the CLIENT span of one attempt; None where the call is not recorded."""
        if operation is None or not operation.recording:
            return None
        attributes: Attributes = {
            **self._server_of(request),
            "http.request.method": request.method,
            "url.full": shown_url("" if request.elsewhere else self._base, target),
            "url.template": request.route,
        }
        if resends:
            attributes["http.request.resend_count"] = resends
        name = f"{request.method} {request.route}"
        span = self._tracer.start_span(name, operation.context, trace.SpanKind.CLIENT, attributes)
        return AttemptSpan(span, operation.context)

    def ended_attempt(
        self, request: Request[T], span: AttemptSpan | None, seconds: float, wire: Wire, error: BaseException | None
    ) -> None:
        """Record a finished attempt, and how it failed where it did."""
        status = None if wire.head is None else wire.head.status
        self._attempt_duration.record(seconds, self._attributes(request, "http", _outcome(status, error)))
        if span is not None:
            span.end(wire, error)

    def retrying(
        self, request: Request[T], span: OperationSpan | None, failed: Attempt, decision: Decision, tokens: int
    ) -> None:
        """Record that another attempt follows."""
        self._retries.add(1, self._attributes(request, "peaka", (None, "")))
        self._budget.set(tokens, self._server)
        if span is not None and span.recording:
            span.waiting(failed, decision)

    def waited(self, request: Request[T], span: OperationSpan | None, what: str, seconds: float) -> None:
        """Record a wait for the throttle or the limiter, if it was one."""
        if seconds < _LEAST_WAIT:
            return
        self._waits.record(seconds, {**self._server, "peaka.operation": request.operation, "peaka.wait.for": what})
        if span is not None:
            span.waited(what, seconds)

    def _attributes(self, request: Request[T], kind: str, outcome: Outcome) -> Attributes:
        if request.elsewhere:
            return self._describe(request, kind, outcome)
        key = (request.operation, kind, outcome)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._describe(request, kind, outcome)
        return found

    def _describe(self, request: Request[T], kind: str, outcome: Outcome) -> Attributes:
        attributes = dict(self._server_of(request))
        if kind == "peaka":
            attributes["peaka.operation"] = request.operation
        else:
            attributes["http.request.method"] = request.method
            attributes["url.template"] = request.route
        status, error = outcome
        if status is not None:
            attributes["http.response.status_code"] = status
        if error:
            attributes["error.type"] = error
        return attributes

    def _server_of(self, request: Request[T]) -> Attributes:
        if not request.elsewhere:
            return self._server
        url = urlsplit(request.target())
        return {"server.address": url.hostname or "", "server.port": url.port or (80 if url.scheme == "http" else 443)}

    def inject(self, headers: MutableMapping[str, str], context: Context) -> None:
        """Put the trace context into an attempt's headers."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=context)  # pyright: ignore[reportArgumentType] - its own default
        headers.update(carrier)


@final
class OperationSpan:
    """The span of a call."""

    __slots__ = ("_attempts", "_span", "_token", "context", "reason", "recording")

    def __init__(self, span: Span, *, current: bool) -> None:
        self._span = span
        self._attempts = 1
        self.context = trace.set_span_in_context(span)
        self.recording = span.is_recording()
        self.reason: str | None = None
        """Why no other attempt was made, once one failed."""
        self._token: Token[Context] | None = otel_context.attach(self.context) if current else None

    def waiting(self, failed: Attempt, decision: Decision) -> None:
        """Note the wait before another attempt."""
        self._attempts += 1
        self._span.add_event(
            "peaka.retry",
            {
                "peaka.retry.delay": decision.delay,
                "peaka.retry.delay_source": decision.source or "",
                "peaka.retry.reason": decision.reason,
                "peaka.wire_progress": failed.progress.value,
                "error.type": str(failed.status or failed.error),
            },
        )

    def waited(self, what: str, seconds: float) -> None:
        """Note a wait for the throttle or the limiter."""
        if self.recording:
            self._span.add_event("peaka.wait", {"peaka.wait.for": what, "peaka.wait.duration": seconds})

    def end(self, error: BaseException | None) -> None:
        if self.recording:
            self._span.set_attribute("peaka.attempts", self._attempts)
            _mark(self._span, error, self.reason)
        self._span.end()
        if self._token is not None:
            otel_context.detach(self._token)


@final
class AttemptSpan:
    """The CLIENT span of an attempt; instrumentation of the HTTP library is silent while it is the current one."""

    __slots__ = ("_span", "_token", "context")

    def __init__(self, span: Span, parent: Context) -> None:
        self._span = span
        self.context = trace.set_span_in_context(span, parent)
        wire = self.context
        if _SUPPRESS_HTTP is not None:
            wire = otel_context.set_value(_SUPPRESS_HTTP, True, wire)  # noqa: FBT003 - the API's own signature
        self._token: Token[Context] | None = otel_context.attach(wire)

    def leave(self) -> None:
        """Stop being the current span; a streamed answer goes on after that."""
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None

    def end(self, wire: Wire, error: BaseException | None) -> None:
        if self._span.is_recording():
            found: Attributes = {}
            peer, head = wire.peer, wire.head
            if peer is not None:
                found["network.peer.address"], found["network.peer.port"] = peer
            if head is not None:
                found["http.response.status_code"] = head.status
                if head.version is not None:
                    found["network.protocol.version"] = f"{head.version.major}.{head.version.minor}"
            if found:
                self._span.set_attributes(found)
            _mark(self._span, error)
        self._span.end()
        self.leave()


def _mark(span: Span, error: BaseException | None, reason: str | None = None) -> None:
    """Set the status by the conventions: never OK, and unset where the caller cancelled."""
    if isinstance(error, asyncio.CancelledError):
        span.set_attribute("peaka.cancelled", value=True)
    elif error is not None:
        span.set_attribute("error.type", error_type(error))
        span.set_status(trace.Status(trace.StatusCode.ERROR, reason))
