"""What a 429 does to all callers of a client."""

from __future__ import annotations

from typing import final


@final
class RateGate:
    """Pauses all callers of a client after one of them was told 429, so that each does not find out by itself."""

    __slots__ = ("open_at",)

    def __init__(self) -> None:
        self.open_at = 0.0

    def close(self, now: float, seconds: float) -> None:
        self.open_at = max(self.open_at, now + seconds)

    def wait(self, now: float) -> float:
        """Seconds until it opens; 0 where it is open."""
        return max(0.0, self.open_at - now)
