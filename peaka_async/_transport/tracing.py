"""Spans, metrics and propagation.

A call has one INTERNAL span, and below it one CLIENT span for each attempt, by the stable HTTP conventions
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/). Texts of exceptions, bodies and credentials are never
recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, TypeVar, final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, WeakSet

import attrs
from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from peaka_async._transport import names
from peaka_async._version import __version__
from peaka_async.errors import APIError, Attempt

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, SpanContext, TracerProvider

    from peaka_async._request import Request
    from peaka_async._transport.retry import Decision
    from peaka_async._transport.wire import Wire

T = TypeVar("T")

# Not public, and missing in some versions. In these, an active instrumentation of aiohttp adds a second span.
_SUPPRESS_HTTP: str | None = getattr(otel_context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", None)

_SCOPE = "peaka_async"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_SWITCH = "OTEL_PYTHON_INSTRUMENTATION_PEAKA_ENABLED"

# The boundaries that the conventions recommend for http.client.request.duration.
_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

# The operation of `PeakaClient.request`.
_UNMODELLED = "request"

# Query keys whose values contain no customer data.
_SHOWN_QUERY_KEYS = frozenset(
    {"format", "limit", "offset", "excludeLogs", "includeQueries", "force", "checkSchemaExists", "topK", "status"}
)

Attributes = dict[str, str | int | bool | float]
Outcome = tuple[int | None, str]
"""The HTTP status; None if no answer came; and the type of the error, empty if there is no error."""

_incoming: ContextVar[SpanContext | None] = ContextVar("_incoming", default=None)
"""The span of the application's incoming request, if it is linked instead of continued."""


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
@attrs.frozen(eq=False)
class _Prepared:
    """The attributes that are the same for all calls of an operation."""

    operation_span: str
    attempt_span: str
    operation: Attributes
    attempt: Attributes
    """The attributes of an attempt's span that do not depend on its path parameters."""

    http: Attributes
    """The attributes of an attempt's metric."""

    peaka: Attributes
    """The attributes of the metrics of calls."""

    by_outcome: dict[tuple[bool, Outcome], Attributes] = attrs.field(factory=dict)

    def outcome(self, outcome: Outcome, *, of_attempt: bool) -> Attributes:
        """The attributes of a metric for an outcome."""
        found = self.by_outcome.get((of_attempt, outcome))
        if found is None:
            status, error = outcome
            found = dict(self.http if of_attempt else self.peaka)
            if status is not None:
                found["http.response.status_code"] = status
            if error:
                found["error.type"] = error
            self.by_outcome[of_attempt, outcome] = found
        return found


@final
class Telemetry:
    """The spans and metrics of a client, for one server."""

    def __init__(
        self,
        *,
        address: str,
        port: int,
        base: str,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
        operation_spans: bool = True,
        tokens: Callable[[], int] = int,
    ) -> None:
        if not _enabled():
            tracer_provider, meter_provider = trace.NoOpTracerProvider(), metrics.NoOpMeterProvider()
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA_URL)
        self._base = base
        self.server: Attributes = {"server.address": address, "server.port": port}
        # Only W3C Trace Context: the global propagator would also send the baggage to Peaka.
        self._propagator = propagator or TraceContextTextMapPropagator()
        self._is_w3c = propagator is None
        self._operation_spans = operation_spans
        self._prepared: dict[tuple[str, str], _Prepared] = {}
        self.tokens = tokens
        self._active: dict[int, int] = {}
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider, _SCHEMA_URL)
        self._attempt_duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._operation_duration = meter.create_histogram(
            names.OPERATION_DURATION,
            unit="s",
            description="Duration of calls with all their attempts and waits.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._waits = meter.create_histogram(
            names.WAITS,
            unit="s",
            description="Duration of waits for the throttle and the limiter.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self._retries = meter.create_counter(
            names.RETRIES, unit="{retry}", description="Attempts made after a failed one."
        )
        _observe(self, meter, meter_provider)

    def start(self, request: Request[T], *, current: bool = True) -> OperationSpan | None:
        """Start the span of a call; None if no tracing is set up.

        It is the current span until it ends, unless the call returns to the caller before its end.
        """
        thread = threading.get_ident()
        self._active[thread] = self._active.get(thread, 0) + 1
        if not self._operation_spans:
            return OperationSpan(None, otel_context.get_current(), recording=True)
        prepared = self._of(request)
        came_from = _incoming.get()
        span = self._tracer.start_span(
            prepared.operation_span,
            attributes=prepared.operation,
            links=None if came_from is None else (trace.Link(came_from),),
        )
        if not span.get_span_context().is_valid:
            return None
        context = trace.set_span_in_context(span)
        return OperationSpan(span, context, recording=span.is_recording(), current=current)

    def ended(
        self, request: Request[T], span: OperationSpan | None, seconds: float, error: BaseException | None = None
    ) -> None:
        """Record a finished call, with its error if it failed."""
        thread = threading.get_ident()
        self._active[thread] = self._active.get(thread, 0) - 1
        outcome = _outcome(None, error)
        self._operation_duration.record(seconds, self._of(request).outcome(outcome, of_attempt=False))
        if span is not None:
            span.end(error)

    def start_attempt(
        self, request: Request[T], operation: OperationSpan | None, target: str, resends: int
    ) -> AttemptSpan | None:
        """Start the CLIENT span of an attempt; None if the call is not recorded."""
        if operation is None or not operation.recording:
            return None
        prepared = self._of(request)
        attributes = {
            **prepared.attempt,
            "url.full": shown_url("" if request.elsewhere else self._base, target),
        }
        if resends:
            attributes["http.request.resend_count"] = resends
        if not self._operation_spans:
            attributes[names.OPERATION] = request.operation
        came_from = None if self._operation_spans else _incoming.get()
        span = self._tracer.start_span(
            prepared.attempt_span,
            operation.context,
            trace.SpanKind.CLIENT,
            attributes,
            links=None if came_from is None else (trace.Link(came_from),),
        )
        if not span.get_span_context().is_valid:
            return None
        return AttemptSpan(span, operation.context)

    def ended_attempt(
        self, request: Request[T], span: AttemptSpan | None, seconds: float, wire: Wire, error: BaseException | None
    ) -> None:
        """Record a finished attempt, with its error if it failed."""
        outcome = _outcome(None if wire.head is None else wire.head.status, error)
        self._attempt_duration.record(seconds, self._of(request).outcome(outcome, of_attempt=True))
        if span is not None:
            span.end(wire, error)

    def retrying(
        self, request: Request[T], span: OperationSpan | None, failed: Attempt, decision: Decision, reason: str
    ) -> None:
        """Record that another attempt follows; the reason is the kind of failure."""
        self._retries.add(1, {**self._of(request).peaka, names.RETRY_REASON: reason})
        if span is not None:
            span.retrying(failed, decision, reason)

    def waited(self, request: Request[T], span: OperationSpan | None, what: str, seconds: float) -> None:
        """Record a wait for the throttle or the limiter."""
        self._waits.record(seconds, {**self._of(request).peaka, names.WAIT_FOR: what})
        if span is not None:
            span.waited(what, seconds)

    def inject(self, headers: dict[str, str], context: Context) -> None:
        """Add the trace context to an attempt's headers."""
        caller = trace.get_current_span(context).get_span_context()
        if not caller.is_valid:
            return
        if self._is_w3c and not caller.trace_state:
            # The same header as the propagator's, in a third of the time.
            headers["traceparent"] = f"00-{caller.trace_id:032x}-{caller.span_id:016x}-{caller.trace_flags:02x}"
            return
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=context)  # pyright: ignore[reportArgumentType] - its own default
        headers.update(carrier)

    @contextlib.contextmanager
    def incoming(self, headers: Mapping[str, str], *, trusted: bool) -> Iterator[None]:
        """Connect the work for an incoming request with the caller's trace.

        A trusted trace is continued. Another trace is only linked, so that strangers cannot choose the trace id or the
        sampling. If the framework's instrumentation has a current span, that span is used.
        """
        if trace.get_current_span().get_span_context().is_valid:
            yield
            return
        context = self._propagator.extract(dict(headers), otel_context.get_current())
        caller = trace.get_current_span(context).get_span_context()
        if not caller.is_valid:
            yield
        elif trusted:
            token = otel_context.attach(context)
            try:
                yield
            finally:
                otel_context.detach(token)
        else:
            link = _incoming.set(caller)
            try:
                yield
            finally:
                _incoming.reset(link)

    @property
    def active(self) -> int:
        """The number of calls in flight, in all threads."""
        return sum(list(self._active.values()))

    def _of(self, request: Request[T]) -> _Prepared:
        if request.elsewhere:
            return self._prepare(request)
        key = request.operation, request.method
        found = self._prepared.get(key)
        if found is None:
            found = self._prepared[key] = self._prepare(request)
        return found

    def _prepare(self, request: Request[T]) -> _Prepared:
        server = self.server if not request.elsewhere else _server_of(request.target())
        http: Attributes = {**server, "http.request.method": request.method}
        # Calls of `PeakaClient.request` have no template, and their path can contain any data.
        if request.operation != _UNMODELLED:
            http["url.template"] = request.route
        return _Prepared(
            operation_span=f"peaka.{request.operation}",
            attempt_span=" ".join([request.method, *([request.route] if "url.template" in http else [])]),
            operation={names.OPERATION: request.operation, names.SAFETY: request.safety.value, names.ATTEMPTS: 1},
            attempt=http,
            http=http,
            peaka={**server, names.OPERATION: request.operation},
        )


def _server_of(target: str) -> Attributes:
    url = urlsplit(target)
    return {"server.address": url.hostname or "", "server.port": url.port or (80 if url.scheme == "http" else 443)}


_observed: WeakKeyDictionary[object, WeakSet[Telemetry]] = WeakKeyDictionary()
"""The clients by meter provider: each provider has one observable instrument for all clients."""


def _observe(telemetry: Telemetry, meter: Meter, meter_provider: MeterProvider | None) -> None:
    """Add a client to the provider's observable instruments, while the client exists."""
    is_global = meter_provider is None or meter_provider is metrics.get_meter_provider()
    key: object = metrics.get_meter if is_global else meter_provider
    clients = _observed.get(key)
    if clients is not None:
        clients.add(telemetry)
        return
    clients = _observed[key] = WeakSet([telemetry])

    def by_server(read: Callable[[Telemetry], int], combine: Callable[[list[int]], int]) -> list[metrics.Observation]:
        values: dict[tuple[object, ...], list[Telemetry]] = {}
        for client in list(clients):
            values.setdefault(tuple(client.server.values()), []).append(client)
        return [
            metrics.Observation(combine([read(client) for client in same]), same[0].server) for same in values.values()
        ]

    def active(_: CallbackOptions) -> Iterable[metrics.Observation]:
        return by_server(lambda client: client.active, sum)

    def budget(_: CallbackOptions) -> Iterable[metrics.Observation]:
        return by_server(lambda client: client.tokens(), min)

    meter.create_observable_up_down_counter(names.ACTIVE, [active], unit="{operation}", description="Calls in flight.")
    meter.create_observable_gauge(names.BUDGET, [budget], unit="{token}", description="The rest of the retry budget.")


@final
class OperationSpan:
    """The span of a call, which is None if only attempts have spans."""

    __slots__ = ("_attempts", "_span", "_token", "context", "reason", "recording")

    def __init__(self, span: Span | None, context: Context, *, recording: bool, current: bool = False) -> None:
        self._span = span
        self._attempts = 1
        self.context = context
        self.recording = recording
        self.reason: str | None = None
        """The reason why no other attempt was made; empty if no attempt has failed."""
        self._token: Token[Context] | None = otel_context.attach(context) if current else None

    def retrying(self, failed: Attempt, decision: Decision, reason: str) -> None:
        """Add an event for the wait before another attempt."""
        self._attempts += 1
        if self._span is None or not self.recording:
            return
        self._span.set_attribute(names.ATTEMPTS, self._attempts)
        self._span.add_event(
            names.RETRY,
            {
                names.RETRY_DELAY: decision.delay,
                names.RETRY_SOURCE: decision.source or "",
                names.RETRY_REASON: reason,
                names.RETRY_EXPLANATION: decision.reason,
                names.PROGRESS: failed.progress.value,
                "error.type": str(failed.status or failed.error),
            },
        )

    def waited(self, what: str, seconds: float) -> None:
        """Add an event for a wait for the throttle or the limiter."""
        if self._span is not None and self.recording:
            self._span.add_event(names.WAIT, {names.WAIT_FOR: what, names.WAIT_DURATION: seconds})

    def end(self, error: BaseException | None) -> None:
        if self._span is not None:
            if error is not None and self.recording:
                _mark(self._span, error, self.reason)
            self._span.end()
        if self._token is not None:
            otel_context.detach(self._token)


@final
class AttemptSpan:
    """The CLIENT span of an attempt. While it is the current span, instrumentation of the HTTP library adds no span."""

    __slots__ = ("_span", "_token", "context")

    def __init__(self, span: Span, parent: Context) -> None:
        self._span = span
        self.context = trace.set_span_in_context(span, parent)
        wire = self.context
        if _SUPPRESS_HTTP is not None:
            wire = otel_context.set_value(_SUPPRESS_HTTP, True, wire)  # noqa: FBT003 - the API's own signature
        self._token: Token[Context] | None = otel_context.attach(wire)

    def leave(self) -> None:
        """Stop being the current span, while a streamed answer goes on."""
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
            if error is not None:
                _mark(self._span, error)
        self._span.end()
        self.leave()


def _mark(span: Span, error: BaseException, reason: str | None = None) -> None:
    """Set the status by the conventions: never OK, and unset if the caller cancelled the call."""
    if isinstance(error, asyncio.CancelledError):
        span.set_attribute(names.CANCELLED, value=True)
    else:
        span.set_attribute("error.type", error_type(error))
        span.set_status(trace.Status(trace.StatusCode.ERROR, reason))
