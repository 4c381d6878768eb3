"""When a failed attempt is made again, and after how long: decisions only, no I/O.

The rule is in `RetryPolicy.explain`; tenacity drives the waits from the first failure on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar, final

import attrs

from peaka_async._request import Content, Request, Safety
from peaka_async.errors import APIError, PeakaError, PeakaTimeoutError, TransportError, WireProgress

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

# What a server, or a gateway before it, answers in passing. ONCE operations do not repeat them: a gateway can
# answer each of these after it has forwarded the request.
_TRANSIENT_STATUSES = frozenset({408, 425, 500, 502, 503, 504})


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

    A call is repeated only where a repetition cannot do harm: see `explain`. Immutable; give another one to
    `PeakaClient(retry=…)` or `with_options(retry=…)`. `RetryPolicy(attempts=1)` never retries.

    Attributes:
        attempts: requests made for one call at the most, the first included.
        backoff: seconds; the ceiling of the wait before the second attempt. It doubles with each attempt.
        max_backoff: seconds; where the doubling ends.
        max_retry_after: seconds; a server that asks for a longer wait makes the call fail at once.
        jitter: draws the wait from its ceiling; the default draws uniformly from 0 to the ceiling.
    """

    attempts: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    backoff: float = attrs.field(default=0.5, validator=attrs.validators.ge(0))
    max_backoff: float = attrs.field(default=8.0, validator=attrs.validators.ge(0))
    max_retry_after: float = attrs.field(default=60.0, validator=attrs.validators.ge(0))
    jitter: Callable[[float], float] = attrs.field(default=_full_jitter, repr=False, eq=False)

    def explain(
        self, request: Request[object], failure: PeakaError, *, attempt: int = 1, remaining: float | None = None
    ) -> Decision:
        """Say whether a failed attempt is followed by another, why, and after how long.

        Pure but for the jitter.

        Args:
            request: what was to be sent.
            failure: how the attempt ended.
            attempt: how many attempts were made, this one included.
            remaining: seconds left of the call's deadline; None where it has none.
        """
        refusal = _refusal(request.safety, failure)
        if refusal is not None:
            return refusal
        if isinstance(request.body, Content) and not (request.body.repeatable or _is_unsent(failure)):
            return Decision(retry=False, reason="its body was taken from a source that cannot be read again")
        if attempt >= self.attempts:
            return Decision(retry=False, reason=f"all {self.attempts} attempts were made")
        return self._timed(failure, attempt, remaining)

    def _timed(self, failure: PeakaError, attempt: int, remaining: float | None) -> Decision:
        limit = math.inf if remaining is None else remaining
        # 2**attempt overflows a float from 1024 on; the cap is reached long before.
        ceiling = min(self.backoff * 2.0 ** min(attempt - 1, 60), self.max_backoff)
        delay = self.jitter(ceiling)
        source = "backoff"
        hint = retry_hint(failure.headers) if isinstance(failure, APIError) else None
        if hint is not None:
            if hint.seconds > min(self.max_retry_after, limit):
                reason = f"the server asks to wait {hint.seconds:g} s, longer than this call may"
                return Decision(retry=False, reason=reason)
            if hint.seconds >= delay:
                delay, source = hint.seconds, hint.source
        if delay >= limit:
            return Decision(retry=False, reason="the deadline comes before the next attempt")
        return Decision(retry=True, reason=_why(failure), delay=delay, source=source)


def _refusal(safety: Safety, failure: PeakaError) -> Decision | None:
    """The decision where the kind of failure rules another attempt out, None where it does not."""
    once = safety is Safety.ONCE
    match failure:
        case PeakaTimeoutError(phase="rate-limit" | "credential"):
            reason = "the call's time is up before it could be sent"
        case TransportError(progress=WireProgress.NOT_SENT) | APIError(status=429):
            return None
        case TransportError(progress=WireProgress.MAYBE_SENT):
            reason = "it may have been sent, and a second send could do harm"
            return Decision(retry=False, reason=reason, outcome_unknown=True) if once else None
        case APIError(status=status) if status in _TRANSIENT_STATUSES:
            if not once:
                return None
            reason = f"{status} can come after the work was done, and a second send could do harm"
        case _:
            reason = "another attempt would end the same way"
    return Decision(retry=False, reason=reason)


def _is_unsent(failure: PeakaError) -> bool:
    return isinstance(failure, TransportError) and failure.progress is WireProgress.NOT_SENT


def _why(failure: PeakaError) -> str:
    if isinstance(failure, APIError):
        return f"{failure.status} is passing"
    if _is_unsent(failure):
        return "nothing was sent"
    return "repeating it does no harm"


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
    calls fail with their first error.
    """

    __slots__ = ("capacity", "tokens")

    RETRY_COST = 5
    TIMEOUT_COST = 10

    def __init__(self, capacity: int = 500) -> None:
        self.capacity = capacity
        self.tokens = capacity

    def spend(self, failure: PeakaError) -> int:
        """Take what a retry after this failure costs; 0 where the bucket does not hold it."""
        cost = self.TIMEOUT_COST if isinstance(failure, PeakaTimeoutError) else self.RETRY_COST
        if self.tokens < cost:
            return 0
        self.tokens -= cost
        return cost

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
    decision: Decision = Decision(retry=False, reason="")
    spent: int = 0

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
            self.decision = self._decide(failure, state.attempt_number)
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

    def _decide(self, failure: PeakaError, attempt: int) -> Decision:
        decision = self.policy.explain(self.request, failure, attempt=attempt, remaining=self.remaining())
        if not decision.retry:
            return decision
        cost = self.budget.spend(failure)
        if not cost:
            return Decision(retry=False, reason="the retry budget is spent: too many calls are failing")
        self.spent += cost
        return decision
