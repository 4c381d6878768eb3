"""An event loop's clock that a test controls."""

from __future__ import annotations

import asyncio


class Clock:
    """The time of the running loop. It stops while a task can run, and jumps to the next timer if no task can.

    Timers fire in the order of their times, however slow the machine is. `move` lets time pass while the loop is busy.
    """

    def __init__(self, monkeypatch, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()
        self._poll = loop._selector.select
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop._selector, "select", self._select)

    def move(self, seconds: float) -> None:
        self.now += seconds

    def _select(self, timeout=None):
        if timeout is None:
            return self._poll(None)
        ready = self._poll(0)
        if not ready:
            self.now += max(timeout, 0)
        return ready
