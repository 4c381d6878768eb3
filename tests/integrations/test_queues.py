"""Queues deliver a job twice and its worker is killed: the code is posted once, and the flow is settled.

`PEAKA_ROUNDS=20` repeats each case; `PEAKA_RECORD=1` writes the results to `queues/seen.json`, which the docs show.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
from redis.asyncio import Redis

from peaka_async.emulator import Fault, Moment
from peaka_async.errors import OutcomeUnknownError
from peaka_async.oauth2 import ConnectRequest, OwnRedirect

QUEUES = Path(__file__).parent / "queues"
ROUNDS = int(os.environ.get("PEAKA_ROUNDS", "1"))
SEEN = QUEUES / "seen.json"
USER = "user-1"


@attrs.frozen
class Queue:
    """The command of a framework's worker, and its broker."""

    name: str
    module: str
    command: tuple[str, ...]
    ready: str
    broker: str = "redis"
    results: str = "Redis"


CELERY = ("celery", "-A", "celery_queue", "worker", "-l", "info", "-c", "1", "-P")
ALL = [
    Queue("Celery, prefork, Redis", "celery_queue", (*CELERY, "prefork"), " ready."),
    Queue("Celery, prefork, RabbitMQ", "celery_queue", (*CELERY, "prefork"), " ready.", "rabbitmq"),
    Queue("Celery, threads, Redis", "celery_queue", (*CELERY, "threads"), " ready."),
    Queue("taskiq", "taskiq_queue", ("taskiq", "worker", "taskiq_queue:broker", "--workers", "1"), "Listening started"),
    Queue("arq", "arq_queue", ("arq", "arq_queue.Worker"), "Starting worker"),
    Queue(
        "dramatiq",
        "dramatiq_queue",
        ("dramatiq", "dramatiq_queue", "-p", "1", "-t", "1"),
        "is ready for action",
        results="none",
    ),
    Queue(
        "FastStream, NATS", "faststream_queue", ("faststream", "run", "faststream_queue:app"), "started", "nats", "none"
    ),
    Queue("SAQ", "saq_queue", ("saq", "saq_queue.settings", "-v"), "Worker starting"),
]


@pytest.fixture
def send(environment, queue):
    """Puts the flow's id into the queue."""

    async def send(flow_id):
        command = (sys.executable, str(QUEUES / f"{queue.module}.py"), flow_id)
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        assert await process.wait() == 0

    return send


async def accepted(flow, emulator, project_id):
    """A flow whose return the web service has accepted, and the query of the return."""
    request = ConnectRequest(
        project_id=project_id,
        connector="hubspot",
        name="crm",
        via=OwnRedirect("app", "s3cret", "https://app.example/return"),
    )
    pending = await flow.start(request, user_ref=USER)
    query = urlsplit(await emulator.consent(pending.consent_url)).query
    await flow.accept(query, user_ref=USER)
    return pending, query


async def killed(worker, number):
    """End a worker. A worker that stops in order may finish its job, within a limit."""
    worker.send_signal(number)
    for _ in range(400):
        if worker.poll() is not None:
            return
        await asyncio.sleep(0.05)
    worker.kill()
    await asyncio.to_thread(worker.wait)


async def settled(flow, flow_id):
    """The connection, once a worker has settled the flow."""
    async with asyncio.timeout(90):
        while True:
            try:
                return await flow.result(flow_id, user_ref=USER)
            except OutcomeUnknownError:
                await asyncio.sleep(0.1)


def record(queue, number, moment, outcome):
    if not os.environ.get("PEAKA_RECORD"):
        return
    with SEEN.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = json.loads(SEEN.read_text()) if SEEN.exists() else {}
        seen.setdefault(queue.name, {})["results"] = queue.results
        seen[queue.name].setdefault(signal.Signals(number).name, {})[moment] = outcome
        SEEN.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("queue", ALL, ids=lambda queue: queue.name)
@pytest.mark.parametrize("_round", range(ROUNDS))
async def test_the_code_goes_out_once(
    queue, number, moment, _round, start_worker, environment, flow, send, emulator, project_id, tmp_path, caplog
):
    """A worker is ended before, during or after the post, and the job is delivered to another worker."""
    if moment == "during":
        emulator.faults.add("connections.oauth2_callback", Fault.silence(Moment.AFTER_WORK))
    (tmp_path / "hold").write_text(moment)
    pending, query = await accepted(flow, emulator, project_id)
    first = await start_worker(*queue.command, ready=queue.ready, environment=environment)
    await send(pending.id)

    async with asyncio.timeout(30):
        while not ((tmp_path / "reached").exists() or any(code.presented for code in emulator.codes)):
            await asyncio.sleep(0.01)
    ending = asyncio.create_task(killed(first, number))
    if number == signal.SIGKILL:
        await ending
    else:
        await asyncio.sleep(0.3)  # a worker that stops in order is asked to before its job goes on
    (tmp_path / "hold").unlink()
    await ending
    second = await start_worker(*queue.command, ready=queue.ready, environment=environment)
    await send(pending.id)
    connection = await settled(flow, pending.id)
    await killed(second, signal.SIGTERM)

    assert [code.presented for code in emulator.codes] == [1]
    assert connection.id == pending.connection_id
    assert [each.name for each in await flow._peaka.connections.list(project_id)] == ["crm"]
    await assert_nothing_secret(environment, query, first, second, caplog)
    record(queue, number, moment, "once")


async def assert_nothing_secret(environment, query, first, second, caplog):
    """The logs, the broker and the result backend do not contain the code, the state or a key."""
    held = [worker.log.read_bytes() for worker in (first, second)] + [caplog.text.encode()]
    for name in ("BROKER", "RESULTS"):
        if environment[name].startswith("redis"):
            held += await dumped(environment[name])
    secret = [part.partition("=")[2] for part in query.split("&")] + [environment["PEAKA_API_KEY"], "s3cret"]
    assert [text for text in secret if any(text.encode() in each for each in held)] == []


async def dumped(url):
    """All data in a Redis."""
    redis = Redis.from_url(url)
    found = [await redis.dump(key) or b"" for key in await redis.keys()]
    await redis.aclose()
    return found
