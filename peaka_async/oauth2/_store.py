"""Where pending flows wait for their return."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, final

import attrs

from peaka_async.errors import ConfigurationError

__all__ = ["FlowStore", "MemoryStore"]


class FlowStore(Protocol):
    """Keeps records, which are text to it, and gives each flow away once.

    With several replicas all of them need the same store. What a store raises passes through `start` and `complete`;
    a flow that could not be taken is not completed.
    """

    async def put(self, flow_id: str, record: bytes, *, seconds: float) -> None:
        """Keep a record, in place of the one that is there, for that long."""
        ...

    async def get(self, flow_id: str) -> bytes | None:
        """The record; None where there is none, or none any more."""
        ...

    async def offer(self, flow_id: str, *, seconds: float) -> None:
        """Let the flow be taken, once, for that long."""
        ...

    async def take(self, flow_id: str) -> bool:
        """Take the flow: True for one caller of all, on any replica. In doubt False."""
        ...


@final
@attrs.define
class _Kept:
    record: bytes = attrs.field(repr=False)
    until: float


@final
class MemoryStore:
    """Keeps flows in this process: for one replica, until it ends.

    Args:
        max_flows: how many are kept; then the oldest makes room.
        clock: gives the time in seconds.

    Raises:
        ConfigurationError: it may keep none.
    """

    def __init__(self, *, max_flows: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        if max_flows < 1:
            msg = "max_flows must be 1 or more."
            raise ConfigurationError(msg)
        self._max_flows = max_flows
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._offered: dict[str, float] = {}

    async def put(self, flow_id: str, record: bytes, *, seconds: float) -> None:
        """Keep a record for that long."""
        if flow_id not in self._kept and len(self._kept) >= self._max_flows:
            self._make_room()
        self._kept[flow_id] = _Kept(record, self._clock() + seconds)

    async def get(self, flow_id: str) -> bytes | None:
        """The record; None where there is none, or none any more."""
        kept = self._kept.get(flow_id)
        if kept is not None and kept.until <= self._clock():
            self._drop(flow_id)
            return None
        return None if kept is None else kept.record

    async def offer(self, flow_id: str, *, seconds: float) -> None:
        """Let a flow that is kept be taken, once, for that long."""
        if flow_id in self._kept:
            self._offered[flow_id] = self._clock() + seconds

    async def take(self, flow_id: str) -> bool:
        """Take the flow: True for one caller of all."""
        return self._offered.pop(flow_id, float("-inf")) > self._clock()

    def _make_room(self) -> None:
        now = self._clock()
        for flow_id in [flow_id for flow_id, kept in self._kept.items() if kept.until <= now]:
            self._drop(flow_id)
        if len(self._kept) >= self._max_flows:
            self._drop(next(iter(self._kept)))

    def _drop(self, flow_id: str) -> None:
        self._kept.pop(flow_id, None)
        self._offered.pop(flow_id, None)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<MemoryStore with {len(self)} of at most {self._max_flows} flows>"
