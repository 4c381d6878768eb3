"""The way of a call: send → retries → attempt → once; each step adds one thing."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import TypeVar, final

import aiohttp
import attrs

from peaka_async._request import Request
from peaka_async._transport.answer import Answer, error_of, shown_headers, value_of
from peaka_async._transport.call import Call, OpenAnswer, RawResponse, captured, explain
from peaka_async._transport.credential import fetched_key
from peaka_async._transport.headers import merged
from peaka_async._transport.message import Headers, Message, Reply
from peaka_async._transport.pool import Pool
from peaka_async._transport.redirects import REDIRECTS, follow
from peaka_async._transport.retry import Decision, Recovery
from peaka_async._transport.settings import Settings, Shared
from peaka_async._transport.stream import ByteStream
from peaka_async._transport.tracing import AttemptSpan, error_type
from peaka_async._transport.wire import Wire, translated
from peaka_async._version import __version__
from peaka_async.errors import (
    DecodeError,
    OutcomeUnknownError,
    PeakaError,
    PeakaTimeoutError,
    RateLimitError,
    TransportError,
    WireProgress,
)

T = TypeVar("T")

_log = logging.getLogger("peaka_async")

_USER_AGENT = (
    f"peaka-async/{__version__} Python/{sys.version_info[0]}.{sys.version_info[1]} aiohttp/{aiohttp.__version__}"
)
_MAX_GATE_SPREAD = 0.5

# What is meant for the API stays there.
_ELSEWHERE_HEADERS = Headers({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})


@final
class Transport:
    """Carries requests to one server."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.settings = settings
        self.shared = shared
        own = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": _USER_AGENT}
        fields = merged(own, settings.headers)
        if isinstance(settings.credential, str):
            fields["Authorization"] = f"Bearer {settings.credential}"
        self._headers = Headers(fields)
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
        call: Call | None = None
        try:
            self.shared.pools.check_open()
            call = Call(request, self.settings, span)
            answer = await self._send_with_retries(call)
            value, ledger = value_of(request, answer, call.secrets), call.ledger
        except BaseException as error:
            explain(error, request, call)
            telemetry.ended(request, span, monotonic() - started, error)
            raise
        finally:
            if call is not None:
                call.leave()
        telemetry.ended(request, span, monotonic() - started)
        found = captured.get()
        if found is not None:
            found.append(RawResponse(value, answer.status, shown_headers(answer), ledger))
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
        call: Call | None = None
        try:
            self.shared.pools.check_open()
            call = Call(request, self.settings, span, streamed=True)
            await self._send_with_retries(call)
        except BaseException as error:
            if call is not None:
                call.leave()
            explain(error, request, call)
            telemetry.ended(request, span, monotonic() - started, error)
            raise
        return ByteStream(call, telemetry, started)

    async def _send_with_retries(self, call: Call) -> Answer:
        """Add: attempts after a failed one, where the policy allows them."""
        failure: PeakaError | None
        # Other hosts' failures say nothing about the API.
        budget = None if call.request.elsewhere else self.shared.budget
        try:
            answer = await self._send_attempt(call)
        except PeakaError as error:
            failure = error
        else:
            if budget is not None:
                budget.refund(1)
            return answer

        async def attempt() -> Answer:
            nonlocal failure
            if failure is not None:
                first, failure = failure, None
                raise first
            return await self._send_attempt(call)

        recovery = Recovery(call.retry, call.request, budget, call.remaining)
        try:
            answer = await recovery.drive(attempt, decided=self._note(call), sleep=asyncio.sleep)
        except PeakaError as error:
            error.outcome_unknown = recovery.decision.outcome_unknown
            if not (error.outcome_unknown and isinstance(error, TransportError)):
                raise
            cause = error
        else:
            if budget is not None:
                budget.refund(max(1, recovery.spent))
            return answer
        raise _outcome_unknown(cause) from cause

    def _note(self, call: Call) -> Callable[[PeakaError, Decision], None]:
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

    async def _send_attempt(self, call: Call) -> Answer:
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
            call.record(wire, seconds, error)
            if call.response is None:
                telemetry.ended_attempt(call.request, span, seconds, wire, error)
            elif span is not None:
                span.leave()
        if answer.status in REDIRECTS:
            return await self._send_attempt(call)
        return answer

    async def _wait_at_gate(self, call: Call, pause: float) -> None:
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

    def _check(self, call: Call, answer: Answer) -> None:
        """Raise the error that a complete answer is; a success passes, and a redirect that may be followed."""
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if answer.status not in REDIRECTS:
            raise error_of(call.request, answer, call.secrets())
        follow(call, answer, self._base)

    async def _send_once(self, call: Call, wire: Wire, span: AttemptSpan | None) -> Answer:
        """Add: one HTTP request within its time. Every foreign error is translated here."""
        more = None
        if call.span is not None or not self._own_key or call.request.headers:
            more = await self._more_headers(call, span)
        loop = asyncio.get_running_loop()
        pool = self.shared.pools.get(loop) or await self.shared.pools.begin(loop)
        call.enter(pool)
        message = self._message(call, more)
        deadlines = wire.deadlines = pool.deadlines
        remaining = call.remaining()
        wire.deadline = None if remaining is None else loop.time() + remaining
        deadlines.enter(wire, wire.ends(loop))
        problem: BaseException
        try:
            if call.streamed:
                return await self._open(call, pool, message, wire, span)
            return _answer(await pool.exchange(message, wire), message)
        except PeakaError:
            raise
        except asyncio.CancelledError as error:
            if not deadlines.caught(wire):
                raise
            problem = error
        except Exception as error:  # noqa: BLE001 - whatever a lane raises ends here
            problem = error
        finally:
            deadlines.leave(wire)
            if call.response is None:
                wire.end_turn()
        # From here on outside of the handler: the foreign error, whose request holds the key, is nobody's context.
        head = wire.head
        if head is not None and head.status >= HTTPStatus.BAD_REQUEST:
            return Answer(head.status, head.headers, b"")
        raise translated(problem, wire)

    def _message(self, call: Call, more: dict[str, str] | None) -> Message:
        request = call.request
        return Message(
            request.method,
            call.target,
            call.body,
            _ELSEWHERE_HEADERS if request.elsewhere else self._headers,
            more,
            elsewhere=request.elsewhere,
            max_body=sys.maxsize if call.streamed else self.settings.max_response_bytes,
        )

    async def _open(self, call: Call, pool: Pool, message: Message, wire: Wire, span: AttemptSpan | None) -> Answer:
        """Send a request whose answer is read piece by piece, if it is a success."""
        reply = await pool.open(message, wire)
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            call.response = OpenAnswer(reply, wire, span, monotonic())
            return Answer(reply.status, reply.headers, b"")
        return _answer(await reply.read(self.settings.max_response_bytes), message)

    async def _more_headers(self, call: Call, span: AttemptSpan | None) -> dict[str, str]:
        """The headers that are this attempt's own."""
        headers = dict(call.request.headers)
        if call.request.elsewhere:
            return headers
        traced = span or call.span
        if traced is not None:
            self.shared.telemetry.inject(headers, traced.context)
        credential = self.settings.credential
        if not isinstance(credential, str):
            key = await fetched_key(credential, call.remaining())
            call.keys.append(key)
            headers["Authorization"] = f"Bearer {key}"
        return headers


def _answer(reply: Reply, message: Message) -> Answer:
    """A complete reply. Of one that is too large the status is known, and its beginning explains an error."""
    if reply.is_cut and reply.status < HTTPStatus.BAD_REQUEST:
        msg = (
            f"HTTP {reply.status}: the call succeeded, but its answer is larger than max_response_bytes "
            f"({message.max_body}). Do not repeat a call that creates something."
        )
        raise DecodeError(msg, status=reply.status)
    return Answer(reply.status, reply.headers, reply.body)


def _outcome_unknown(cause: TransportError) -> OutcomeUnknownError:
    msg = (
        f"{cause.args[0]} It may have taken effect. It was not sent again, because that could do harm. "
        "Before you call again, check whether it took effect (list or get what the call makes)."
    )
    return OutcomeUnknownError(msg, progress=cause.progress)
