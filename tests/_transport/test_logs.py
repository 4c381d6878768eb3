"""What the logger `peaka_async` says, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys

import pytest
from scripted_server import ScriptedServer, answer, html_502
from test_send import CALLBACK, KEY, client, failure_of, once, safe

from peaka_async._transport import admission, logs
from peaka_async._transport.logs import Voice


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


def told(caplog):
    return [record for record in caplog.records if record.name == "peaka_async"]


async def test_a_retry_is_told_with_its_facts(server, caplog):
    """Each retry is a record at INFO, whose facts are there for a structured log."""
    caplog.set_level(logging.INFO)
    server.script(answer(503, {}))
    async with client(server) as peaka:
        await safe(peaka)

    (record,) = told(caplog)
    assert (record.levelname, record.operation, record.attempt) == ("INFO", "connections.get", 1)
    assert (record.reason, record.delay >= 0) == ("503 is temporary", True)
    assert record.getMessage().startswith("connections.get: attempt 1 failed (503): 503 is temporary; again in 0.")


async def test_a_first_long_wait_is_a_warning(server, caplog):
    """Who watches a program that waits for more than a second is told once what it waits for."""
    voice = Voice()
    for delay in (0.5, 1.5, 2.5):
        voice.retrying("connections.get", 1, "429", "429 is temporary", delay)

    assert [record.levelname for record in told(caplog)] == ["WARNING"]
    assert "again in 1.50 s" in caplog.text


async def test_a_long_wait_for_the_limiter_is_told_while_it_goes_on(server, caplog, monkeypatch):
    """The record comes before the wait ends."""
    monkeypatch.setattr(admission, "LONG_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    seen = []

    class Slow:
        async def acquire(self, request):
            while not told(caplog):
                await asyncio.sleep(0.001)
            seen.extend(told(caplog))

        async def throttled(self, request, seconds):
            pass

    async with client(server, limiter=Slow()) as peaka:
        await once(peaka)

    assert [(record.levelname, record.reason) for record in seen] == [("WARNING", "limiter")]
    waits, waited = told(caplog)
    assert waits.getMessage() == "connections.oauth2_callback: attempt 1 waits for the limiter"
    assert (waited.levelname, waited.delay >= 0.01) == ("INFO", True)


async def test_nothing_secret_is_told(server, caplog):
    """Neither key nor code is in any record, at any level."""
    caplog.set_level(logging.DEBUG)
    server.script(answer(429, {"message": CALLBACK.query_parameters}), html_502())
    async with client(server) as peaka:
        await failure_of(once(peaka))

    shown = "".join(f"{record.getMessage()} {vars(record)}" for record in told(caplog))
    assert told(caplog)
    assert [secret for secret in (KEY, "code=1234", "xyz", "value1") if secret in shown] == []


PROGRAM = """
import asyncio, logging, sys
sys.path[:0] = ["tests", "tests/_transport"]
import test_logs as t
async def main():
    async with t.ScriptedServer() as server:
        server.script(t.answer(503, {}), t.answer(), t.answer(400, {}))
        async with t.client(server) as peaka:
            await t.safe(peaka)
            await t.failure_of(t.safe(peaka))
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ("", []),
        ("info", ["INFO"]),
        ("DEBUG", ["INFO", "DEBUG"]),
        ("loud", ["PEAKA_LOG must be debug or info; it is ignored"]),
    ],
)
def test_the_switch(switch, expected):
    """PEAKA_LOG shows the log on stderr without a line of code."""
    environment = {**os.environ, "PEAKA_LOG": switch}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)  # noqa: S603

    lines = done.stderr.splitlines()
    assert len(lines) == len(expected)
    assert all(word in line for word, line in zip(expected, lines, strict=True))


def test_an_application_keeps_its_handlers(monkeypatch):
    """With PEAKA_LOG set, an application that logs already gets no second handler."""
    monkeypatch.setenv("PEAKA_LOG", "info")
    level, mine = logs.logger.level, logging.NullHandler()
    logs.logger.addHandler(mine)
    try:
        logs.switch_on()
        assert logs.logger.handlers == [mine]
    finally:
        logs.logger.removeHandler(mine)
        logs.logger.setLevel(level)
