"""Stores for pending flows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, final

import attrs

from peaka_async.errors import ConfigurationError
from peaka_async.oauth2._refusals import too_many_flows

__all__ = ["FlowStore", "MemoryStore"]


class FlowStore(Protocol):
    """Keeps records, which are bytes for the store, and lists of flow ids.

    Several replicas of a service need a shared store. `ConnectFlow` passes the exceptions of a store on: a flow that
    could not be claimed is not completed.
    """

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to read or change the stored data."""
        ...

    async def get(self, flow_id: str) -> bytes | None:
        """Return the record, or None if it is missing or expired."""
        ...

    async def swap(self, flow_id: str, old: bytes | None, new: bytes, *, seconds: float) -> bool:
        """Store `new` for this many seconds if the record is `old` (None: no record), in one atomic step.

        Returns:
            Whether `new` is stored. This is true even if it was stored before, so that a swap can be repeated if its
            answer was lost.
        """
        ...

    async def add(self, index: str, flow_id: str, *, at: float, seconds: float) -> None:
        """Add a flow to a list that is ordered by `at`, and drop entries that are this many seconds older.

        The list is kept for this many seconds.
        """
        ...

    async def find(self, index: str, *, until: float, limit: int) -> list[str]:
        """Return the first flows of a list whose `at` is not after `until`."""
        ...

    async def discard(self, index: str, flow_id: str) -> None:
        """Remove a flow from a list."""
        ...


@final
@attrs.define
class _Kept:
    record: bytes = attrs.field(repr=False)
    until: float


@final
@attrs.define
class _Index:
    entries: dict[str, float] = attrs.field(factory=dict)
    until: float = 0.0


@final
class MemoryStore:
    """Keeps flows in this process until it ends, for a service with one replica.

    Args:
        max_flows: the largest number of flows. A full store refuses new flows, so that nobody can remove the flows of
            other users.
        clock: returns the time in seconds.

    Raises:
        ConfigurationError: `max_flows` is less than 1.
    """

    def __init__(self, *, max_flows: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        if max_flows < 1:
            msg = "max_flows must be 1 or more."
            raise ConfigurationError(msg)
        self._max_flows = max_flows
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._indexes: dict[str, _Index] = {}

    @property
    def encrypted(self) -> bool:
        """False: there are no keys."""
        return False

    async def get(self, flow_id: str) -> bytes | None:
        """Return the record, or None if it is missing or expired."""
        kept = self._kept.get(flow_id)
        if kept is not None and kept.until <= self._clock():
            del self._kept[flow_id]
            return None
        return None if kept is None else kept.record

    async def swap(self, flow_id: str, old: bytes | None, new: bytes, *, seconds: float) -> bool:
        """Store `new` for this many seconds if the record is `old`.

        Raises:
            TooManyFlowsError: the store is full.
        """
        found = await self.get(flow_id)
        if found not in {old, new}:
            return False
        if found is None:
            self._make_room()
        self._kept[flow_id] = _Kept(new, self._clock() + seconds)
        return True

    async def add(self, index: str, flow_id: str, *, at: float, seconds: float) -> None:
        """Add a flow to a list that is ordered by `at`, and drop entries that are this many seconds older.

        Raises:
            TooManyFlowsError: the store is full.
        """
        if flow_id not in self._indexes.get(index, _Index()).entries:
            self._make_room()
        listed = self._indexes.setdefault(index, _Index())
        listed.entries = {each: kept for each, kept in listed.entries.items() if kept > at - seconds}
        listed.entries[flow_id] = at
        listed.until = max(listed.until, self._clock() + seconds)

    async def find(self, index: str, *, until: float, limit: int) -> list[str]:
        """Return the first flows of a list whose `at` is not after `until`."""
        entries = self._indexes.get(index, _Index()).entries
        found = sorted((at, flow_id) for flow_id, at in entries.items() if at <= until)
        return [flow_id for _, flow_id in found[:limit]]

    async def discard(self, index: str, flow_id: str) -> None:
        """Remove a flow from a list."""
        listed = self._indexes.get(index, _Index())
        listed.entries.pop(flow_id, None)
        if not listed.entries:
            self._indexes.pop(index, None)

    def _make_room(self) -> None:
        if len(self._kept) < self._max_flows:
            return
        now = self._clock()
        self._kept = {flow_id: kept for flow_id, kept in self._kept.items() if kept.until > now}
        self._indexes = {name: index for name, index in self._indexes.items() if index.until > now}
        if len(self._kept) >= self._max_flows:
            raise too_many_flows("the store is full")

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<MemoryStore with {len(self)} of at most {self._max_flows} flows>"
