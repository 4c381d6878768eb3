"""Wait for work that the service does in the background, by polling. No I/O."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar, final

import attrs

from peaka_async.errors import ConfigurationError, WaitStalledError, WaitTimeoutError, WorkFailedError

T = TypeVar("T")

_BACKOFF = 1.5
_SPREAD = 0.2


@final
@attrs.frozen(kw_only=True)
class Waiting:
    """How to wait for work that the service does in the background; times in seconds.

    Attributes:
        timeout: the longest time to wait; None sets no limit.
        stall: the longest time without progress; None sets no limit.
        interval: the time between the first two polls. It grows by half after each poll.
        max_interval: the longest time between two polls.
    """

    timeout: float | None = 3600.0
    stall: float | None = 900.0
    interval: float = 1.0
    max_interval: float = 15.0

    def __attrs_post_init__(self) -> None:
        for name in ("timeout", "stall", "interval", "max_interval"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"Waiting: {name} must be more than 0 seconds."
                raise ConfigurationError(msg)


DEFAULT_WAITING = Waiting()


@final
@attrs.frozen(kw_only=True)
class Polled:
    """The state of the work, from one poll.

    Attributes:
        state: the state in upper case, for messages.
        ended: whether the work has succeeded.
        failure: the service's reason if the work has failed.
        progress: a value that changes when the work makes progress.
    """

    state: str
    ended: bool = False
    failure: str | None = None
    progress: object = None


def state_name(state: str | None) -> str:
    """The name of a state, for messages."""
    return (state or "UNKNOWN").upper()


async def wait(
    poll: Callable[[], Awaitable[T]],
    read: Callable[[T], Polled],
    *,
    operation: str,
    waiting: Waiting,
    on_progress: Callable[[T], object] | None = None,
) -> T:
    """Poll until the work has ended, and return the last answer.

    `poll` asks the service, and `read` reads the state of the work from its answer.

    Raises:
        WorkFailedError: the work failed.
        WaitTimeoutError: the work has not ended in time.
        WaitStalledError: the work has shown no progress for too long.
    """
    clock = asyncio.get_running_loop().time
    started = changed = clock()
    interval, progress = waiting.interval, object()
    while True:
        answer = await poll()
        polled = read(answer)
        now = clock()
        if polled.progress != progress:
            progress, changed = polled.progress, now
            if on_progress is not None:
                on_progress(answer)
        if polled.failure is not None:
            raise WorkFailedError(polled.failure, state=polled.state, operation=operation)
        if polled.ended:
            return answer
        if waiting.timeout is not None and now - started >= waiting.timeout:
            msg = f"the work is {polled.state} after {now - started:.0f} s. It goes on; wait again, or cancel it."
            raise WaitTimeoutError(msg, operation=operation)
        if waiting.stall is not None and now - changed >= waiting.stall:
            msg = f"the work is {polled.state} without progress for {now - changed:.0f} s. It may hang; cancel it."
            raise WaitStalledError(msg, operation=operation)
        pause = interval * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - not used for security
        await asyncio.sleep(min(pause, *_left(waiting, now - started, now - changed)))
        interval = min(interval * _BACKOFF, waiting.max_interval)


def _left(waiting: Waiting, waited: float, still: float) -> tuple[float, float, float]:
    """Seconds that the next sleep may last: up to each limit, so that it does not pass them."""
    timeout = math.inf if waiting.timeout is None else waiting.timeout - waited
    stall = math.inf if waiting.stall is None else waiting.stall - still
    return waiting.max_interval, timeout, stall
