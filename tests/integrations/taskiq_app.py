"""The taskiq worker of the tests."""

from __future__ import annotations

import os

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from peaka_async import PeakaClient
from peaka_async.integrations.taskiq import PeakaDep, use

broker = ListQueueBroker(os.environ["BROKER"]).with_result_backend(RedisAsyncResultBackend(os.environ["RESULTS"]))
use(broker, PeakaClient)


@broker.task
async def names(project_id: str, peaka: PeakaDep) -> list[object]:
    return [os.getpid(), *(each.name for each in await peaka.connections.list(project_id))]
