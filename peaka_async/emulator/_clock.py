"""The clock of the emulator: it runs in real time, and a test can advance it."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta

from peaka_async.errors import ConfigurationError


class Clock:
    """The time for everything that ends, expires or runs in the background.

    Args:
        manual: whether the clock stops until it is advanced.
    """

    def __init__(self, *, manual: bool = False) -> None:
        self._manual = manual
        self._began = datetime.now(UTC)
        self._began_ticks = time.monotonic()
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The emulator's time, in UTC."""
        passed = 0.0 if self._manual else time.monotonic() - self._began_ticks
        return self._began + self._ahead + timedelta(seconds=passed)

    def advance(self, seconds: float) -> None:
        """Advance the time.

        Raises:
            ConfigurationError: the number is negative, or too large for a date.
        """
        with contextlib.suppress(OverflowError, ValueError):
            ahead = self._ahead + timedelta(seconds=seconds)
            if seconds >= 0 and self._began + ahead < datetime.max.replace(tzinfo=UTC) - timedelta(days=366):
                self._ahead = ahead
                return
        msg = "The emulator's time only goes forward: advance(seconds) needs a number of 0 or more."
        raise ConfigurationError(msg)


def iso(moment: datetime | None) -> str | None:
    """A time in the form of the service."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
