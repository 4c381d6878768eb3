"""Retries: whether a failed attempt is repeated, and after how long. No I/O.

`RetryPolicy.explain` decides; tenacity runs the waits after the first failure.
"""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, final

import attrs

from peaka_async._request import Content, Request, Safety
from peaka_async.errors import APIError, ConnectError, PeakaError, PeakaTimeoutError, TransportError, WireProgress

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

# Temporary errors of a server, or of a gateway in front of it. ONCE operations are not repeated after them, because a
# gateway can send each of them after it has forwarded the request.
_TRANSIENT_STATUSES = frozenset({408, 425, 500, 502, 503, 504})

# An attempt without a connection costs the server nothing, so the waits between such attempts stay short.
_MAX_UNSENT_BACKOFF = 2.0

# With less time than this, an attempt would probably fail, and a ONCE call could end with an unknown outcome.
_LEAST_SECONDS = 0.1


class Failure(enum.Enum):
    """The kinds of failed attempts, which decide what follows."""

    NOT_SENT = "not_sent"
    """No connection, perhaps temporarily: it was refused, reset, or not made in time."""

    UNREACHABLE = "unreachable"
    """No connection, probably permanently: the name does not resolve, or TLS fails."""

    MAYBE_SENT = "maybe_sent"
    """The request was sent, at least in part, and no complete answer came."""

    RATE_LIMITED = "rate_limited"
    """429."""

    TRANSIENT = "transient"
    """408, 425, 500, 502, 503 or 504."""

    FINAL = "final"
    """Another attempt would have the same result."""

    @classmethod
    def of(cls, error: PeakaError) -> Failure:
        """The kind of a failed attempt."""
        match error:
            case PeakaTimeoutError(phase="rate-limit" | "limiter" | "credential") | ConnectError(problem="closed"):
                kind = cls.FINAL
            case ConnectError(problem="name" | "tls"):
                kind = cls.UNREACHABLE
            case TransportError(progress=WireProgress.NOT_SENT):
                kind = cls.NOT_SENT
            case TransportError(progress=WireProgress.MAYBE_SENT):
                kind = cls.MAYBE_SENT
            case APIError(status=429):
                kind = cls.RATE_LIMITED
            case APIError(status=status) if status in _TRANSIENT_STATUSES:
                kind = cls.TRANSIENT
            case _:
                kind = cls.FINAL
        return kind

    @property
    def counted(self) -> bool:
        """Whether the attempt counts as one of the policy's `attempts`, and a retry is paid from the budget."""
        return self not in {Failure.NOT_SENT, Failure.RATE_LIMITED}


@final
@attrs.frozen
class Decision:
    """The decision after a failed attempt."""

    retry: bool
    """Whether another attempt is made."""

    reason: str
    """The reason for the decision, in a sentence."""

    delay: float = 0.0
    """Seconds until the next attempt."""

    source: str | None = None
    """The source of the delay: `backoff`, `retry-after`, `retry-after-ms` or `retry-after-date`."""

    outcome_unknown: bool = False
    """Whether the operation may have taken effect, and repeating it could do harm."""


@final
@attrs.frozen
class Hint:
    """A wait that a server asked for."""

    seconds: float
    source: str


def _full_jitter(ceiling: float) -> float:
    return random.uniform(0.0, ceiling)  # noqa: S311 - not used for security


@final
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Which failures are retried, how often and how fast.

    A call is repeated only if this can do no harm; see `explain`. A policy is immutable. Pass it to
    `PeakaClient(retry=…)` or `with_options(retry=…)`. `RetryPolicy(attempts=1)` never repeats anything.

    Attributes:
        attempts: the largest number of attempts of a call, including the first. Attempts without a connection, and
            attempts that were answered with 429, do not count: `unsent_seconds` and the call's deadline limit them.
        backoff: the longest wait after the first failure, in seconds. It doubles with each failure.
        rate_limit_backoff: the same after a 429, in seconds. It is also the spread above a wait that the server asks
            for.
        max_backoff: the limit of the doubling, in seconds.
        max_retry_after: if a server asks for a longer wait, in seconds, the call fails at once.
        unsent_seconds: how long attempts without a connection are repeated, in seconds, within the call's deadline.
        jitter: returns a wait for its upper limit. The default is a random number from 0 to the limit.
    """

    attempts: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    backoff: float = attrs.field(default=0.05, validator=attrs.validators.ge(0))
    rate_limit_backoff: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    max_backoff: float = attrs.field(default=8.0, validator=attrs.validators.ge(0))
    max_retry_after: float = attrs.field(default=60.0, validator=attrs.validators.ge(0))
    unsent_seconds: float = attrs.field(default=20.0, validator=attrs.validators.ge(0))
    jitter: Callable[[float], float] = attrs.field(default=_full_jitter, repr=False, eq=False)

    def explain(
        self,
        request: Request[object],
        failure: PeakaError,
        *,
        attempt: int = 1,
        remaining: float | None = None,
        unsent_for: float = 0.0,
    ) -> Decision:
        """Decide whether a failed attempt is repeated, and after how long.

        Apart from the jitter, the result depends only on the arguments.

        Args:
            request: the request of the attempt.
            failure: the error of the attempt.
            attempt: the number of attempts that have failed in this way, including this one. The ways are: no
                connection, 429, and everything else.
            remaining: the seconds until the call's deadline; None if it has no deadline.
            unsent_for: the seconds since the call's first attempt without a connection.
        """
        kind = Failure.of(failure)
        refusal = self._refusal(kind, request, failure, attempt, unsent_for)
        if refusal is not None:
            return refusal
        limit = math.inf if remaining is None else remaining
        hint = retry_hint(failure.headers) if isinstance(failure, APIError) else None
        floor = 0.0 if hint is None else hint.seconds
        if floor and floor > min(self.max_retry_after, limit):
            return Decision(retry=False, reason=f"the server asks to wait {floor:g} s, longer than this call may")
        if limit - floor < _LEAST_SECONDS:
            return Decision(retry=False, reason="the deadline comes before the next attempt")
        ceiling = self._ceiling(kind, attempt) if not floor else self.rate_limit_backoff
        if kind is Failure.NOT_SENT:
            ceiling = min(ceiling, self.unsent_seconds - unsent_for)
        # Half of the remaining time is kept for the attempt.
        delay = floor + self.jitter(min(ceiling, (limit - floor) / 2))
        source = "backoff" if hint is None or not floor else hint.source
        return Decision(retry=True, reason=_why(kind, failure), delay=delay, source=source)

    def _ceiling(self, kind: Failure, attempt: int) -> float:
        """The longest wait, if the server asked for none."""
        base = self.rate_limit_backoff if kind is Failure.RATE_LIMITED else self.backoff
        cap = min(self.max_backoff, _MAX_UNSENT_BACKOFF) if kind is Failure.NOT_SENT else self.max_backoff
        # 2**attempt overflows a float at 1024; the limit is reached long before.
        return min(base * 2.0 ** min(attempt - 1, 60), cap)

    def _refusal(
        self, kind: Failure, request: Request[object], failure: PeakaError, attempt: int, unsent_for: float
    ) -> Decision | None:
        """The decision against another attempt; None if another attempt is possible."""
        once, body = request.safety is Safety.ONCE, request.body
        if kind is Failure.MAYBE_SENT and once:
            reason = "it may have been sent, and a second send could do harm"
            return Decision(retry=False, reason=reason, outcome_unknown=True)
        if once and _may_follow_the_work(failure):
            reason = f"{_status(failure)} can come after the work was done, and a second send could do harm"
            return Decision(retry=False, reason=reason, outcome_unknown=True)
        if kind is Failure.FINAL:
            reason = _why_final(failure)
        elif self.attempts == 1:
            reason = "the policy makes one attempt"
        elif _is_used_up(body) and not _is_unsent(failure):
            reason = "its body cannot be read again"
        elif kind.counted and attempt >= self.attempts:
            reason = f"all {self.attempts} attempts were made"
        elif kind is Failure.NOT_SENT and unsent_for >= self.unsent_seconds:
            reason = f"no connection could be made for {self.unsent_seconds:g} s"
        else:
            return None
        return Decision(retry=False, reason=reason)


def _is_used_up(body: object) -> bool:
    return isinstance(body, Content) and not body.repeatable


def _is_unsent(failure: PeakaError) -> bool:
    return isinstance(failure, TransportError) and failure.progress is WireProgress.NOT_SENT


def _may_follow_the_work(failure: PeakaError) -> bool:
    """Whether a gateway can send this answer after it has forwarded the request."""
    status = _status(failure)
    return status is not None and (status in _TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR)


def _status(failure: PeakaError) -> int | None:
    return failure.status if isinstance(failure, APIError) else None


def _why_final(failure: PeakaError) -> str:
    if isinstance(failure, PeakaTimeoutError) and _is_unsent(failure):
        return "the call's time is up before it could be sent"
    return "another attempt would have the same result"


def _why(kind: Failure, failure: PeakaError) -> str:
    status = _status(failure)
    if status is not None:
        return f"{status} is temporary"
    return "repeating it does no harm" if kind is Failure.MAYBE_SENT else "nothing was sent"


def retry_hint(headers: Mapping[str, str], *, now: datetime | None = None) -> Hint | None:
    """The wait that the answer's headers ask for (names in lower case); None if missing or invalid."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return Hint(milliseconds / 1000.0, "retry-after-ms")
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None:
        return Hint(seconds, "retry-after")
    at = _date(value)
    if at is None:
        return None
    # If the server sends its time, the difference does not depend on the local clock.
    since = _date(headers.get("date")) or now or datetime.now(UTC)
    return Hint(max(0.0, (at - since).total_seconds()), "retry-after-date")


def _seconds(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@final
class RetryBudget:
    """A token bucket that stops a storm of retries: a retry costs, a success refunds.

    All calls of a client to its host share it. If the service fails for everyone, the bucket runs empty, and calls fail
    with their first error. The numbers are the defaults of AWS's SDKs since 2026.
    """

    __slots__ = ("capacity", "tokens")

    RETRY_COST = 14

    def __init__(self, capacity: int = 500) -> None:
        self.capacity = capacity
        self.tokens = capacity

    def spend(self) -> int:
        """Take the cost of a retry from the bucket; 0 if it does not have enough."""
        if self.tokens < self.RETRY_COST:
            return 0
        self.tokens -= self.RETRY_COST
        return self.RETRY_COST

    def refund(self, tokens: int) -> None:
        self.tokens = min(self.capacity, self.tokens + tokens)


@final
@attrs.define(eq=False)
class Recovery:
    """The retries of one call: it asks the policy, pays from the budget and keeps the last decision."""

    policy: RetryPolicy
    request: Request[object]
    budget: RetryBudget
    remaining: Callable[[], float | None]
    clock: Callable[[], float] = monotonic
    decision: Decision = Decision(retry=False, reason="")
    spent: int = 0
    _failed: dict[str, int] = attrs.field(factory=dict, init=False)
    _unsent_since: float | None = attrs.field(default=None, init=False)

    def drive(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        decided: Callable[[PeakaError, Decision], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> Awaitable[T]:
        """Run `attempt` until it succeeds or the policy stops; `decided` is called with each decision."""
        import tenacity  # noqa: PLC0415 - needed after a first failure only

        def judge(state: tenacity.RetryCallState) -> bool:
            failure = state.outcome.exception() if state.outcome is not None else None
            if not isinstance(failure, PeakaError):
                return False
            self.decision = self._decide(failure)
            decided(failure, self.decision)
            return self.decision.retry

        retrying = tenacity.AsyncRetrying(
            retry=judge,
            wait=lambda _: self.decision.delay,
            stop=tenacity.stop_never,
            sleep=sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _decide(self, failure: PeakaError) -> Decision:
        kind = Failure.of(failure)
        way = "counted" if kind.counted else kind.value
        attempt = self._failed[way] = self._failed.get(way, 0) + 1
        now = self.clock()
        if self._unsent_since is None and kind is Failure.NOT_SENT:
            self._unsent_since = now
        decision = self.policy.explain(
            self.request,
            failure,
            attempt=attempt,
            remaining=self.remaining(),
            unsent_for=0.0 if self._unsent_since is None else now - self._unsent_since,
        )
        return self._paid(decision) if decision.retry and kind.counted else decision

    def _paid(self, decision: Decision) -> Decision:
        cost = self.budget.spend()
        if not cost:
            return Decision(retry=False, reason="the retry budget is spent: too many calls are failing")
        self.spent += cost
        return decision
