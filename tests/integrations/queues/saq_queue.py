"""SAQ: an interrupted job is put back into the queue."""

from __future__ import annotations

import asyncio
import sys

from job import BROKER, make_flow, settle_or_raise
from saq import Queue

queue = Queue.from_url(BROKER)


async def settle_flow(context: dict[str, object], *, flow_id: str) -> str:
    return await settle_or_raise(flow_id, context["flow"])


async def start(context: dict[str, object]) -> None:
    context["flow"] = make_flow()


settings = {
    "queue": queue,
    "functions": [settle_flow],
    "startup": start,
    "timers": {"sweep": 1, "schedule": 1},
    "dequeue_timeout": 1,
}


async def send(flow_id: str) -> None:
    await queue.connect()
    await queue.enqueue("settle_flow", flow_id=flow_id, retries=20, timeout=20, heartbeat=2, retry_delay=0.5)
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1]))
