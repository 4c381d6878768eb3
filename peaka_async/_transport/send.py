"""The steps of a call: send → retries → attempt → once. Each step adds one thing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import TypeVar, final
from urllib.parse import urlsplit

import aiohttp
import attrs

from peaka_async._request import LOOPBACK, Request
from peaka_async._transport.admission import Admission
from peaka_async._transport.answer import Answer, error_of, shown_headers, value_of
from peaka_async._transport.call import Call, OpenAnswer, RawResponse, captured, explain
from peaka_async._transport.headers import merged
from peaka_async._transport.message import Headers, Message, Reply
from peaka_async._transport.pool import Pool
from peaka_async._transport.redirects import REDIRECTS, follow
from peaka_async._transport.retry import Decision, Failure, Recovery, RetryBudget
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
)

T = TypeVar("T")

_USER_AGENT = (
    f"peaka-async/{__version__} Python/{sys.version_info[0]}.{sys.version_info[1]} aiohttp/{aiohttp.__version__}"
)

# These headers are sent only to the API.
_ELSEWHERE_HEADERS = Headers({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})


@final
class Transport:
    """Sends requests to one server."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.settings = settings
        self.shared = shared
        own = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": _USER_AGENT}
        fields = merged(own, settings.headers)
        if isinstance(settings.credential, str):
            fields["Authorization"] = f"Bearer {settings.credential}"
        self._headers = Headers(fields)
        self._own_key = isinstance(settings.credential, str)
        self._admission = Admission(settings, shared)
        self._base = shared.origin + shared.prefix

    async def send(self, request: Request[T]) -> T:
        """Make the call and return a value of the type that the request declares.

        Raises:
            PeakaError: see the tree in `peaka_async.errors`; it has the operation and the attempts.
        """
        telemetry = self.shared.telemetry
        started = monotonic()
        span = telemetry.start(request)
        call: Call | None = None
        try:
            self.shared.pools.check_open()
            self._check_link(request)
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
        """Make the call and return when the head of its answer has arrived; the body follows piece by piece.

        The call's total limit applies until the head has arrived. After that, a piece may take as long as an attempt.

        Raises:
            PeakaError: see the tree in `peaka_async.errors`; reading the body raises too.
        """
        telemetry = self.shared.telemetry
        started = monotonic()
        span = telemetry.start(request, current=False)
        call: Call | None = None
        try:
            self.shared.pools.check_open()
            self._check_link(request)
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
        """Add retries after a failed attempt, if the policy allows them."""
        failure: PeakaError | None
        # Failures of other hosts say nothing about the API, so each such call has its own budget.
        budget = RetryBudget() if call.request.elsewhere else self.shared.budget
        try:
            answer = await self._send_attempt(call)
        except PeakaError as error:
            failure = error
        else:
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
            if call.limited is not None and _is_too_late(error):
                raise call.limited from None
            error.outcome_unknown = recovery.decision.outcome_unknown
            if not (error.outcome_unknown and isinstance(error, TransportError)):
                raise
            cause = error
        else:
            budget.refund(max(1, recovery.spent))
            return answer
        raise _outcome_unknown(cause) from cause

    def _note(self, call: Call) -> Callable[[PeakaError, Decision], None]:
        """Make the function that reports each decision to the ledger, the metrics, the span and the log."""
        telemetry, voice, operation = self.shared.telemetry, self.shared.voice, call.request.operation

        def decided(failure: PeakaError, decision: Decision) -> None:
            if not _is_too_late(failure):
                call.limited = failure if isinstance(failure, RateLimitError) else None
            name = error_type(failure)
            if not decision.retry:
                voice.failed(operation, call.attempts, name, decision.reason)
                if call.span is not None:
                    call.span.reason = decision.reason
                return
            *earlier, last = call.ledger
            last = attrs.evolve(last, delay=decision.delay, delay_source=decision.source)
            call.ledger = (*earlier, last)
            voice.retrying(operation, last.number, name, decision.reason, decision.delay)
            telemetry.retrying(call.request, call.span, last, decision, Failure.of(failure).value)

        return decided

    async def _send_attempt(self, call: Call) -> Answer:
        """Add the wait for the throttle and the limiter, and the attempt's span, metric and ledger line."""
        if not call.request.elsewhere:
            await self._admission.wait(call)
        telemetry = self.shared.telemetry
        started = monotonic()
        span = telemetry.start_attempt(call.request, call.span, call.target, call.attempts)
        wire = Wire(call.timeouts.attempt)
        error: BaseException | None = None
        try:
            answer = await self._send_once(call, wire, span)
            self._check(call, answer)
        except RateLimitError as failure:
            error = failure
            await self._admission.tell_limiter(call, failure)
            raise
        except BaseException as failure:
            error = failure
            raise
        finally:
            now = monotonic()
            call.record(wire, now - started, error)
            if call.response is None:
                telemetry.ended_attempt(call.request, span, now - started, wire, error)
            elif span is not None:
                span.leave()
            self._admission.learn(call, wire, error, now)
        if answer.status in REDIRECTS:
            return await self._send_attempt(call)
        return answer

    def _check(self, call: Call, answer: Answer) -> None:
        """Raise the error for a complete answer, unless it is a success or a redirect that may be followed."""
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if answer.status not in REDIRECTS:
            raise error_of(call.request, answer, call.secrets())
        follow(call, answer, self._base)

    async def _send_once(self, call: Call, wire: Wire, span: AttemptSpan | None) -> Answer:
        """Add one HTTP request within its time limit. Errors of other libraries are replaced only here."""
        more = None
        if call.span is not None or not self._own_key or call.request.headers:
            more = self._more_headers(call, span)
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
        # Outside of the handler, so that the other library's error, whose request holds the key, is not the context.
        head = wire.head
        if head is not None and head.status >= HTTPStatus.BAD_REQUEST:
            return Answer(head.status, head.headers, b"")
        raise translated(problem, wire)

    def _check_link(self, request: Request[object]) -> None:
        """Refuse an unencrypted link, unless the API is on this machine, as in tests or with the emulator."""
        if not request.elsewhere or urlsplit(request.target()).scheme == "https":
            return
        if urlsplit(self._base).hostname not in LOOPBACK:
            msg = "the link to the file is not https://, so it was not followed."
            raise DecodeError(msg, operation=request.operation)

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

    def _more_headers(self, call: Call, span: AttemptSpan | None) -> dict[str, str]:
        """The headers of this attempt only."""
        headers = dict(call.request.headers)
        if call.request.elsewhere:
            return headers
        traced = span or call.span
        if traced is not None:
            self.shared.telemetry.inject(headers, traced.context)
        if call.key is not None:
            headers["Authorization"] = f"Bearer {call.key}"
        return headers


def _answer(reply: Reply, message: Message) -> Answer:
    """The complete answer. If it is too large, only its status and its beginning are known."""
    if reply.is_cut and reply.status < HTTPStatus.BAD_REQUEST:
        msg = (
            f"HTTP {reply.status}: the call succeeded, but its answer is larger than max_response_bytes "
            f"({message.max_body}). Do not repeat a call that creates something."
        )
        raise DecodeError(msg, status=reply.status)
    return Answer(reply.status, reply.headers, reply.body)


def _is_too_late(error: PeakaError) -> bool:
    return isinstance(error, PeakaTimeoutError) and error.phase in {"rate-limit", "limiter"}


def _outcome_unknown(cause: TransportError) -> OutcomeUnknownError:
    msg = (
        f"{cause.args[0]} It may have taken effect. It was not sent again, because that could do harm. "
        "Before you call again, check whether it took effect (list or get what the call makes)."
    )
    return OutcomeUnknownError(msg, progress=cause.progress)
