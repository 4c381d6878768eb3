"""Records in a store: one caller at a time changes a record, and the caller that works on a flow holds it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from typing import final

import attrs

from peaka_async.oauth2._pending import Record, now
from peaka_async.oauth2._store import FlowStore

_log = logging.getLogger("peaka_async.oauth2")

_ALIAS = b"alias "

_FIRST_PAUSE = 0.02

# As parts of the lease: the time between two beats of a holder, and the longest time between two polls by others.
_BEAT, _LOOK = 1 / 3, 1 / 8

# The clocks of replicas differ by less than this; an older beat belongs to a process that has ended.
_MAX_CLOCK_SKEW_SECONDS = 60.0

_CHANGES = 100


@final
@attrs.frozen(kw_only=True)
class Records:
    """The records of a store.

    Every change names the record that it replaces, and fails if another caller changed it first.
    """

    store: FlowStore
    seconds: float
    """The seconds for which the result of an ended flow is kept."""

    unknown_seconds: float
    """The seconds for which a flow is kept if its outcome is unknown or its connection must be cleaned up."""

    lease_seconds: float
    """The seconds for which a holder may be silent."""

    held_here: dict[str, asyncio.Event] = attrs.field(factory=dict, init=False, repr=False)
    """The flows that this process works on, with the event that is set at the end."""

    async def load(self, flow_id: str) -> Record | None:
        kept = await self.store.get(flow_id)
        return None if kept is None or kept.startswith(_ALIAS) else Record.loads(kept)

    async def load_by_return(self, flow_id: str) -> Record | None:
        """Load the record of a flow, by its id or by an alias."""
        kept = await self.store.get(flow_id)
        if kept is None or not kept.startswith(_ALIAS):
            return None if kept is None else Record.loads(kept)
        return await self.load(kept.removeprefix(_ALIAS).decode())

    async def create(self, record: Record) -> bool:
        stored = record.stored or record.changed().stored
        return await self.store.swap(record.flow.id, None, stored, seconds=self.seconds + self.unknown_seconds)

    async def create_alias(self, alias: str, flow_id: str) -> bool:
        return await self.store.swap(
            alias, None, _ALIAS + flow_id.encode(), seconds=self.seconds + self.unknown_seconds
        )

    async def replace(self, old: Record, **changes: object) -> Record | None:
        """Change the record and return it; None if another caller changed it first."""
        new = old.changed(**changes)
        seconds = self.seconds if new.outcome.final else self.seconds + self.unknown_seconds
        return new if await self.store.swap(old.flow.id, old.stored, new.stored, seconds=seconds) else None

    async def take(self, old: Record, **changes: object) -> Record | None:
        """Change the record and hold it; None if another caller changed it first."""
        holder = secrets.token_hex(8)
        try:
            return await self.replace(old, **changes, holder=holder, beat_at=now())
        except BaseException:
            # It is unknown whether the record was stored. Nothing was done with it, so it is released.
            await self._give_back(old, holder)
            raise

    async def _give_back(self, old: Record, holder: str) -> None:
        try:
            found = await self.load(old.flow.id)
            if found is not None and found.holder == holder:
                await self.replace(
                    found, query=old.query, claimed_at=old.claimed_at, accepted=old.accepted, holder=old.holder
                )
        except Exception as error:  # noqa: BLE001 - a store of any kind, and another error is on its way
            _log.warning("Flow %s could not be opened again: %s", old.flow.id, type(error).__name__)

    async def watch(self, record: Record, *, seconds: float) -> Record | None:
        """Wait while another caller works on the flow, and return its record.

        Returns:
            The record when the work has ended or was released, or its state after this many seconds; None if it is
            missing. If a holder was silent for `lease_seconds`, it is removed from the record.
        """
        found: Record | None = record
        pause, waited, silent, beat = _FIRST_PAUSE, 0.0, 0.0, record.beat
        while found is not None and found.holder is not None and not found.outcome.final and waited < seconds:
            if silent >= self.lease_seconds or self._is_long_gone(found):
                # Only in memory: a caller that goes on replaces the record, which fails if the holder has beaten again.
                return attrs.evolve(found, holder=None)
            ended = self.held_here.get(record.flow.id)
            if ended is not None:
                await _is_set(ended, seconds - waited)
                return await self.load(record.flow.id)
            await asyncio.sleep(pause)
            holder = found.holder
            found = await self.load(record.flow.id)
            waited, silent = waited + pause, silent + pause
            pause = min(2 * pause, _LOOK * self.lease_seconds)
            if found is not None and (found.holder, found.beat) != (holder, beat):
                beat, silent = found.beat, 0.0
        return found

    def _is_long_gone(self, record: Record) -> bool:
        if record.beat_at is None:
            return True
        return abs((now() - record.beat_at).total_seconds()) > self.lease_seconds + _MAX_CLOCK_SKEW_SECONDS

    @contextlib.asynccontextmanager
    async def held(self, record: Record) -> AsyncIterator[Held]:
        """Hold a record during the work, and beat so that others see that the work goes on."""
        held = Held(self, record)
        ended = self.held_here[record.flow.id] = asyncio.Event()
        beating = asyncio.create_task(held.beat(ended))
        try:
            yield held
        finally:
            if self.held_here.get(record.flow.id) is ended:
                del self.held_here[record.flow.id]
            # The task is not cancelled: a store's client can lose its connection if it is cancelled.
            ended.set()
            await asyncio.wait({beating})


@final
class Held:
    """A record that this caller holds."""

    def __init__(self, records: Records, record: Record) -> None:
        self._records = records
        self._holder = record.holder
        self._turn = asyncio.Lock()
        self.record = record

    async def change(self, **changes: object) -> bool:
        """Change the record if this caller still holds it."""
        async with self._turn:
            replaced = await self._records.replace(self.record, **changes)
            if replaced is None:
                return False
            self.record = replaced
            return True

    async def publish(self, **changes: object) -> None:
        """Store the outcome, even if another caller took the flow over, or the store lost the record."""
        async with self._turn:
            for _ in range(_CHANGES):
                replaced = await self._records.replace(self.record, **changes)
                if replaced is None and await self._publish_on_what_is_there(**changes):
                    return
                if replaced is not None:
                    self.record = replaced
                    return

    async def _publish_on_what_is_there(self, **changes: object) -> bool:
        found = await self._records.load(self.record.flow.id)
        if found is None:
            self.record = self.record.changed(**changes)
            return await self._records.create(self.record)
        if found.outcome.final:
            return True
        self.record = found
        return False

    async def beat(self, ended: asyncio.Event) -> None:
        """Count up until the end of the work, or until another caller has the record."""
        while not await _is_set(ended, _BEAT * self._records.lease_seconds):
            try:
                if not await self.change(beat=self.record.beat + 1, beat_at=now()):
                    return
            except Exception as error:  # noqa: BLE001 - a store of any kind; the next beat may get through
                _log.info("A beat of flow %s was lost: %s", self.record.flow.id, type(error).__name__)


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; return whether it was set within this time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
