"""Waiting for work that the service does in the background; no I/O of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic
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
        timeout: how long to wait in all; None sets no limit.
        stall: how long the work may show no progress; None sets no limit.
        interval: between the first two looks; it grows by half each time.
        max_interval: between two looks at the most.
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
class Look:
    """What a look at the work showed.

    Attributes:
        state: in upper case, for messages.
        ended: whether it will not change any more.
        failure: the service's reason, where it ended badly.
        mark: differs from the one before where there was progress.
    """

    state: str
    ended: bool = False
    failure: str | None = None
    mark: object = None


async def wait(
    read: Callable[[], Awaitable[T]],
    judge: Callable[[T], Look],
    *,
    operation: str,
    waiting: Waiting,
    on_progress: Callable[[T], object] | None = None,
) -> T:
    """Look again and again until the work has ended, and return what was read last.

    Raises:
        WorkFailedError: it ended badly.
        WaitTimeoutError: it has not ended in time.
        WaitStalledError: it has shown no progress for too long.
    """
    started = changed = monotonic()
    interval, mark = waiting.interval, object()
    while True:
        found = await read()
        look = judge(found)
        now = monotonic()
        if look.mark != mark:
            mark, changed = look.mark, now
            if on_progress is not None:
                on_progress(found)
        if look.failure is not None:
            raise WorkFailedError(look.failure, state=look.state, operation=operation)
        if look.ended:
            return found
        if waiting.timeout is not None and now - started >= waiting.timeout:
            msg = f"the work is {look.state} after {now - started:.0f} s. It goes on; wait again, or cancel it."
            raise WaitTimeoutError(msg, operation=operation)
        if waiting.stall is not None and now - changed >= waiting.stall:
            msg = f"the work is {look.state} without progress for {now - changed:.0f} s. It may hang; cancel it."
            raise WaitStalledError(msg, operation=operation)
        pause = interval * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - it protects nothing
        await asyncio.sleep(min(pause, *_left(waiting, now - started, now - changed)))
        interval = min(interval * _BACKOFF, waiting.max_interval)


def _left(waiting: Waiting, waited: float, still: float) -> tuple[float, float]:
    """Seconds until the next limit, so that it is not overslept."""
    timeout = waiting.max_interval if waiting.timeout is None else max(waiting.timeout - waited, 0.0)
    stall = waiting.max_interval if waiting.stall is None else max(waiting.stall - still, 0.0)
    return timeout, stall
