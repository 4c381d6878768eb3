"""arq: an interrupted job runs again."""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from arq import Retry, create_pool
from arq.connections import RedisSettings
from job import BROKER, AgainError, make_flow, settle_or_raise

REDIS = RedisSettings.from_dsn(BROKER)


async def settle_flow(context: dict[str, object], flow_id: str) -> str:
    try:
        return await settle_or_raise(flow_id, context["flow"])
    except AgainError as again:
        raise Retry(defer=again.seconds) from None


async def start(context: dict[str, object]) -> None:
    context["flow"] = make_flow()


class Worker:
    """The settings for `python -m arq`."""

    functions: ClassVar = [settle_flow]
    redis_settings = REDIS
    on_startup = start
    max_tries = 100
    job_timeout = 20
    poll_delay = 0.1


async def send(flow_id: str) -> None:
    pool = await create_pool(REDIS)
    await pool.enqueue_job("settle_flow", flow_id)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1]))
