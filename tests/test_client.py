"""A client's life: event loops, processes, threads, and its end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from scripted_server import ScriptedServer, answer, hang

from peaka_async import ConfigurationError, Oauth2Callback, PeakaClient, RetryPolicy, Timeouts

CALLBACK = Oauth2Callback("code=1&state=2")
OPEN_FILES = Path("/proc/self/fd")
LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@contextmanager
def served():
    """A scripted server in a separate thread, with its own loop."""
    started: concurrent.futures.Future[ScriptedServer] = concurrent.futures.Future()
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve():
        async with ScriptedServer() as server:
            end = asyncio.Event()
            ending.append((asyncio.get_running_loop(), end))
            started.set_result(server)
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    yield started.result(5)
    loop, end = ending[0]
    loop.call_soon_threadsafe(end.set)
    thread.join()


async def call(peaka):
    return await peaka.connections.oauth2_callback("p", CALLBACK)


def made(server, **options):
    return PeakaClient("key", base_url=server.base_url, **options)


def settled_open_files(expected):
    """The number of open files, after the server's thread has closed its ends too."""
    end = time.monotonic() + 5
    while (now := len(list(OPEN_FILES.iterdir()))) > expected and time.monotonic() < end:
        time.sleep(0.01)
    return now


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are counted in /proc")
@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_one_client_under_many_event_loops(run):
    """200 runs with one client succeed, warn about nothing and leave no file open."""
    with served() as server:
        peaka = made(server)
        run(call(peaka))
        gc.collect()
        before = len(list(OPEN_FILES.iterdir()))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(200):
                run(call(peaka))
            gc.collect()
        after = settled_open_files(before)
        requests = len(server.requests)

    assert requests == 201
    assert after <= before


def in_child(work):
    """Fork, do the work in the child, and return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - otherwise the child would run the other tests
        traceback.print_exc()
    finally:
        gc.collect()
        os._exit(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_during_use_shares_no_connection():
    """The parent keeps its connection, the child makes a new one, and both get their own answers."""
    with served() as server:
        peaka = made(server)

        def child():
            asyncio.run(call(peaka))

        async def parent():
            await call(peaka)
            status = await asyncio.to_thread(lambda: None) or in_child(child)
            await call(peaka)
            return status

        status = asyncio.run(parent())
        used = [seen.connection for seen in server.requests]

    assert status == 0
    assert used == [1, 2, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_after_use_works():
    """A client that was used before the fork works in the child, as task workers need."""
    with served() as server:
        peaka = made(server)
        asyncio.run(call(peaka))
        status = in_child(lambda: asyncio.run(call(peaka)))
        asyncio.run(call(peaka))
        requests = len(server.requests)

    assert (status, requests) == (0, 3)


def test_two_threads_share_a_client():
    """Two event loops in two threads have their own connections."""
    with served() as server:
        peaka = made(server)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:

            async def several():
                return await asyncio.gather(*(call(peaka) for _ in range(20)))

            done = [future.result() for future in [pool.submit(asyncio.run, several()) for _ in range(2)]]

    assert [len(each) for each in done] == [20, 20]


def test_an_unclosed_client_says_where_it_was_made():
    """The warning names the file and line, and its connections are closed."""

    async def forgetful(server):
        peaka = PeakaClient("key", base_url=server.base_url)
        line = sys._getframe().f_lineno - 1
        await call(peaka)
        with pytest.warns(ResourceWarning, match=f"{__file__}:{line}"):
            del peaka
            gc.collect()
        await asyncio.sleep(0.05)

    with served() as server:
        asyncio.run(forgetful(server))
        open_connections = server.open_connections

    assert open_connections == 0


async def test_a_client_that_was_never_used_need_not_be_closed():
    """Making a client opens nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PeakaClient("key")
        gc.collect()


async def test_a_closed_client_refuses():
    """After aclose, which may come twice, a call gets a typed error."""
    async with ScriptedServer() as server:
        peaka = made(server)
        await call(peaka)
        await peaka.aclose()
        await peaka.aclose()

        with pytest.raises(ConfigurationError, match="closed"):
            await call(peaka)
    assert len(server.requests) == 1


async def test_a_view_shares_connections_and_closes_nothing():
    """`with_options` uses the parent's connections; the parent outlives it."""
    async with ScriptedServer() as server, made(server) as peaka:
        async with peaka.with_options(timeout=3, retry=RetryPolicy(attempts=1)) as view:
            await call(view)
        await call(peaka)

        assert (len(server.requests), server.connections) == (2, 1)


async def test_an_own_session_stays_the_callers():
    """Its connector and headers are used, and it is still open afterwards."""
    import aiohttp  # noqa: PLC0415 - only here is a session wanted

    async with ScriptedServer() as server, aiohttp.ClientSession(headers={"X-Team": "blue"}) as session:
        async with made(server, session=session) as peaka:
            await call(peaka)
        closed = session.closed
        async with session.get(server.base_url) as again:
            await again.read()

    assert closed is False
    assert [seen.headers["x-team"] for seen in server.requests] == ["blue", "blue"]
    assert server.connections == 1


async def test_a_closed_session_refuses():
    """A call on a session that the application has closed gets a typed error, and nothing is sent."""
    import aiohttp  # noqa: PLC0415 - only here is a session wanted

    async with ScriptedServer() as server:
        session = aiohttp.ClientSession()
        await session.close()
        async with made(server, session=session) as peaka:
            with pytest.raises(ConfigurationError, match="Nothing was sent"):
                await call(peaka)
    assert server.requests == []


async def test_a_session_of_another_loop_refuses():
    """Its connections belong to the loop in which it was made."""
    import aiohttp  # noqa: PLC0415 - only here is a session wanted

    async with ScriptedServer() as server, aiohttp.ClientSession() as session:
        peaka = made(server, session=session)
        with pytest.raises(ConfigurationError, match="belongs to another event loop. Nothing was sent"):
            await asyncio.to_thread(asyncio.run, call(peaka))
        await peaka.aclose()
    assert server.requests == []


async def test_closing_ends_calls_in_flight():
    """A call that is waiting when the client is closed ends in a typed error."""
    async with ScriptedServer() as server:
        server.script(hang(after="body"))
        peaka = made(server, timeout=Timeouts(total=5, attempt=5))
        task = asyncio.create_task(call(peaka))
        while not server.requests:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        await peaka.aclose()
        with pytest.raises(Exception, match="after it was sent|was sent") as raised:
            await task

    assert type(raised.value).__name__ == "OutcomeUnknownError"


async def test_half_cancelled_calls_leak_nothing():
    """Of 400 calls on 10 connections half are cancelled; the others succeed, and no task or connection is left over."""
    async with ScriptedServer() as server:
        server.default = answer()
        before = asyncio.all_tasks()
        async with made(server, max_connections=10) as peaka:
            tasks = [asyncio.create_task(call(peaka)) for _ in range(400)]
            await asyncio.sleep(0.01)
            for task in tasks[::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            done = await asyncio.gather(*(call(peaka) for _ in range(20)))
        await asyncio.sleep(0.05)
        left = {task for task in asyncio.all_tasks() - before if "_accept" not in repr(task)}

        assert [type(outcome).__name__ for outcome in outcomes[1::2]] == ["Connection"] * 200
        assert len(done) == 20
        assert (left, server.open_connections) == (set(), 0)
