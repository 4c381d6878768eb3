"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import socket
import subprocess
from types import SimpleNamespace

import aioresponses.core
import pytest
from aiohttp import ClientResponse
from clock import controlled

from peaka_async import PeakaClient, RetryPolicy, Timeouts
from peaka_async.emulator import Emulator


def _let_aioresponses_work() -> None:
    """Add the `stream_writer` that aiohttp 3.14 requires to the answers of aioresponses 0.7.9."""
    known = inspect.signature(ClientResponse.__init__).parameters
    if "stream_writer" not in known or "stream_writer" in inspect.getsource(aioresponses.core):
        return

    class Answer(ClientResponse):
        def __init__(self, *args, **kwargs):
            kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*args, **kwargs)

    aioresponses.core.ClientResponse = Answer


_let_aioresponses_work()


def pytest_sessionfinish(session):
    """Fail the run if a test was skipped although the environment promises that all programs are installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("PEAKA_REQUIRE_SYSTEM_PROGRAMS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def require_program():
    """Skip the test if a system program is missing; fail if the environment promises all of them."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            if os.environ.get("PEAKA_REQUIRE_SYSTEM_PROGRAMS"):
                pytest.fail(f"{name} is missing, and PEAKA_REQUIRE_SYSTEM_PROGRAMS is set")
            pytest.skip(f"{name} is not installed")
        return path

    return require


@pytest.fixture
async def clock():
    """The running loop's time, which jumps to the next timer if no task can run."""
    with controlled(asyncio.get_running_loop()) as clock:
        yield clock


@pytest.fixture
async def emulator():
    """A local Peaka."""
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def peaka(emulator):
    """A client of the local Peaka, with short waits between attempts."""
    async with PeakaClient(
        emulator.api_key,
        base_url=emulator.base_url,
        retry=RetryPolicy(backoff=0.001),
        timeout=Timeouts(total=20, attempt=5),
    ) as peaka:
        yield peaka


@pytest.fixture
def find_port():
    """A function that finds a port on which nothing listens."""

    def find() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    return find


@pytest.fixture
def redis_port(require_program, find_port, tmp_path):
    """A redis-server for a single test."""
    program, port = require_program("redis-server"), find_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            for line in process.stdout:
                if "Ready to accept connections" in line:
                    break
            yield port
        finally:
            process.terminate()
