"""taskiq on Redis streams, which keep a message until it is acknowledged."""

from __future__ import annotations

import asyncio
import sys

from job import BROKER, RESULTS, make_flow, settle_or_raise
from taskiq import Context, SmartRetryMiddleware, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = (
    RedisStreamBroker(BROKER, idle_timeout=2_000, unacknowledged_lock_timeout=1)
    .with_result_backend(RedisAsyncResultBackend(RESULTS))
    .with_middlewares(SmartRetryMiddleware(default_retry_count=20, default_delay=1))
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    state.flow = make_flow()


@broker.task(task_name="settle_flow", retry_on_error=True)
async def settle_flow(flow_id: str, context: Context = TaskiqDepends()) -> str:  # noqa: B008 - taskiq's idiom
    return await settle_or_raise(flow_id, context.state.flow)


async def send(*flow_ids: str) -> None:
    await broker.startup()
    for flow_id in flow_ids:
        await settle_flow.kiq(flow_id)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(send(*sys.argv[1:]))
