"""An event loop's clock that a test controls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from unittest import mock


class Clock:
    """The time of the running loop. It stops while a task can run, and jumps to the next timer if no task can.

    Timers fire in the order of their times, however slow the machine is. No time passes while a thread of the loop's
    executor works. `move` lets time pass while the loop is busy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()
        self._loop = loop
        self._poll = loop._selector.select

    def time(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds

    def _select(self, timeout=None):
        if timeout is None:
            return self._poll(None)
        ready = self._poll(0)
        if ready or not timeout:
            return ready
        if self._a_thread_works():
            return self._poll(0.001)
        self.now += max(timeout, 0)
        return ready

    def _a_thread_works(self) -> bool:
        executor = self._loop._default_executor
        if executor is None:
            return False
        return bool(executor._work_queue.qsize()) or executor._idle_semaphore._value < len(executor._threads)


@contextlib.contextmanager
def controlled(loop: asyncio.AbstractEventLoop) -> Iterator[Clock]:
    """The loop's clock under control, and its own again afterwards: the loop's end needs real time."""
    clock = Clock(loop)
    with (
        mock.patch.object(loop, "time", clock.time),
        mock.patch.object(loop._selector, "select", clock._select),
    ):
        yield clock
