"""Many flows with two web replicas and four workers, of which one is killed again and again.

`PEAKA_FLOWS=1000` is the long run; the test suite does a short one.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from test_queues import ALL, QUEUES, USER, accepted

from peaka_async.errors import OutcomeUnknownError
from peaka_async.oauth2 import ConnectFlow, RedisStore

FLOWS = int(os.environ.get("PEAKA_FLOWS", "40"))
WORKERS = 4
SECONDS_BETWEEN_KILLS = 1.0


@pytest.fixture
def queue():
    return next(queue for queue in ALL if queue.name == "taskiq")


@pytest.fixture
async def replicas(peaka, environment):
    """Two web replicas, which share only the store."""
    pools = [BlockingConnectionPool.from_url(environment["RESULTS"], max_connections=20, timeout=60) for _ in range(2)]
    clients = [Redis.from_pool(pool) for pool in pools]
    flows = [
        ConnectFlow(
            peaka,
            store=RedisStore(client, encryption_keys=[environment["ENCRYPTION_KEY"]]),
            flows_per_user=FLOWS + 1,
        )
        for client in clients
    ]
    yield flows
    for flow, client in zip(flows, clients, strict=True):
        await flow.aclose()
        await client.aclose()


async def test_no_flow_is_lost_and_no_code_goes_out_twice(
    queue, replicas, start_worker, environment, emulator, project_id
):
    """Every flow ends with its connection, even if the worker with its job was killed."""
    workers = [await start_worker(*queue.command, ready=queue.ready, environment=environment) for _ in range(WORKERS)]

    async def kill_now_and_then():
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_KILLS)
            victim = random.choice(workers)
            workers.remove(victim)
            victim.kill()
            workers.append(await start_worker(*queue.command, ready=queue.ready, environment=environment))

    killing = asyncio.create_task(kill_now_and_then())
    pending = []
    for start in range(0, FLOWS, 20):
        some = await asyncio.gather(
            *(accepted(random.choice(replicas), emulator, project_id) for _ in range(min(20, FLOWS - start)))
        )
        pending += [flow for flow, _ in some]
        ids = [flow.id for flow, _ in some]
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(QUEUES / f"{queue.module}.py"), *ids, env=environment
        )
        assert await process.wait() == 0

    async def connection(flow):
        while True:
            try:
                return await random.choice(replicas).result(flow.id, user_ref=USER)
            except OutcomeUnknownError:
                await asyncio.sleep(0.2)

    async with asyncio.timeout(60 + FLOWS):
        made = await asyncio.gather(*(connection(flow) for flow in pending))
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)

    assert sorted(each.id for each in made) == sorted(flow.connection_id for flow in pending)
    assert [code.presented for code in emulator.codes] == [1] * FLOWS
