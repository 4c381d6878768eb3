"""The state of one call, and its raw response."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from time import monotonic
from typing import Generic, TypeVar, final

import attrs

from peaka_async import _codec
from peaka_async._request import Content, Request, Safety
from peaka_async._transport.answer import request_id
from peaka_async._transport.pool import Pool
from peaka_async._transport.redaction import Secrets, confidential, confidential_in_url
from peaka_async._transport.session import OpenReply
from peaka_async._transport.settings import Settings
from peaka_async._transport.throttle import Queue
from peaka_async._transport.tracing import AttemptSpan, OperationSpan
from peaka_async._transport.wire import Wire
from peaka_async.errors import (
    Attempt,
    CancelledCall,
    ConfigurationError,
    PeakaError,
    RateLimitError,
    TransportError,
    WireProgress,
    note_cancelled,
)

T = TypeVar("T")


@final
@attrs.define(eq=False)
class RawResponse(Generic[T]):
    """The value of a call with its status, headers and attempts.

    Attributes:
        value: the value that the method returns.
        status: the HTTP status.
        headers: the answer's headers; names are in lower case.
        attempts: one `Attempt` for each request that was sent or could not be.
    """

    value: T
    status: int
    headers: dict[str, str] = attrs.field(repr=False)
    attempts: tuple[Attempt, ...]


captured: ContextVar[list[RawResponse[object]] | None] = ContextVar("captured", default=None)
"""The raw responses of calls in this context, for `with_raw_response`."""


@final
@attrs.frozen(eq=False)
class OpenAnswer:
    """An answer whose body was not read yet."""

    response: OpenReply
    wire: Wire
    span: AttemptSpan | None
    started: float


@final
class Call:
    """The state of one call."""

    __slots__ = (
        "attempts",
        "body",
        "deadline",
        "hops",
        "key",
        "keys",
        "ledger",
        "limited",
        "pool",
        "queue",
        "request",
        "response",
        "retry",
        "span",
        "streamed",
        "target",
        "timeouts",
        "unwritten",
        "watched",
    )

    def __init__(
        self, request: Request[T], settings: Settings, span: OperationSpan | None, *, streamed: bool = False
    ) -> None:
        self.request = request
        self.streamed = streamed
        self.response: OpenAnswer | None = None
        self.retry = settings.retry
        self.timeouts = settings.timeouts
        if request.server_timeout is not None:
            self.timeouts = settings.timeouts.widened(request.server_timeout)
        self.target = request.target()
        self.body = _encoded(request)
        self.span = span
        self.keys = [*settings.headers.values()]
        if isinstance(settings.credential, str):
            self.keys.append(settings.credential)
        self.ledger: tuple[Attempt, ...] = ()
        self.watched = captured.get() is not None
        self.pool: Pool | None = None
        self.attempts = 0
        self.unwritten: tuple[Wire, float] | None = None
        self.hops = 0
        self.key: str | None = None
        self.queue: Queue | None = None
        self.limited: RateLimitError | None = None
        total = self.timeouts.total
        self.deadline = None if total is None else monotonic() + total

    def remaining(self) -> float | None:
        """The seconds until the deadline; None if there is none."""
        return None if self.deadline is None else self.deadline - monotonic()

    def secrets(self) -> Secrets:
        """The secrets that the call has sent so far."""
        request = self.request
        in_url = confidential_in_url(self.target) if request.elsewhere else ()
        return Secrets([*self.keys, *confidential(request.body), *in_url])

    def enter(self, pool: Pool) -> None:
        """Mark the pool as used by this call."""
        if self.pool is None:
            self.pool = pool
            pool.enter(self)

    def leave(self) -> None:
        """Mark the pool as no longer used by this call."""
        if self.pool is not None:
            self.pool.leave(self)

    def record(self, wire: Wire, seconds: float, error: BaseException | None) -> None:
        """Record the end of an attempt. A success is added to the ledger only if it will be read."""
        self.attempts += 1
        if error is None and not self.watched:
            self.unwritten = wire, seconds
            return
        self.unwritten = None
        self.ledger += (_ledger_line(self.attempts, wire, seconds, error, self.secrets()),)

    def whole_ledger(self) -> tuple[Attempt, ...]:
        """The ledger, including the last answer if the call failed after it."""
        if self.unwritten is not None:
            wire, seconds = self.unwritten
            self.unwritten = None
            self.ledger += (_ledger_line(self.attempts, wire, seconds, None, self.secrets()),)
        return self.ledger


def _encoded(request: Request[T]) -> bytes | Content | None:
    body = request.body
    if request.takes is not None and not isinstance(body, request.takes):
        hint = " Make one with Oauth2Callback.from_redirect." if hasattr(request.takes, "from_redirect") else ""
        msg = f"it takes a value of type {request.takes.__name__}, not {type(body).__name__}. Nothing was sent.{hint}"
        raise ConfigurationError(msg, operation=request.operation)
    if body is None or isinstance(body, Content):
        return body
    try:
        return _codec.encode(body)
    except _codec.Mismatch as mismatch:
        path, problem = mismatch.path, mismatch.problem
    msg = f"the body cannot be sent as JSON: at {path} {problem}. Nothing was sent."
    raise ConfigurationError(msg, operation=request.operation)


def _ledger_line(number: int, wire: Wire, seconds: float, error: BaseException | None, secrets: Secrets) -> Attempt:
    head = wire.head
    named = None if head is None else request_id(head.headers, error)
    if isinstance(error, TransportError):
        progress = error.progress
    elif head is not None:
        progress = WireProgress.ANSWERED
    else:
        progress = WireProgress.MAYBE_SENT if wire.sent else WireProgress.NOT_SENT
    return Attempt(
        number=number,
        progress=progress,
        status=None if head is None else head.status,
        error=None if error is None else type(error).__name__,
        duration=seconds,
        request_id=None if named is None else secrets.redact(named),
    )


def explain(error: BaseException, request: Request[T], call: Call | None) -> None:
    """Add the operation and the attempts to an error. If the request was invalid, there is no call."""
    if isinstance(error, PeakaError):
        error.operation = request.operation
        error.attempts = () if call is None else call.whole_ledger()
    elif isinstance(error, asyncio.CancelledError):
        _explain_cancellation(error, request, () if call is None else call.whole_ledger())


def _explain_cancellation(error: asyncio.CancelledError, request: Request[T], ledger: tuple[Attempt, ...]) -> None:
    call = CancelledCall(operation=request.operation, attempts=ledger)
    sent = not call.nothing_sent
    note_cancelled(error, attrs.evolve(call, outcome_unknown=sent and request.safety is Safety.ONCE))
    if sent:
        error.add_note(
            f"{request.operation} was cancelled after it was sent: the server may have acted on it, or still act."
        )
