"""The way of a call: send → _send_with_retries → _send_attempt → _send_once; each step adds one thing."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from http import HTTPStatus
from time import monotonic
from typing import Generic, TypeVar, cast, final
from urllib.parse import urljoin, urlsplit

import aiohttp
import attrs
from yarl import URL

from peaka_async import _codec
from peaka_async._answer import Answer, error_of, request_id, shown_headers, value_of
from peaka_async._exchange import header_lines, is_session_replaced
from peaka_async._pool import Pool, Pools
from peaka_async._request import Content, Request
from peaka_async._retry import Decision, RateGate, Recovery, RetryBudget, RetryPolicy
from peaka_async._tracing import AttemptSpan, OperationSpan, Telemetry, error_type
from peaka_async._version import __version__
from peaka_async._wire import Response, StaleConnectionError, Wire, current_wire
from peaka_async.errors import (
    Attempt,
    ConfigurationError,
    ConnectError,
    DecodeError,
    OutcomeUnknownError,
    PeakaError,
    PeakaTimeoutError,
    RateLimitError,
    RedirectBlockedError,
    TransportError,
    WireProgress,
)

T = TypeVar("T")

Credential = str | Callable[[], Awaitable[str]]

_log = logging.getLogger("peaka_async")

_USER_AGENT = (
    f"peaka-async/{__version__} Python/{sys.version_info[0]}.{sys.version_info[1]} aiohttp/{aiohttp.__version__}"
)
_MAX_REDIRECTS = 5
_MAX_STALE = 100
_MAX_GATE_SPREAD = 0.5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# How much longer than the time that the server was asked to spend a call may take: its answer has to travel.
_SERVER_TIMEOUT_MARGIN = 10.0


@final
@attrs.frozen
class Timeouts:
    """How long a call may take, in seconds; None sets no limit.

    Attributes:
        total: the whole call: waiting for a connection, all attempts, reading the answers, the waits between.
        attempt: one attempt, from its connection to the end of its answer.
        connect: making a connection (DNS, TCP, TLS).
    """

    total: float | None = 60.0
    attempt: float | None = 30.0
    connect: float | None = 10.0

    def __attrs_post_init__(self) -> None:
        for name in ("total", "attempt", "connect"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"Timeouts: {name} must be more than 0 seconds, or None for no limit."
                raise ConfigurationError(msg)


@final
@attrs.frozen(kw_only=True)
class Settings:
    """How calls are made; `with_options` makes another of it."""

    credential: Credential = attrs.field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    max_response_bytes: int


@final
@attrs.frozen(kw_only=True, eq=False)
class Shared:
    """What a client and its views have in common."""

    origin: str
    prefix: str
    pools: Pools
    telemetry: Telemetry
    budget: RetryBudget = attrs.field(factory=RetryBudget)
    gate: RateGate = attrs.field(factory=RateGate)


@final
@attrs.define(eq=False)
class RawResponse(Generic[T]):
    """A call's value with what came around it.

    Attributes:
        value: what the method returns.
        status: the HTTP status.
        headers: the answer's headers, names in lower case.
        attempts: the ledger, one `Attempt` for each request that was made or tried.
    """

    value: T
    status: int
    headers: dict[str, str] = attrs.field(repr=False)
    attempts: tuple[Attempt, ...]


captured: ContextVar[list[RawResponse[object]] | None] = ContextVar("captured", default=None)
"""Where the caller wants more than the value: the calls made in this context, with what came around them."""


@final
class _Call:
    """The course of one call."""

    __slots__ = (
        "attempts",
        "body",
        "deadline",
        "hops",
        "ledger",
        "request",
        "response",
        "retry",
        "sent",
        "span",
        "streamed",
        "target",
        "timeouts",
        "watched",
    )

    def __init__(
        self, request: Request[T], settings: Settings, span: OperationSpan | None, *, streamed: bool = False
    ) -> None:
        self.request = request
        self.streamed = streamed
        self.response: _Open | None = None
        self.retry = settings.retry
        self.timeouts = settings.timeouts
        if request.server_timeout is not None:
            self.timeouts = _widened(settings.timeouts, request.server_timeout)
        self.target = request.target()
        self.body = _encoded(request)
        self.span = span
        self.ledger: tuple[Attempt, ...] = ()
        self.watched = captured.get() is not None
        self.attempts = 0
        self.sent = False
        self.hops = 0
        total = self.timeouts.total
        self.deadline = None if total is None else monotonic() + total

    def remaining(self) -> float | None:
        """Seconds until the deadline; None where there is none."""
        return None if self.deadline is None else self.deadline - monotonic()


def _widened(timeouts: Timeouts, server_timeout: float) -> Timeouts:
    needed = server_timeout + _SERVER_TIMEOUT_MARGIN
    return attrs.evolve(
        timeouts,
        total=None if timeouts.total is None else max(timeouts.total, needed),
        attempt=None if timeouts.attempt is None else max(timeouts.attempt, needed),
    )


def _encoded(request: Request[T]) -> bytes | Content | None:
    body = request.body
    if body is None or isinstance(body, Content):
        return body
    try:
        return _codec.encode(body)
    except _codec.Mismatch as mismatch:
        path, problem = mismatch.path, mismatch.problem
    msg = f"the body cannot be sent as JSON: at {path} {problem}. Nothing was sent."
    raise ConfigurationError(msg, operation=request.operation)


@final
class Transport:
    """Carries requests to one server."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.settings = settings
        self.shared = shared
        self._headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": _USER_AGENT}
        if isinstance(settings.credential, str):
            self._headers["Authorization"] = f"Bearer {settings.credential}"
        self._header_lines = header_lines(self._headers)
        self._own_key = isinstance(settings.credential, str)
        self._base = shared.origin + shared.prefix

    async def send(self, request: Request[T]) -> T:
        """Make the call and return what it declares.

        Raises:
            PeakaError: see the tree in `peaka_async.errors`; it carries the operation and the attempts.
        """
        telemetry = self.shared.telemetry
        started = monotonic()
        span = telemetry.start(request)
        call: _Call | None = None
        try:
            call = _Call(request, self.settings, span)
            answer = await self._send_with_retries(call)
            value = value_of(request, answer)
        except BaseException as error:
            self._explain(error, request, call)
            telemetry.ended(request, span, monotonic() - started, error)
            raise
        telemetry.ended(request, span, monotonic() - started)
        found = captured.get()
        if found is not None:
            found.append(RawResponse(value, answer.status, shown_headers(answer), call.ledger))
        return value

    async def stream(self, request: Request[bytes]) -> ByteStream:
        """Make the call up to the head of its answer; the body follows piece by piece.

        The call's total limit ends with the head. From then on each piece may take as long as an attempt may.

        Raises:
            PeakaError: see the tree in `peaka_async.errors`; reading the body raises too.
        """
        telemetry = self.shared.telemetry
        started = monotonic()
        span = telemetry.start(request, current=False)
        call: _Call | None = None
        try:
            call = _Call(request, self.settings, span, streamed=True)
            await self._send_with_retries(call)
        except BaseException as error:
            self._explain(error, request, call)
            telemetry.ended(request, span, monotonic() - started, error)
            raise
        return ByteStream(call, telemetry, started)

    @staticmethod
    def _explain(error: BaseException, request: Request[T], call: _Call | None) -> None:
        """Add to an error what only the whole call knows."""
        if isinstance(error, PeakaError):
            error.operation = request.operation
            error.attempts = () if call is None else call.ledger
        elif isinstance(error, asyncio.CancelledError) and call is not None and call.sent:
            error.add_note(
                f"{request.operation} was cancelled after it was sent: the server may have acted on it, or still act."
            )

    async def _send_with_retries(self, call: _Call) -> Answer:
        """Add: attempts after a failed one, where the policy allows them."""
        failure: PeakaError | None
        try:
            answer = await self._send_attempt(call)
        except PeakaError as error:
            failure = error
        else:
            self.shared.budget.refund(1)
            return answer

        async def attempt() -> Answer:
            nonlocal failure
            if failure is not None:
                first, failure = failure, None
                raise first
            return await self._send_attempt(call)

        recovery = Recovery(call.retry, call.request, self.shared.budget, call.remaining)
        try:
            answer = await recovery.drive(attempt, decided=self._note(call), sleep=asyncio.sleep)
        except TransportError as error:
            if not recovery.decision.outcome_unknown:
                raise
            cause = error
        else:
            self.shared.budget.refund(recovery.spent)
            return answer
        raise _outcome_unknown(cause) from cause

    def _note(self, call: _Call) -> Callable[[PeakaError, Decision], None]:
        """What hears of each decision: the gate, the ledger, the metrics, the span and the log."""

        def decided(failure: PeakaError, decision: Decision) -> None:
            _log.debug(
                "%s: %s after attempt %d: %s",
                call.request.operation,
                error_type(failure),
                len(call.ledger),
                decision.reason,
            )
            if isinstance(failure, RateLimitError):
                pause = decision.delay or failure.retry_after or 0.0
                self.shared.gate.close(monotonic(), min(pause, call.retry.max_retry_after))
            if decision.retry:
                *earlier, last = call.ledger
                last = attrs.evolve(last, delay=decision.delay, delay_source=decision.source)
                call.ledger = (*earlier, last)
                self.shared.telemetry.retrying(call.request, call.span, last, decision, self.shared.budget.tokens)
            elif call.span is not None:
                call.span.reason = decision.reason

        return decided

    async def _send_attempt(self, call: _Call) -> Answer:
        """Add: the pause that a 429 asked for, and the attempt's span, metric and ledger line."""
        started = monotonic()
        pause = self.shared.gate.wait(started)
        if pause:
            await self._wait_at_gate(call, pause)
            started = monotonic()
        telemetry = self.shared.telemetry
        span = telemetry.start_attempt(call.request, call.span, call.target, call.attempts)
        wire = Wire(call.timeouts.attempt)
        error: BaseException | None = None
        try:
            answer = await self._send_once(call, wire, span)
            self._check(call, answer)
        except BaseException as failure:
            error = failure
            raise
        finally:
            seconds = monotonic() - started
            call.sent = call.sent or wire.sent
            call.attempts += 1
            if error is not None or call.watched:
                call.ledger += (_ledger_line(call.attempts, wire, seconds, error),)
            if call.response is None:
                telemetry.ended_attempt(call.request, span, seconds, wire, error)
            elif span is not None:
                span.leave()
        if answer.status in _REDIRECTS:
            return await self._send_attempt(call)
        return answer

    async def _wait_at_gate(self, call: _Call, pause: float) -> None:
        # Those who waited do not all start in the same instant.
        pause += random.uniform(0.0, min(pause, _MAX_GATE_SPREAD))  # noqa: S311 - it protects nothing
        remaining = call.remaining()
        if remaining is not None and pause >= remaining:
            msg = (
                f"the server asked all callers to pause (429), for {pause:.1f} s more, longer than this call may take. "
                "This attempt was not sent; call again later."
            )
            raise PeakaTimeoutError(msg, phase="rate-limit", retry_after=pause, progress=WireProgress.NOT_SENT)
        if call.span is not None:
            call.span.paused(pause)
        await asyncio.sleep(pause)

    def _check(self, call: _Call, answer: Answer) -> None:
        """Raise the error that a complete answer is; a success passes, and a redirect that may be followed."""
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if answer.status not in _REDIRECTS:
            raise error_of(call.request, answer, self._secret())
        origin, target = self._redirected(call, answer)
        follow = origin == self.shared.origin and call.request.method == "GET" and call.body is None
        if follow and call.hops < _MAX_REDIRECTS:
            call.hops += 1
            call.target = target
            return
        location = f"{origin}{target.partition('?')[0]}" if origin else None
        msg = (
            f"HTTP {answer.status} points to {location or 'nowhere'} and was not followed: a redirect is not followed "
            "with a body, to another origin or without end. Check base_url and zone."
        )
        raise RedirectBlockedError(msg, status=answer.status, location=location)

    def _redirected(self, call: _Call, answer: Answer) -> tuple[str, str]:
        """Where a redirect points: origin, and path with query; empty where it names nothing usable."""
        try:
            url = urlsplit(urljoin(self.shared.origin + self.shared.prefix + call.target, answer.headers["Location"]))
            origin = str(URL.build(scheme=url.scheme, host=url.hostname or "", port=url.port).origin())
        except (KeyError, ValueError):
            return "", ""
        target = URL(url._replace(scheme="", netloc="", fragment="").geturl()).raw_path_qs
        return origin, target.removeprefix(self.shared.prefix) if origin == self.shared.origin else target

    def _secret(self) -> str:
        credential = self.settings.credential
        return credential if isinstance(credential, str) else ""

    async def _send_once(self, call: _Call, wire: Wire, span: AttemptSpan | None) -> Answer:
        """Add: one HTTP request within its time. Every foreign error is translated here."""
        more = None
        if call.span is not None or not self._own_key or call.request.headers:
            more = await self._more_headers(call, span)
        loop = asyncio.get_running_loop()
        pool = self.shared.pools.get(loop) or await self.shared.pools.begin(loop)
        deadlines = wire.deadlines = pool.deadlines
        remaining = call.remaining()
        wire.deadline = None if remaining is None else loop.time() + remaining
        deadlines.enter(wire, wire.ends(loop))
        current_wire.set(wire)
        problem: BaseException
        try:
            response = await self._open(call, wire, more, pool)
            if call.streamed and response.status < HTTPStatus.MULTIPLE_CHOICES:
                call.response = _Open(response, wire, span, monotonic())
                return Answer(response.status, response.headers, b"")
            if self._is_small(response):
                return Answer(response.status, response.headers, await response.read())
            return Answer(response.status, response.headers, await self._read(response))
        except PeakaError:
            raise
        except asyncio.CancelledError as error:
            if not deadlines.caught(wire):
                raise
            problem = error
        except Exception as error:  # noqa: BLE001 - whatever aiohttp and its parts raise ends here
            problem = error
        finally:
            deadlines.leave(wire)
            if call.response is None:
                wire.end_turn()
        # From here on outside of the handler: the foreign error, whose request holds the key, is nobody's context.
        head = wire.head
        if head is not None and head.status >= HTTPStatus.BAD_REQUEST:
            return Answer(head.status, head.headers, b"")
        raise _translated(problem, wire)

    async def _more_headers(self, call: _Call, span: AttemptSpan | None) -> dict[str, str]:
        """The headers that are this attempt's own."""
        headers = dict(call.request.headers)
        if call.request.url is not None:
            return headers
        traced = span or call.span
        if traced is not None:
            self.shared.telemetry.inject(headers, traced.context)
        credential = self.settings.credential
        if not isinstance(credential, str):
            headers["Authorization"] = f"Bearer {await self._fetch(credential, call)}"
        return headers

    @staticmethod
    async def _fetch(credential: Callable[[], Awaitable[str]], call: _Call) -> str:
        """Ask the application for the key, within the call's deadline; what it raises is its own."""
        limit = asyncio.timeout(call.remaining())
        try:
            async with limit:
                key = await credential()
        except TimeoutError:
            if not limit.expired():
                raise
            key = None
        if key is None:
            msg = "the api_key callable did not answer before the deadline. This attempt was not sent."
            raise PeakaTimeoutError(msg, phase="credential", progress=WireProgress.NOT_SENT)
        return checked_key(key)

    async def _open(self, call: _Call, wire: Wire, more: dict[str, str] | None, pool: Pool) -> Response:
        """Wait for a connection, send the request and read the answer's head."""
        if pool.turns is not None:
            await wire.take_turn(pool.turns)
        for _ in range(_MAX_STALE):
            try:
                wire.head = response = await self._begin(call, wire, more, pool)
            except StaleConnectionError:
                # Nothing was written to it and it left the pool with this: the next one is another connection.
                continue
            wire.phase = "body"
            return response
        raise StaleConnectionError

    async def _begin(self, call: _Call, wire: Wire, more: dict[str, str] | None, pool: Pool) -> Response:
        body = call.body
        if call.request.url is not None:
            return await self._begin_elsewhere(call, call.request.url, more or {}, pool)
        if pool.exchanger is not None and not isinstance(body, Content) and not is_session_replaced():
            lines = self._header_lines
            if more:
                lines += header_lines(more)
            return await pool.exchanger.begin(call.request.method, call.target, lines, body, wire)
        headers = {**self._headers, **(more or {})}
        if isinstance(body, Content):
            headers["Content-Type"] = body.media_type
            if body.size is not None:
                headers["Content-Length"] = str(body.size)
        elif body is not None:
            headers["Content-Type"] = "application/json"
        return cast(
            "Response",
            await pool.session.request(
                call.request.method,
                URL(self._base + call.target, encoded=True),
                data=body.chunks() if isinstance(body, Content) else body,
                headers=headers,
                allow_redirects=False,
            ),
        )

    @staticmethod
    async def _begin_elsewhere(call: _Call, url: str, more: dict[str, str], pool: Pool) -> Response:
        """Ask another host, with nothing in the request that is meant for the API."""
        return cast(
            "Response",  # its headers are a property of a kind of its own
            await pool.elsewhere.request(
                call.request.method,
                URL(url, encoded=True),
                headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **more},
                skip_auto_headers=("Accept",),
                allow_redirects=False,
            ),
        )

    def _is_small(self, response: Response) -> bool:
        """Whether the head promises a body within the client's limit."""
        length = response.content_length
        return (
            length is not None
            and length <= self.settings.max_response_bytes
            and "Content-Encoding" not in response.headers
        )

    async def _read(self, response: Response) -> bytes:
        """Read an answer's body piece by piece, up to the client's limit."""
        limit = self.settings.max_response_bytes
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        finally:
            response.close()
        if response.status >= HTTPStatus.BAD_REQUEST:
            return bytes(body[:limit])
        msg = (
            f"HTTP {response.status}: the call succeeded, but its answer is larger than max_response_bytes ({limit}). "
            "Do not repeat a call that creates something."
        )
        raise DecodeError(msg, status=response.status)


@final
@attrs.frozen(eq=False)
class _Open:
    """An answer whose body was not read yet."""

    response: Response
    wire: Wire
    span: AttemptSpan | None
    started: float


@final
class ByteStream:
    """An answer whose body is read piece by piece.

    Attributes:
        status: the HTTP status.
        headers: the answer's headers, names in any case.
    """

    def __init__(self, call: _Call, telemetry: Telemetry, started: float) -> None:
        if call.response is None:
            msg = "there is no answer to read"
            raise RuntimeError(msg)
        self._call, self._open, self._telemetry, self._started = call, call.response, telemetry, started
        self._ended = False
        self.status: int = self._open.response.status
        self.headers: Mapping[str, str] = self._open.response.headers
        self._pieces = self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Stop reading. Where the body was not read to its end the connection is closed."""
        await self._pieces.aclose()
        self._end(None)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        error: BaseException | None = None
        try:
            while piece := await self._piece():
                yield piece
        except GeneratorExit:
            raise
        except BaseException as failure:
            error = failure
            Transport._explain(failure, self._call.request, self._call)  # noqa: SLF001 - of this module
            raise
        finally:
            self._end(error)

    async def _piece(self) -> bytes:
        wire = self._open.wire
        limit = asyncio.timeout(self._call.timeouts.attempt)
        try:
            async with limit:
                return await self._open.response.content.readany()
        except Exception as error:  # noqa: BLE001 - whatever aiohttp raises ends here
            problem = error
        wire.expired = limit.expired()
        raise _translated(problem, wire)

    def _end(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._open.response.close()
        self._open.wire.end_turn()
        request, now = self._call.request, monotonic()
        self._telemetry.ended_attempt(request, self._open.span, now - self._open.started, self._open.wire, error)
        self._telemetry.ended(request, self._call.span, now - self._started, error)


def checked_key(key: object) -> str:
    """An API key that a header can carry.

    Raises:
        ConfigurationError: it is not a str, is empty, or holds what no header may.
    """
    if not isinstance(key, str) or not key.strip():
        msg = "api_key must be a str that is not empty, or an async callable that returns one. Nothing was sent."
        raise ConfigurationError(msg)
    if not (key.isascii() and key.isprintable()) or " " in key:
        msg = "api_key holds a character that a header cannot carry (a line end, perhaps). Nothing was sent."
        raise ConfigurationError(msg)
    return key


def _ledger_line(number: int, wire: Wire, seconds: float, error: BaseException | None) -> Attempt:
    head = wire.head
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
        request_id=None if head is None else request_id(head.headers, error),
    )


def _translated(problem: BaseException, wire: Wire) -> TransportError:
    """What a failure of aiohttp means for the caller."""
    if not wire.sent:
        if wire.expired or isinstance(problem, TimeoutError):
            what = "no connection became free" if wire.phase == "pool" else "no connection was made (DNS, TCP, TLS)"
            msg = f"{what} in time. Nothing was sent; it is safe to call again."
            return PeakaTimeoutError(msg, phase=wire.phase, progress=WireProgress.NOT_SENT)
        msg = f"no connection: {_reason(problem)}. Nothing was sent; it is safe to call again."
        return ConnectError(msg, progress=WireProgress.NOT_SENT)
    if wire.expired:
        what = "the answer did not end" if wire.phase == "body" else "no answer came"
        return PeakaTimeoutError(f"{what} in time. The request was sent.", phase=wire.phase)
    where = "in the middle of the answer" if wire.phase == "body" else "before an answer came"
    return TransportError(f"the connection broke {where} ({type(problem).__name__}). The request was sent.")


def _reason(problem: BaseException) -> str:
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return "the server's name does not resolve"
    if isinstance(problem, StaleConnectionError):
        return "the server closes connections as soon as they are made"
    if isinstance(problem, aiohttp.ClientConnectorCertificateError):
        return "the server's TLS certificate is not trusted (see the ssl argument for a private CA)"
    error = problem.os_error if isinstance(problem, aiohttp.ClientConnectorError) else problem
    detail = error.strerror if isinstance(error, OSError) else None
    return detail or type(error).__name__


def _outcome_unknown(cause: TransportError) -> OutcomeUnknownError:
    msg = (
        f"{cause.args[0]} Whether it took effect is not known. It was not sent again, since a second send could do "
        "harm: look first whether it took effect (list or get what the call makes)."
    )
    return OutcomeUnknownError(msg, progress=cause.progress)
