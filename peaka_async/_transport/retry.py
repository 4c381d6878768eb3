"""When a failed attempt is made again, and after how long: decisions only, no I/O.

The rule is in `RetryPolicy.explain`; tenacity drives the waits from the first failure on.
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

# What a server, or a gateway before it, answers in passing. ONCE operations do not repeat them: a gateway can
# answer each of these after it has forwarded the request.
_TRANSIENT_STATUSES = frozenset({408, 425, 500, 502, 503, 504})

# An attempt that finds nobody at the other end costs the server nothing: the waits between them need not grow long.
_MAX_UNSENT_BACKOFF = 2.0

# An attempt that begins with less time left could not end well, and a ONCE call could end with its outcome unknown.
_LEAST_SECONDS = 0.1


class Failure(enum.Enum):
    """The kinds of failed attempts: what may follow depends on them."""

    NOT_SENT = "not_sent"
    """Nobody was reached, which can change: refused, reset, or no connection in time."""

    UNREACHABLE = "unreachable"
    """Nobody was reached, and another attempt hardly helps: the name does not resolve, or TLS fails."""

    MAYBE_SENT = "maybe_sent"
    """It was sent, at least in part, and no complete answer came."""

    RATE_LIMITED = "rate_limited"
    """429."""

    TRANSIENT = "transient"
    """408, 425, 500, 502, 503 or 504."""

    FINAL = "final"
    """Another attempt would end the same way."""

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
        """Whether it is one of the policy's `attempts`, and its repetition is paid from the budget."""
        return self not in {Failure.NOT_SENT, Failure.RATE_LIMITED}


@final
@attrs.frozen
class Decision:
    """What follows a failed attempt."""

    retry: bool
    """Whether another attempt is made."""

    reason: str
    """Why, or why not, in a sentence."""

    delay: float = 0.0
    """Seconds until the next attempt."""

    source: str | None = None
    """Where the delay comes from: `backoff`, `retry-after`, `retry-after-ms` or `retry-after-date`."""

    outcome_unknown: bool = False
    """Whether nobody knows if the operation took effect, and repeating it could do harm."""


@final
@attrs.frozen
class Hint:
    """The wait that a server asked for."""

    seconds: float
    source: str


def _full_jitter(ceiling: float) -> float:
    return random.uniform(0.0, ceiling)  # noqa: S311 - it spreads callers, it protects nothing


@final
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Which failures are retried, how often and how fast.

    A call is repeated only if a repetition cannot do harm: see `explain`. Immutable; give another one to
    `PeakaClient(retry=…)` or `with_options(retry=…)`. `RetryPolicy(attempts=1)` never repeats anything.

    Attributes:
        attempts: requests made for one call at the most, the first included. Attempts that reached nobody and
            attempts that were answered 429 do not count: see `unsent_seconds`, and the call's deadline.
        backoff: seconds; the longest wait after the first failure. It doubles with each failure.
        rate_limit_backoff: seconds; the same after a 429, and the spread above the wait that a server asked for.
        max_backoff: seconds; where the doubling ends.
        max_retry_after: seconds; a server that asks for a longer wait makes the call fail at once.
        unsent_seconds: seconds for which attempts that reach nobody are repeated, within the call's deadline.
        jitter: draws the wait from its ceiling; the default draws uniformly from 0 to the ceiling.
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
        """Say whether a failed attempt is followed by another, why, and after how long.

        Pure but for the jitter.

        Args:
            request: what was to be sent.
            failure: how the attempt ended.
            attempt: how many attempts ended in this way, this one included. The ways are: nobody was reached, 429,
                and everything else.
            remaining: seconds left of the call's deadline; None if it has none.
            unsent_for: seconds since the call's first attempt that reached nobody.
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
        # Half of the time that is left stays for the attempt.
        delay = floor + self.jitter(min(ceiling, (limit - floor) / 2))
        source = "backoff" if hint is None or not floor else hint.source
        return Decision(retry=True, reason=_why(kind, failure), delay=delay, source=source)

    def _ceiling(self, kind: Failure, attempt: int) -> float:
        """The longest wait if the server asked for none."""
        base = self.rate_limit_backoff if kind is Failure.RATE_LIMITED else self.backoff
        cap = min(self.max_backoff, _MAX_UNSENT_BACKOFF) if kind is Failure.NOT_SENT else self.max_backoff
        # 2**attempt overflows a float from 1024 on; the cap is reached long before.
        return min(base * 2.0 ** min(attempt - 1, 60), cap)

    def _refusal(
        self, kind: Failure, request: Request[object], failure: PeakaError, attempt: int, unsent_for: float
    ) -> Decision | None:
        """The decision if another attempt is ruled out, None if it is not."""
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
            reason = "its body was taken from a source that cannot be read again"
        elif kind.counted and attempt >= self.attempts:
            reason = f"all {self.attempts} attempts were made"
        elif kind is Failure.NOT_SENT and unsent_for >= self.unsent_seconds:
            reason = f"nobody was reached for {self.unsent_seconds:g} s"
        else:
            return None
        return Decision(retry=False, reason=reason)


def _is_used_up(body: object) -> bool:
    return isinstance(body, Content) and not body.repeatable


def _is_unsent(failure: PeakaError) -> bool:
    return isinstance(failure, TransportError) and failure.progress is WireProgress.NOT_SENT


def _may_follow_the_work(failure: PeakaError) -> bool:
    """Whether a gateway can answer this after it has forwarded the request."""
    status = _status(failure)
    return status is not None and (status in _TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR)


def _status(failure: PeakaError) -> int | None:
    return failure.status if isinstance(failure, APIError) else None


def _why_final(failure: PeakaError) -> str:
    if isinstance(failure, PeakaTimeoutError) and _is_unsent(failure):
        return "the call's time is up before it could be sent"
    return "another attempt would end the same way"


def _why(kind: Failure, failure: PeakaError) -> str:
    status = _status(failure)
    if status is not None:
        return f"{status} is passing"
    return "repeating it does no harm" if kind is Failure.MAYBE_SENT else "nothing was sent"


def retry_hint(headers: Mapping[str, str], *, now: datetime | None = None) -> Hint | None:
    """The wait that the answer's headers ask for (names in lower case); None where there is none or it is junk."""
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
    # The server's own clock, where it tells it, keeps a skewed local one out of the difference.
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

    Shared by all calls of a client to its host. While the service fails for everybody, the bucket runs dry and
    calls fail with their first error. The numbers are those that AWS made the default of its SDKs in 2026.
    """

    __slots__ = ("capacity", "tokens")

    RETRY_COST = 14

    def __init__(self, capacity: int = 500) -> None:
        self.capacity = capacity
        self.tokens = capacity

    def spend(self) -> int:
        """Take what a retry costs; 0 if the bucket does not hold it."""
        if self.tokens < self.RETRY_COST:
            return 0
        self.tokens -= self.RETRY_COST
        return self.RETRY_COST

    def refund(self, tokens: int) -> None:
        self.tokens = min(self.capacity, self.tokens + tokens)


@final
@attrs.define(eq=False)
class Recovery:
    """The course of one call after its first failure: asks the policy, pays from the budget, remembers the decision."""

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
        """Run `attempt` until it succeeds or the policy ends it; `decided` hears of each decision."""
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
