"""Records over a store: changed by one caller at a time, and held by the one who works."""

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

# Of the lease: how often a holder beats, and how often others look at most.
_BEAT, _LOOK = 1 / 3, 1 / 8

# Clocks of replicas differ by less; a beat that is older is of a process that has gone.
_MAX_CLOCK_SKEW_SECONDS = 60.0

_CHANGES = 100


@final
@attrs.frozen(kw_only=True)
class Records:
    """The records of a store.

    Every change names the record that it changes, and fails if somebody else changed it first.
    """

    store: FlowStore
    seconds: float
    """For how long the result of an ended flow is kept."""

    unknown_seconds: float
    """For how long a flow is kept whose outcome is not known, or whose connection has to be cleaned up."""

    lease_seconds: float
    """For how long a holder may be silent."""

    held_here: dict[str, asyncio.Event] = attrs.field(factory=dict, init=False, repr=False)
    """The flows that this process works on, and what is set at the end of it."""

    async def load(self, flow_id: str) -> Record | None:
        kept = await self.store.get(flow_id)
        return None if kept is None or kept.startswith(_ALIAS) else Record.loads(kept)

    async def load_by_return(self, flow_id: str) -> Record | None:
        """The record of a flow, or of the flow that this id is another name of."""
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
        """The changed record; None if somebody else changed it before."""
        new = old.changed(**changes)
        seconds = self.seconds if new.outcome.final else self.seconds + self.unknown_seconds
        return new if await self.store.swap(old.flow.id, old.stored, new.stored, seconds=seconds) else None

    async def take(self, old: Record, **changes: object) -> Record | None:
        """The changed record, held by this caller; None if somebody else changed it before."""
        holder = secrets.token_hex(8)
        try:
            return await self.replace(old, **changes, holder=holder, beat_at=now())
        except BaseException:
            # Whether it was kept is not known. Nothing was done with it, so it is given back.
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
        """Wait while somebody else works on the flow, and return what came of it.

        Returns:
            The record once it is ended or given up, or as it is after that many seconds; None if it is gone. A holder
            that was silent for `lease_seconds` is taken out of it.
        """
        found: Record | None = record
        pause, waited, silent, beat = _FIRST_PAUSE, 0.0, 0.0, record.beat
        while found is not None and found.holder is not None and not found.outcome.final and waited < seconds:
            if silent >= self.lease_seconds or self._is_long_gone(found):
                # Only in memory: whoever goes on from here replaces the record, and that fails if it beat again.
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
        """Work on a record that was taken, and let others see that the work goes on."""
        held = Held(self, record)
        ended = self.held_here[record.flow.id] = asyncio.Event()
        beating = asyncio.create_task(held.beat(ended))
        try:
            yield held
        finally:
            if self.held_here.get(record.flow.id) is ended:
                del self.held_here[record.flow.id]
            # Not cancelled: a store's client that is cancelled in the middle can lose its connection.
            ended.set()
            await asyncio.wait({beating})


@final
class Held:
    """A record that this caller works on."""

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
        """Keep what is known now, also if another caller took the flow over, or the store lost it."""
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
        """Count up until the end, or until somebody else has the record."""
        while not await _is_set(ended, _BEAT * self._records.lease_seconds):
            try:
                if not await self.change(beat=self.record.beat + 1, beat_at=now()):
                    return
            except Exception as error:  # noqa: BLE001 - a store of any kind; the next beat may get through
                _log.info("A beat of flow %s was lost: %s", self.record.flow.id, type(error).__name__)


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and say whether it came within that time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
