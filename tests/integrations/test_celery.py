"""Celery's workers run coroutines on one loop per process, and close their connections."""

from __future__ import annotations

import asyncio
import signal
import sys
from types import SimpleNamespace

import celery
import pytest

from peaka_async import ConfigurationError, ConnectionRequest
from peaka_async.emulator import Fault
from peaka_async.integrations import celery as integration

READY = " ready."
WORKER = ("celery", "-A", "celery_app", "worker", "-l", "info")


@pytest.fixture
def tasks(worker_environment, monkeypatch):
    """The worker's application, in the process of the test."""
    for name in ("BROKER", "RESULTS", "PEAKA_API_KEY", "PEAKA_BASE_URL"):
        monkeypatch.setenv(name, worker_environment[name])
    app = celery.Celery("celery_app", broker=worker_environment["BROKER"], backend=worker_environment["RESULTS"])
    yield app
    app.close()


async def told(worker, text):
    """Wait until the worker's log has the text."""
    async with asyncio.timeout(20):
        while text not in worker.log.read_text():
            await asyncio.sleep(0.05)


async def result(tasks, name, *arguments):
    """Wait for the result of a task, while the emulator runs."""
    sent = await asyncio.to_thread(tasks.send_task, f"celery_app.{name}", arguments)
    return await asyncio.to_thread(sent.get, timeout=60)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
async def test_all_tasks_of_a_process_share_one_loop_and_one_client(start_worker, tasks, peaka, project_id, pool):
    """The loop starts with the first task; the client is closed on it when the worker ends."""
    await peaka.connections.create(project_id, ConnectionRequest("crm", "stripe", {"token": "t"}))
    worker = await start_worker(*WORKER, "-P", pool, "-c", "2", ready=READY)

    found = await asyncio.gather(*(result(tasks, "names", project_id) for _ in range(8)))
    plain = await result(tasks, "plain", 1)

    loops = {pid: loop for pid, loop, _ in found}
    assert plain == 2
    assert {tuple(names) for _, _, names in found} == {("crm",)}
    assert all(loops[pid] == loop for pid, loop, _ in found)
    assert pool == "prefork" or len(loops) == 1

    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 60) == 0
    farewell = (worker.log.parent / "farewell").read_text()
    assert {int(line.split()[0]) for line in farewell.splitlines()} >= set(loops)
    assert all("closed" in line for line in farewell.splitlines())
    assert "Unclosed" not in worker.log.read_text()


async def test_a_soft_time_limit_cancels_the_call_and_says_that_it_was_sent(start_worker, tasks, emulator, project_id):
    """The connection is closed, and the error says that the server may have acted."""
    emulator.faults.add("connections.create", Fault.silence())
    worker = await start_worker(*WORKER, "-P", "prefork", "-c", "1", ready=READY)

    with pytest.raises(celery.exceptions.SoftTimeLimitExceeded):
        await result(tasks, "create", project_id)

    await told(worker, "connections.create was cancelled after it was sent")
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    ("module", "check"), [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")]
)
def test_green_threads_are_refused(monkeypatch, module, check):
    """The error is raised before anything is sent, and says what to do instead."""
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{check: lambda _: True}))

    async def work():
        pytest.fail("it ran")

    with pytest.raises(ConfigurationError, match="prefork or threads"):
        integration._Runner().run(work())
