"""taskiq's workers pass one client to their tasks."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys

from taskiq import InMemoryBroker

from peaka_async import ConfigurationError, ConnectionRequest, PeakaClient
from peaka_async.integrations.taskiq import PeakaDep, use


async def test_a_task_gets_the_client_of_its_worker(peaka, emulator, project_id):
    """The client is created at startup and closed at shutdown."""
    made = []

    def make():
        made.append(PeakaClient(emulator.api_key, base_url=emulator.base_url))
        return made[-1]

    broker = InMemoryBroker(await_inplace=True)
    use(broker, make)

    @broker.task
    async def names(peaka: PeakaDep) -> list[str]:
        return [each.name for each in await peaka.connections.list(project_id)]

    await peaka.connections.create(project_id, ConnectionRequest("crm", "stripe", {"token": "t"}))
    assert made == []
    await broker.startup()
    results = [await (await names.kiq()).wait_result() for _ in range(2)]
    await broker.shutdown()

    assert [each.return_value for each in results] == [["crm"], ["crm"]]
    assert [repr(each).endswith("closed>") for each in made] == [True]


async def test_a_broker_without_a_client_says_what_to_call():
    """The task fails, and the error says which line is missing."""
    broker = InMemoryBroker(await_inplace=True)

    @broker.task
    async def nothing(peaka: PeakaDep) -> None: ...

    await broker.startup()
    result = await (await nothing.kiq()).wait_result()
    await broker.shutdown()

    assert isinstance(result.error, ConfigurationError)
    assert "use(broker, PeakaClient)" in str(result.error)


async def test_a_worker_process_over_redis(start_worker, worker_environment, monkeypatch, peaka, project_id):
    """The client is configured by the worker's environment, and the worker ends in order."""
    for name in ("BROKER", "RESULTS", "PEAKA_API_KEY", "PEAKA_BASE_URL"):
        monkeypatch.setenv(name, worker_environment[name])
    monkeypatch.syspath_prepend(worker_environment["PYTHONPATH"])
    await peaka.connections.create(project_id, ConnectionRequest("crm", "stripe", {"token": "t"}))
    worker = await start_worker("taskiq", "worker", "taskiq_app:broker", "--workers", "1", ready="Listening started")
    app = importlib.import_module("taskiq_app")
    try:
        await app.broker.startup()
        result = await (await app.names.kiq(project_id)).wait_result(timeout=60)
        await app.broker.shutdown()
    finally:
        sys.modules.pop("taskiq_app", None)

    assert result.return_value[1:] == ["crm"]
    worker.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.wait, 60)
    assert "Unclosed" not in worker.log.read_text()
    assert worker.returncode == 0
