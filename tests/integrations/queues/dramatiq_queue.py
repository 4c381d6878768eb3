"""dramatiq: it retries jobs that raise, and delivers the messages of a worker without a heartbeat again."""

from __future__ import annotations

import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.asyncio import AsyncIO
from job import BROKER, make_flow, settle_or_raise

broker = RedisBroker(url=BROKER, heartbeat_timeout=2_000, maintenance_chance=1_000_000)
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)
flow = make_flow()


@dramatiq.actor(max_retries=20, min_backoff=500, max_backoff=1_000)
async def settle_flow(flow_id: str) -> None:
    await settle_or_raise(flow_id, flow)


if __name__ == "__main__":
    settle_flow.send(sys.argv[1])
