"""Time limits that cost almost nothing if they do not pass."""

from __future__ import annotations

import asyncio
from typing import final

import attrs


@attrs.define(eq=False)
class Limit:
    """A time limit for a part of one task's work; `Deadlines` enters and leaves it."""

    when: float | None = attrs.field(default=None, init=False)
    expired: bool = attrs.field(default=False, init=False)
    cut_off: bool = attrs.field(default=False, init=False)
    """Whether it was ended early, together with all other limits."""
    task: asyncio.Task[object] | None = attrs.field(default=None, init=False)
    cancelling: int = attrs.field(default=0, init=False)
    pending: bool = attrs.field(default=False, init=False)
    """Whether the limit has cancelled the task and the cancellation was not caught yet."""


@final
class Deadlines:
    """The time limits of one event loop, under one timer.

    Almost all limits are left before they pass. So there is only one timer, for the earliest limit, instead of a timer
    for each, as with `asyncio.timeout`. When the timer fires, the tasks whose limits have passed are cancelled, and it
    is set again. Entering and leaving a limit only changes a dictionary; a timer for each took a tenth of a call's
    CPU time.
    """

    __slots__ = ("_limits", "_loop", "_timer", "_wakes_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._limits: dict[Limit, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0

    def enter(self, limit: Limit, when: float | None) -> None:
        """Limit the current task until `when`, on the loop's clock; None sets no limit."""
        task = limit.task = asyncio.current_task()
        if task is None:
            msg = "a call needs a running task"
            raise RuntimeError(msg)
        limit.cancelling = task.cancelling()
        self._limits[limit] = None
        self.move(limit, when)

    def move(self, limit: Limit, when: float | None) -> None:
        """Set another time for a limit that was entered and has not passed."""
        limit.when = when
        if when is not None and (self._timer is None or when < self._wakes_at):
            self._wake_at(when)

    def leave(self, limit: Limit) -> None:
        self._limits.pop(limit, None)
        if limit.pending:
            # The cancellation was swallowed. It must not be mistaken for the next one.
            self.caught(limit)

    @staticmethod
    def caught(limit: Limit) -> bool:
        """Whether a CancelledError comes from the limit, and not from the caller."""
        if not limit.pending or limit.task is None:
            return False
        limit.pending = False
        return limit.task.uncancel() <= limit.cancelling

    def cut_off(self) -> None:
        """End all limits now."""
        limits, self._limits = list(self._limits), {}
        for limit in limits:
            limit.cut_off = True
            self._interrupt(limit)

    @staticmethod
    def _interrupt(limit: Limit) -> None:
        if limit.task is not None:
            limit.pending = True
            limit.task.cancel()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = when
        self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        # The loop fires timers up to a clock tick early.
        now = max(self._loop.time(), self._wakes_at)
        waiting = []
        for limit in list(self._limits):
            if limit.when is None:
                continue
            if limit.when > now:
                waiting.append(limit.when)
                continue
            limit.expired = True
            del self._limits[limit]
            self._interrupt(limit)
        if waiting:
            self._wake_at(min(waiting))
