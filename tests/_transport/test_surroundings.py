"""Both lanes with eager tasks, in debug mode, in anyio's scopes, and without httptools."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import uvloop
from scripted_server import CONNECTION, ScriptedServer, answer, delayed, drip, hang, reset

from peaka_async import Connection, Oauth2Callback, OutcomeUnknownError, PeakaClient, RetryPolicy, Timeouts
from peaka_async._transport import pool

DONE = Connection(**CONNECTION)
SWIFT = RetryPolicy(backoff=0.001)
CALLBACK = Oauth2Callback("code=1&state=2")


@pytest.fixture(params=["direct", "session"], autouse=True)
def lane(request, monkeypatch):
    if request.param == "session":
        monkeypatch.setattr(pool, "DirectLane", None)
    return request.param


async def once(peaka):
    return await peaka.connections.oauth2_callback("p", CALLBACK)


async def safe(peaka):
    return await peaka.connections.get("p", "c")


async def calls(*, tls=False):
    """A little of everything: answers, failures, time limits, cancellation and many at once."""
    async with ScriptedServer(tls=tls) as server:
        options = {"ssl": server.ssl_context} if tls else {}
        async with PeakaClient(
            "key", base_url=server.base_url, retry=SWIFT, timeout=Timeouts(20, 10), max_connections=3, **options
        ) as peaka:
            assert await once(peaka) == DONE
            server.script(reset(after="body"), hang(after="body"))
            assert await safe(peaka.with_options(timeout=Timeouts(20, 1))) == DONE
            server.script(hang(after="body"))
            with pytest.raises(OutcomeUnknownError):
                await once(peaka.with_options(timeout=0.2))
            server.script(drip(0.02))
            task = asyncio.create_task(once(peaka))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            server.default = delayed(0.001, answer())
            assert await asyncio.gather(*(once(peaka) for _ in range(20))) == [DONE] * 20


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("tls", [False, True])
    def test_eager_tasks(tls):
        """A task can run up to its first wait within the call that makes it."""

        async def main():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            await asyncio.create_task(calls(tls=tls))

        asyncio.run(main())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connect_that_is_cancelled_leaves_nothing(run):
    """At any of its steps; and the end of the client does not wait for it."""

    async def main():
        async with ScriptedServer() as server:
            for turns in range(12):
                async with PeakaClient("key", base_url=server.base_url, max_connections=50) as peaka:
                    tasks = [asyncio.create_task(once(peaka)) for _ in range(20)]
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    async with asyncio.timeout(5):
                        await peaka.aclose()
                    await server.until(lambda: server.open_connections == 0)

    run(main())


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_debug_mode(run, tls, caplog):
    """Asyncio checks more then, and complains of nothing."""
    run(calls(tls=tls), debug=True)

    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []


async def test_anyio_ends_a_call_by_its_own_scope():
    """A scope's limit is the scope's, and the client's is the client's, whichever passes first."""
    async with ScriptedServer() as server:
        server.default = hang(after="body")
        async with PeakaClient("key", base_url=server.base_url, retry=SWIFT, timeout=Timeouts(20, 20)) as peaka:
            with anyio.move_on_after(0.1) as scope:
                await once(peaka)
            assert scope.cancelled_caught
            with anyio.move_on_after(20) as scope:
                with pytest.raises(OutcomeUnknownError):
                    await once(peaka.with_options(timeout=0.1))
                await anyio.lowlevel.checkpoint()
            assert not scope.cancelled_caught
            with pytest.raises(TimeoutError):
                with anyio.fail_after(0.1):
                    await once(peaka)
            server.default = answer()
            assert await once(peaka) == DONE


async def test_anyio_task_groups_cancel_calls():
    """One failure ends the group, and the connections of the others serve again."""
    async with ScriptedServer() as server:
        server.default = hang(after="body")
        async with PeakaClient("key", base_url=server.base_url, retry=SWIFT, max_connections=3) as peaka:

            async def failing():
                await server.seen(3)
                raise LookupError

            with pytest.raises(ExceptionGroup) as raised:
                async with anyio.create_task_group() as group:
                    for _ in range(10):
                        group.start_soon(once, peaka)
                    group.start_soon(failing)
            assert [type(error) for error in raised.value.exceptions] == [LookupError]
            server.default = answer()
            assert await asyncio.gather(*(once(peaka) for _ in range(10))) == [DONE] * 10


async def test_shielded_calls_go_on():
    """What waits for a call can be cancelled without it."""
    async with ScriptedServer() as server:
        server.default = delayed(0.1, answer())
        async with PeakaClient("key", base_url=server.base_url) as peaka:
            task = asyncio.create_task(once(peaka))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await asyncio.shield(task)
            assert await task == DONE


WITHOUT_HTTPTOOLS = """
import asyncio, sys
sys.modules["httptools"] = None
import peaka_async
from peaka_async._transport import pool
from scripted_server import ScriptedServer

async def main():
    assert pool.DirectLane is None
    async with ScriptedServer() as server, peaka_async.PeakaClient("key", base_url=server.base_url) as peaka:
        for _ in range(3):
            await peaka.connections.oauth2_callback("p", peaka_async.Oauth2Callback("code=1"))
        print(len(server.requests), server.connections)

asyncio.run(main())
"""


def test_httptools_can_be_missing(lane):
    """It is no dependency but on CPython: the session lane serves then."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", WITHOUT_HTTPTOOLS],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )

    assert done.stdout.split() == ["3", "1"]
