"""The job of all workers: it settles a flow, and stops at the moment that the test asks for, to be killed there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from redis.asyncio import Redis

from peaka_async import PeakaClient, Timeouts
from peaka_async.oauth2 import ConnectFlow, RedisStore, Settled, Settlement, TryAgain

BROKER = os.environ["BROKER"]
RESULTS = os.environ["RESULTS"]
FOLDER = Path(os.environ["FOLDER"])


class AgainError(Exception):
    """The job must run again, after this many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def make_flow() -> ConnectFlow:
    peaka = PeakaClient(timeout=Timeouts(total=4, attempt=2))
    store = RedisStore(Redis.from_url(RESULTS), encryption_keys=[os.environ["ENCRYPTION_KEY"]])
    return ConnectFlow(peaka, store=store, lease_seconds=1, wait_seconds=5)


async def hold(moment: str) -> None:
    """Wait here if the test kills a worker at this moment."""
    wanted = FOLDER / "hold"
    while wanted.exists() and wanted.read_text() == moment:
        (FOLDER / "reached").write_text(moment)
        await asyncio.sleep(0.01)


async def settle(flow_id: str, flow: ConnectFlow) -> Settlement:
    await hold("before")
    settlement = await flow.settle(flow_id)
    await hold("after")
    return settlement


async def settle_or_raise(flow_id: str, flow: ConnectFlow) -> str:
    """For queues that run a job again if it raises."""
    settlement = await settle(flow_id, flow)
    if isinstance(settlement, TryAgain):
        raise AgainError(settlement.seconds)
    return "settled" if isinstance(settlement, Settled) else "gave up"
