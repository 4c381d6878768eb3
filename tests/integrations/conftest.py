"""Workers as real processes, over a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# `nox -s workers` installs the queues; the tests of every Python run without them.
if importlib.util.find_spec("celery") is None:
    collect_ignore = ["celery_app.py", "taskiq_app.py", "test_celery.py", "test_taskiq.py"]


@pytest.fixture
def project_id(emulator):
    """A project without connections."""
    return emulator.add_project("Empty").id


@pytest.fixture
def worker_environment(emulator, redis_port, tmp_path):
    return {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PEAKA_API_KEY": emulator.api_key,
        "PEAKA_BASE_URL": emulator.base_url,
        "BROKER": f"redis://127.0.0.1:{redis_port}/0",
        "RESULTS": f"redis://127.0.0.1:{redis_port}/1",
        "FAREWELL": str(tmp_path / "farewell"),
    }


def begin(command, environment, log):
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.log = log
    return process


@pytest.fixture
async def start_worker(worker_environment, tmp_path):
    """Starts a worker in a process group of its own, and waits until its log says that it is ready."""
    running = []

    async def start(*command, ready, **environment):
        log = tmp_path / f"worker-{len(running)}.log"
        process = begin(command, {**worker_environment, **environment}, log)
        running.append(process)
        async with asyncio.timeout(60):
            while ready not in log.read_text():
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.05)
        return process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
