"""The throttle, which slows down all callers of a client after a 429, and the protocol of shared limiters.

Two kinds of client-side control were compared. AIMD limiters (TCP, Netflix's concurrency-limits) add a constant, and
halve after a failure. botocore's adaptive mode is a token bucket whose rate follows the CUBIC curve of RFC 9438: after
a 429 the rate falls to 0.7 of the successful rate, recovers quickly, stays near the old rate for a while and then grows
further. Both were simulated with 1 to 50 processes on one key, against limits with a fixed window, a sliding window and
a token bucket; the simulation is in `tests/_transport/test_throttle.py`. CUBIC was chosen: it gets the fewest answers
with 429 in the same time, because it stays near a rate that worked. Three things differ from botocore:

- The successful rate is counted in answers, not in requests: botocore's bucket starts at the rate at which it was
  refused.
- The first 429, and a 429 that follows another without a success between them, pauses all callers for as long as the
  server asks. Other 429s only lower the rate: a pause for each would leave half of the allowed rate unused.
- A new client starts slowly: with five requests at once, and two more for each answer. Without this, eight processes
  that start fifty calls each are refused 350 times before the first of them knows the limit. Calls do not have to wait
  for the first answer: twenty calls per second may start without an answer, and no call waits longer than a second.

Calls wait in order, and only the first of them sleeps.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic
from typing import Protocol, final
from weakref import WeakKeyDictionary

from peaka_async._request import Request

_START_BURST = 5.0
_START_RATE = 20.0
_START_ENDS_AFTER = 64
_MAX_START_WAIT = 1.0

_DECREASE = 0.7
_GROWTH = 1.0
_FRIENDLY_GROWTH = 2.0
_MIN_RATE = 1.0
_MAX_MIN_RATE = 50.0
_MAX_RATE = 1000.0
_BURST_SECONDS = 0.25
_MEASURED_SECONDS = 1.0
# If requests were in flight when the first was refused, their refusals are ignored: they say nothing new.
_ROUND_SECONDS = 0.25

_MAX_KEYS = 1000


class Limiter(Protocol):
    """A rate limit that an application shares among its processes, for `PeakaClient(limiter=…)`.

    Its exceptions are passed on to the caller.
    """

    async def acquire(self, request: Request[object], /) -> None:
        """Wait until a request may be sent. It is called before each attempt, and cancelled at the call's deadline."""

    async def throttled(self, request: Request[object], seconds: float, /) -> None:
        """Handle a 429 of the server, which asks to wait. It is called before the call itself waits."""


@final
class Throttle:
    """Decides when the next request may start, by the answers to previous requests.

    It does not read a clock and does not wait: times are in seconds, on any clock that goes forward.
    """

    __slots__ = (
        "_answers",
        "_at",
        "_delivered",
        "_easy_answers",
        "_has_succeeded",
        "_limited_at",
        "_min_rate",
        "_peak",
        "_plateau",
        "_resume_at",
        "_since",
        "_tokens",
        "is_free",
    )

    def __init__(self, now: float) -> None:
        self.is_free = False
        """Whether every request may start at once."""

        self._tokens = _START_BURST
        self._at = self._since = now
        self._easy_answers = 0
        self._answers = 0
        self._delivered = 0.0
        self._has_succeeded = False
        self._limited_at: float | None = None
        self._min_rate = _MIN_RATE
        self._resume_at = now
        self._peak = self._plateau = 0.0

    def take(self, now: float) -> float:
        """Start a request and return 0, or return the seconds until it may ask again."""
        if self.is_free:
            return 0.0
        if now < self._resume_at:
            return self._resume_at - now
        rate = self.rate(now)
        if rate > _MAX_RATE:
            self.is_free = True
            return 0.0
        burst = _START_BURST if self._limited_at is None else max(1.0, rate * _BURST_SECONDS)
        self._tokens = max(self._tokens, min(burst, self._tokens + (now - self._at) * rate))
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        self._easy_answers = 0
        return (1.0 - self._tokens) / rate

    @property
    def is_starting(self) -> bool:
        """Whether the client is new: it was not refused yet, and has had few answers."""
        return self._limited_at is None and not self.is_free

    def pause(self, now: float) -> float:
        """Seconds until the end of the pause that the server asked for."""
        return max(0.0, self._resume_at - now)

    def missing(self, now: float) -> float:
        """Seconds until the next request may start, if no other is before it."""
        rate = self.rate(now)
        tokens = self._tokens + max(0.0, now - self._at) * rate
        return self.pause(now) + max(0.0, 1.0 - tokens) / rate

    def rate(self, now: float) -> float:
        """The number of requests that may start per second."""
        if self._limited_at is None:
            return _START_RATE
        seconds = now - max(self._limited_at, self._resume_at)
        # RFC 9438, 4.3: at low rates the curve is slower than the line of an AIMD limiter; then the line is used.
        line = _DECREASE * self._peak + _FRIENDLY_GROWTH * seconds
        return float(max(self._min_rate, line, self._peak + _GROWTH * (seconds - self._plateau) ** 3))

    def succeeded(self, now: float) -> None:
        """Count an answer other than 429."""
        self._answers += 1
        self._has_succeeded = True
        if now - self._since >= _MEASURED_SECONDS:
            self._delivered = self._answers / (now - self._since)
            self._answers, self._since = 0, now
        if self.is_starting:
            self._tokens += 1.0
            self._easy_answers += 1
            self.is_free = self._easy_answers >= _START_ENDS_AFTER

    def limited(self, now: float, seconds: float) -> None:
        """Slow down after a 429 whose server asks to wait for this long."""
        is_first = self._limited_at is None or self.is_free
        if not is_first and now < max(self._resume_at, self._round_ends_at()):
            self._resume_at = max(self._resume_at, now + seconds)
            return
        # A server that asks for a short wait allows at least one request per such wait.
        self._min_rate = min(max(_MIN_RATE, 1.0 / max(seconds, 0.001)), _MAX_MIN_RATE)
        went_through = max(self._delivered, self._answers / max(now - self._since, _MEASURED_SECONDS))
        self._peak = max(self._min_rate, went_through if is_first else min(went_through, self.rate(now)))
        self._plateau = float((self._peak * (1.0 - _DECREASE) / _GROWTH) ** (1 / 3))
        if is_first or not self._has_succeeded:
            self._resume_at = now + seconds
        self.is_free = self._has_succeeded = False
        self._limited_at = now
        self._at = max(now, self._resume_at)
        # Processes that were refused at the same moment must not return at the same moment.
        self._tokens = random.random()  # noqa: S311 - not used for security

    def _round_ends_at(self) -> float:
        return 0.0 if self._limited_at is None else self._limited_at + _ROUND_SECONDS


@final
class Queue:
    """The calls that wait for a throttle, in order."""

    __slots__ = ("_locks", "throttle")

    def __init__(self) -> None:
        self.throttle = Throttle(monotonic())
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def start(self) -> bool:
        """Let a request start if it need not wait."""
        return not any(lock.locked() for lock in self._locks.values()) and not self.throttle.take(monotonic())

    async def wait(self, deadline: float | None) -> None:
        """Wait until a request may start.

        Raises:
            TooLateError: it may not start before the deadline, on the monotonic clock.
        """
        if self.start():
            return
        loop, now = asyncio.get_running_loop(), monotonic()
        lock = self._locks.get(loop)
        if lock is None:
            lock = self._locks[loop] = asyncio.Lock()
        # A slow start delays a call, but never makes it fail.
        patience = _MAX_START_WAIT if deadline is None else min(_MAX_START_WAIT, (deadline - now) / 2)
        starting = self.throttle.is_starting
        if starting and (await self._turn(lock, now + patience) or self.throttle.is_starting):
            return
        if not await self._turn(lock, deadline):
            raise TooLateError(self.throttle.missing(monotonic()))

    async def _turn(self, lock: asyncio.Lock, until: float | None) -> bool:
        """Wait for the calls that came before; False if the turn comes too late."""
        limit = asyncio.timeout(None if until is None else max(0.0, until - monotonic()))
        try:
            async with limit, lock:
                while seconds := self.throttle.take(monotonic()):
                    if until is not None and monotonic() + seconds >= until:
                        return False
                    await asyncio.sleep(seconds)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True


@final
class TooLateError(Exception):
    """No request may start before the deadline."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        """Seconds until the next request may start."""


@final
class Queues:
    """One queue for each key that a client sends, so that a 429 of one tenant does not slow down the others."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: OrderedDict[Hashable, Queue] = OrderedDict()

    def of(self, key: Hashable) -> Queue:
        """The queue of calls with the same rate limit. If there are many, the least recently used are dropped."""
        queue = self._by_key.get(key)
        if queue is None:
            queue = self._by_key[key] = Queue()
            if len(self._by_key) > _MAX_KEYS:
                self._by_key.popitem(last=False)
        else:
            self._by_key.move_to_end(key)
        return queue
