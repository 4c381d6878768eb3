"""Workers as real processes, with a real broker."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from peaka_async.oauth2 import ConnectFlow, RedisStore

HERE = Path(__file__).parent

# `nox -s workers` installs the queues; the tests of every Python run without them.
if importlib.util.find_spec("celery") is None:
    collect_ignore = [path.name for path in HERE.glob("test_*.py") if path.name != "test_fastapi.py"]


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
    """Starts a worker in a separate process group, and waits until its log says that it is ready."""
    running = []

    async def start(*command, ready, environment=None):
        log = tmp_path / f"worker-{len(running)}.log"
        process = begin(command, environment or worker_environment, log)
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


@pytest.fixture
def broker(request, queue):
    """The URL of the queue's broker."""
    if queue.broker == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/0"
    return request.getfixturevalue(f"{queue.broker}_url")


@pytest.fixture
def environment(worker_environment, broker, redis_port, tmp_path, emulator):
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {
        **worker_environment,
        "PYTHONPATH": str(HERE / "queues"),
        "BROKER": broker,
        "RESULTS": f"redis://127.0.0.1:{redis_port}/1",
        "FOLDER": str(tmp_path),
        "ENCRYPTION_KEY": key,
    }


@pytest.fixture
async def flow(peaka, environment):
    """The web service's part: it starts flows and accepts their returns."""
    redis = Redis.from_url(environment["RESULTS"])
    async with ConnectFlow(peaka, store=RedisStore(redis, encryption_keys=[environment["ENCRYPTION_KEY"]])) as flow:
        yield flow
    await redis.aclose()


@pytest.fixture
def nats_url(require_program, find_port, tmp_path):
    """A nats-server for a single test, with JetStream."""
    program, port = require_program("nats-server"), find_port()
    command = [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path / "nats")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            for line in process.stderr:
                if "Server is ready" in line:
                    break
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture
def rabbitmq_url(rabbitmq_port):
    """A virtual host for a single test."""
    return f"amqp://guest:guest@127.0.0.1:{rabbitmq_port}//"


@pytest.fixture(scope="module")
def rabbitmq_port():
    """A rabbitmq-server for the tests of a module, because it takes seconds to start."""
    program = shutil.which("rabbitmq-server") or shutil.which("rabbitmq-server", path="/usr/sbin")
    if program is None:
        if os.environ.get("PEAKA_REQUIRE_SYSTEM_PROGRAMS"):
            pytest.fail("rabbitmq-server is missing, and PEAKA_REQUIRE_SYSTEM_PROGRAMS is set")
        pytest.skip("rabbitmq-server is not installed")
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, distribution = one.getsockname()[1], other.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="peaka-rabbitmq-"))
    folder.chmod(0o777)  # Debian's program becomes the user rabbitmq if root starts it
    environment = {
        **os.environ,
        "RABBITMQ_NODENAME": f"peaka{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "HOME": str(folder),
    }
    log = folder / "console.log"
    with (
        log.open("w") as output,
        subprocess.Popen(  # noqa: S603
            [program], env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            until = time.monotonic() + 120
            while "Starting broker... completed" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                os.kill(int((folder / "pid").read_text()), signal.SIGKILL)  # not the child that `su` made
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)
