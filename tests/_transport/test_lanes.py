"""What holds on both lanes: when a connection is used again, what is sent and when, and how all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gzip
import socket
import threading
import time

import aiohttp
import pytest
from scripted_server import (
    CONNECTION,
    CONNECTION_JSON,
    HOST,
    JSON,
    ScriptedServer,
    answer,
    hang,
    head,
    held,
)

from peaka_async import (
    ConfigurationError,
    ConnectError,
    Connection,
    Oauth2Callback,
    OutcomeUnknownError,
    PeakaClient,
    PeakaError,
    PeakaTimeoutError,
    RetryPolicy,
    Timeouts,
    WireProgress,
)
from peaka_async._request import Content, Request, Safety
from peaka_async._transport import pool
from peaka_async._transport.session import check_aiohttp, is_session_replaced

KEY = "pk-2f9c41d7"
DONE = Connection(**CONNECTION)
CALLBACK = Oauth2Callback("code=1&state=2")


@pytest.fixture(params=["direct", "session"], autouse=True)
def lane(request, monkeypatch):
    """Both lanes keep every promise."""
    if request.param == "session":
        monkeypatch.setattr(pool, "DirectLane", None)
    return request.param


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


def client(server, **options):
    options.setdefault("timeout", Timeouts(total=20, attempt=5, connect=5))
    options.setdefault("retry", RetryPolicy(attempts=1))
    return PeakaClient(KEY, base_url=server.base_url, **options)


@pytest.fixture
async def peaka(server):
    async with client(server) as peaka:
        yield peaka


async def once(peaka):
    return await peaka.connections.oauth2_callback("p", CALLBACK)


async def safe(peaka):
    return await peaka.connections.get("p", "c")


async def failure_of(awaitable):
    with pytest.raises(PeakaError) as raised:
        await awaitable
    return raised.value


# ── When a connection is used again ──────────────────────────────────────────────────────────────────────────────────


def early(status, *, keeps):
    """An answer before the body was read, of which no more is read."""
    body = b'{"message":"too large"}'
    fields = {"Content-Type": JSON, "Content-Length": str(len(body))}
    if not keeps:
        fields["Connection"] = "close"

    async def behave(exchange):
        await exchange.send(head(status, fields) + body)
        await exchange.gone.wait()
        return False

    return behave


LARGE = 8_000_000


async def pieces():
    for _ in range(LARGE // 100_000):
        yield b"x" * 100_000


BODIES = {
    "JSON": "x" * LARGE,
    "pieces": Content(media_type="text/csv", chunks=pieces),
    "pieces of a known size": Content(media_type="text/csv", chunks=pieces, size=LARGE),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("keeps", [True, False])
async def test_an_early_answer_leaves_nothing_for_the_next_call(server, peaka, body, keeps):
    """The rest of a body that was not sent is no request, and its connection is not used again."""
    server.script(early(413, keeps=keeps))

    error = await failure_of(
        peaka._transport.send(Request("x", "POST", "/x", body=body, returns=dict, safety=Safety.ONCE))
    )

    assert (error.status, error.message) == (413, "too large")
    assert [await once(peaka), await once(peaka)] == [DONE, DONE]
    assert (len(server.requests), server.connections) == (3, 2)


FRAMES = {
    "a length": ({"Content-Length": str(len(CONNECTION_JSON))}, CONNECTION_JSON, 1),
    "chunks": (
        {"Transfer-Encoding": "chunked"},
        b"4;ext=1\r\n" + CONNECTION_JSON[:4] + b"\r\n%x\r\n" % (len(CONNECTION_JSON) - 4) + CONNECTION_JSON[4:]
        + b"\r\n0\r\nX-Trailer: 1\r\n\r\n",
        1,
    ),
    "gzip": (
        {"Content-Encoding": "gzip", "Content-Length": str(len(gzip.compress(CONNECTION_JSON)))},
        gzip.compress(CONNECTION_JSON),
        1,
    ),
    "a close": ({"Connection": "close", "Content-Length": str(len(CONNECTION_JSON))}, CONNECTION_JSON, 3),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "body", "connections"), FRAMES.values(), ids=FRAMES)
async def test_a_connection_is_kept_if_both_sides_keep_it(server, peaka, fields, body, connections):
    """Its answer is complete and its request wholly written."""

    async def behave(exchange):
        await exchange.read_body()
        await exchange.send(head(200, fields) + body)
        if "Connection" in fields:
            await exchange.gone.wait()
            return False
        return None

    server.default = behave

    assert [await once(peaka) for _ in range(3)] == [DONE] * 3
    assert server.connections == connections


def raw(data, *, end=False):
    async def behave(exchange):
        await exchange.read_body()
        await exchange.send(data)
        if end:
            return False
        await exchange.gone.wait()
        return False

    return behave


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 201 + b"Content-Length: 2\r\n\r\n{}",
    ],
    ids=["101", "099", "lengths", "length and chunks", "gzip framing", "sign", "large", "many"],
)
async def test_an_answer_that_cannot_be_trusted_is_none(server, peaka, data):
    """Whether the request took effect is not known then, and the next call fares as ever."""
    server.script(raw(data))

    error = await failure_of(once(peaka))

    assert (type(error), error.progress) == (OutcomeUnknownError, WireProgress.MAYBE_SENT)
    assert await once(peaka) == DONE
    assert server.connections == 2


@pytest.mark.parametrize(
    ("coding", "body"),
    [("br", b"{}"), ("gzip", gzip.compress(b"{}")[:12]), ("gzip", b"{}"), ("deflate", gzip.compress(b"{}"))],
    ids=["unknown", "cut off", "none", "another"],
)
async def test_content_that_cannot_be_inflated_is_no_answer(server, peaka, coding, body):
    """As little as one that breaks off."""
    server.script(answer(200, body, {"Content-Encoding": coding}))

    error = await failure_of(once(peaka))

    assert (type(error), error.progress) == (OutcomeUnknownError, WireProgress.MAYBE_SENT)
    assert await once(peaka) == DONE


async def test_a_torn_tls_connection_ends_no_body():
    """A body without a length ends with its connection; over TLS, only if the server says so."""
    for torn in (False, True):

        async def behave(exchange, torn=torn):
            await exchange.read_body()
            await exchange.send(head(200, {"Content-Type": JSON}) + CONNECTION_JSON)
            if torn:
                await asyncio.sleep(0.05)
                # The process is gone: the kernel says goodbye, and TLS does not.
                exchange.writer.transport.abort()
                return False
            return False

        async with ScriptedServer(tls=True) as server, client(server, ssl=server.ssl_context) as peaka:
            server.script(behave)
            if torn:
                assert type(await failure_of(once(peaka))) is OutcomeUnknownError
            else:
                assert await once(peaka) == DONE


async def test_a_server_that_closes_at_accept_sees_one_connection_an_attempt(lane):
    """A fresh connection that is stale ends the attempt."""
    accepted = 0
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()

        def accept():
            nonlocal accepted
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    accepted += 1

        thread = threading.Thread(target=accept)
        thread.start()
        async with PeakaClient(
            KEY, base_url=f"http://{HOST}:{listener.getsockname()[1]}", retry=RetryPolicy(attempts=3, backoff=0.001)
        ) as peaka:
            errors = [await failure_of(once(peaka.with_options(retry=RetryPolicy(attempts=1)))) for _ in range(20)]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert {type(error) for error in errors} <= {ConnectError, OutcomeUnknownError}
    assert accepted <= 20


# ── What is sent, and when ───────────────────────────────────────────────────────────────────────────────────────────


async def test_nothing_is_written_after_the_deadline(server):
    """A loop that was too busy to fire the call's timer does not send its request all the same."""
    async with client(server, max_connections=1) as peaka:

        async def first():
            await once(peaka)
            time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy, and the turn is free

        busy = asyncio.create_task(first())
        await asyncio.sleep(0)
        error = await failure_of(once(peaka.with_options(timeout=0.2)))
        await busy

    assert (type(error), error.progress) == (PeakaTimeoutError, WireProgress.NOT_SENT)
    assert len(server.requests) == 1


async def test_tasks_that_share_a_context_do_not_share_progress(server):
    """What one request of a context got to on the wire says nothing of another."""
    shared = contextvars.copy_context()
    gate = asyncio.Event()

    async def behave(exchange):
        await exchange.read_body()
        gate.set()
        await asyncio.sleep(0.05)
        exchange.reset()
        return False

    server.script(behave)
    policy = RetryPolicy(attempts=3, backoff=0.001)
    async with client(server, retry=policy) as peaka:
        sent = asyncio.create_task(once(peaka), context=shared)
        await gate.wait()
        others = [asyncio.create_task(safe(peaka), context=shared) for _ in range(5)]
        outcomes = await asyncio.gather(sent, *others, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError, *[Connection] * 5]
    assert len([seen for seen in server.requests if seen.method == "POST"]) == 1


@pytest.mark.parametrize("own", [False, True])
async def test_a_netrc_does_not_replace_the_key(server, tmp_path, monkeypatch, own):
    """The environment gives the proxy, and nothing else."""
    (tmp_path / "netrc").write_text(f"machine {HOST} login somebody password other-secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with contextlib.AsyncExitStack() as stack:
        options = {"trust_env": True}
        if own:
            options = {"session": await stack.enter_async_context(aiohttp.ClientSession(trust_env=True))}
        peaka = await stack.enter_async_context(client(server, **options))
        assert await once(peaka) == DONE

    assert [seen.headers["authorization"] for seen in server.requests] == [f"Bearer {KEY}"]


@pytest.mark.parametrize("bypassed", [False, True])
async def test_the_environment_names_the_proxy(server, monkeypatch, bypassed):
    """With trust_env, and unless it says that the server is reached without one."""
    async with ScriptedServer() as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@{HOST}:{proxy.port}")
        monkeypatch.setenv("no_proxy", HOST if bypassed else "")
        async with client(server, trust_env=True) as peaka:
            assert await once(peaka) == DONE

    if bypassed:
        assert (len(server.requests), proxy.connections) == (1, 0)
        return
    (seen,) = proxy.requests
    assert seen.target == f"{server.base_url}/connections/p/oauth2"
    assert seen.headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert server.connections == 0


async def test_without_trust_env_there_is_no_proxy(server, monkeypatch, peaka):
    """What the environment says is for those who ask for it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert await once(peaka) == DONE


@pytest.mark.parametrize(
    "proxy", ["", "proxy:3128", "http://", "http://[", "socks5://h:1", "http://u:s3cret@h:99999", 5]
)
async def test_a_malformed_proxy_is_refused(proxy):
    """When the client is made, and without its password."""
    with pytest.raises(ConfigurationError, match="URL of an HTTP proxy") as raised:
        PeakaClient(KEY, proxy=proxy)
    assert "s3cret" not in str(raised.value)


async def test_a_malformed_proxy_of_the_environment_is_refused(server, monkeypatch):
    """At the first call, as unsent."""
    monkeypatch.setenv("http_proxy", "socks5://proxy.example:1080")
    async with client(server, trust_env=True) as peaka:
        error = await failure_of(once(peaka))

    assert (type(error), server.connections) == (ConfigurationError, 0)


# ── Whose session it is ──────────────────────────────────────────────────────────────────────────────────────────────


class Wrapper:
    """As wrapt wraps a function."""

    def __init__(self, wrapped):
        self.__wrapped__ = wrapped
        self.calls = 0

    def __get__(self, session, _=None):
        def call(*args, **kwargs):
            self.calls += 1
            return self.__wrapped__(session, *args, **kwargs)

        return call if session is not None else self


async def test_an_agent_sees_the_requests(server, monkeypatch):
    """Whenever it put itself in the session's place, and until it leaves."""
    wrapper = Wrapper(aiohttp.ClientSession._request)
    async with client(server) as peaka:
        await once(peaka)
        with monkeypatch.context() as patched:
            patched.setattr(aiohttp.ClientSession, "_request", wrapper)
            assert is_session_replaced()
            assert await once(peaka) == DONE
        assert not is_session_replaced()
        await once(peaka)

    assert (wrapper.calls, len(server.requests)) == (1, 3)


async def test_what_is_in_the_sessions_place_can_have_sent_it(monkeypatch, peaka):
    """Nothing else tells whether it did: a call that may not be repeated is not."""
    calls = 0

    async def broken(*_, **__):
        nonlocal calls
        calls += 1
        raise aiohttp.ClientConnectionError

    monkeypatch.setattr(aiohttp.ClientSession, "_request", broken)
    error = await failure_of(once(peaka.with_options(retry=RetryPolicy(attempts=3, backoff=0.001))))

    assert (type(error), calls) == (OutcomeUnknownError, 1)


async def test_an_aiohttp_that_works_otherwise_is_refused(server, monkeypatch, lane):
    """Before anything is sent, with its version; who does not need it is not asked."""
    monkeypatch.delattr(aiohttp.ClientRequest, "send")
    check_aiohttp.cache_clear()
    try:
        async with client(server) as peaka:
            if lane == "direct":
                assert await once(peaka) == DONE
                return
            error = await failure_of(once(peaka))
    finally:
        monkeypatch.undo()
        check_aiohttp.cache_clear()

    assert (type(error), server.connections) == (ConfigurationError, 0)
    assert aiohttp.__version__ in str(error)


async def test_a_session_that_moves_requests_to_other_tasks_is_refused(server, monkeypatch):
    """Nobody could tell then what was sent; nothing is."""
    own = aiohttp.ClientSession._request

    async def moved(self, *args, **kwargs):
        return await asyncio.create_task(own(self, *args, **kwargs))

    monkeypatch.setattr(aiohttp.ClientSession, "_request", moved)
    async with client(server) as peaka:
        error = await failure_of(once(peaka))

    assert (type(error), server.requests) == (ConfigurationError, [])


async def test_an_own_session_is_shared_without_mixing_answers(server):
    """The application's requests and ours take turns on its connections, and each gets its own answer."""
    async with aiohttp.ClientSession() as session, client(server, session=session) as peaka:
        for _ in range(3):
            assert await once(peaka) == DONE
            async with session.get(server.base_url) as response:
                assert await response.json() == CONNECTION

    assert len(server.requests) == 6


# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["ours", "theirs"])
async def options(request):
    if request.param == "ours":
        yield {}
        return
    async with aiohttp.ClientSession() as session:
        yield {"session": session}


async def test_closing_ends_what_is_in_flight_and_what_waits(server, options):
    """With typed errors that say what was sent, at once."""
    server.default = hang(after="body")
    peaka = client(server, max_connections=2, retry=RetryPolicy(attempts=3), timeout=Timeouts(60, 60), **options)
    tasks = [asyncio.create_task(once(peaka)) for _ in range(5)]
    await server.seen(2)
    async with asyncio.timeout(5):
        await peaka.aclose()
        errors = [await failure_of(task) for task in tasks]
        assert type(await failure_of(once(peaka))) is ConfigurationError

    sent = len(server.requests)
    assert sorted(type(error).__name__ for error in errors) == sorted(
        ["OutcomeUnknownError"] * sent + ["ConnectError"] * (5 - sent)
    )
    assert all("closed" in str(error) for error in errors)
    if not options:
        await server.until(lambda: server.open_connections == 0)


async def test_draining_lets_calls_end(server, options):
    """Those in flight, and those that wait for a connection; new ones are refused."""
    release = asyncio.Event()
    server.default = held(release, answer())
    peaka = client(server, max_connections=2, **options)
    tasks = [asyncio.create_task(once(peaka)) for _ in range(5)]
    await server.seen(2)
    closing = asyncio.create_task(peaka.aclose(drain=30))
    await asyncio.sleep(0)
    refused = await failure_of(once(peaka))
    release.set()
    outcomes = await asyncio.gather(*tasks)
    await closing

    assert (type(refused), outcomes) == (ConfigurationError, [DONE] * 5)
    if not options:
        await server.until(lambda: server.open_connections == 0)


async def test_draining_lets_attempts_follow(server):
    """A call that waits to be repeated is in flight, too."""
    server.script(answer(503, {}))
    async with client(server, retry=RetryPolicy(attempts=2, backoff=0.05, jitter=lambda ceiling: ceiling)) as peaka:
        task = asyncio.create_task(safe(peaka))
        await server.seen()
        await peaka.aclose(drain=30)
        assert await task == DONE


async def test_draining_ends(server, options):
    """After its time the rest end with typed errors."""
    server.default = hang(after="body")
    peaka = client(server, timeout=Timeouts(60, 60), **options)
    task = asyncio.create_task(once(peaka))
    await server.seen()
    async with asyncio.timeout(5):
        await peaka.aclose(drain=0.05)
        error = await failure_of(task)

    assert (type(error), error.progress) == (OutcomeUnknownError, WireProgress.MAYBE_SENT)
    assert "closed before an answer came" in str(error)


async def test_cancelling_is_not_closing(server, peaka):
    """A call that its caller cancels is cancelled, in the answer, before it and while it waits."""
    server.default = hang(after="body")
    task = asyncio.create_task(once(peaka))
    await server.seen()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.default = answer()

    assert await once(peaka) == DONE


async def test_a_limit_that_passes_leaves_the_task_uncancelled(server, peaka):
    """What the task does next is nobody's cancellation."""
    server.script(hang(after="body"))

    async def work():
        error = await failure_of(once(peaka.with_options(timeout=0.1)))
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return type(error), asyncio.current_task().cancelling()

    assert await asyncio.create_task(work()) == (OutcomeUnknownError, 0)


# ── Threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_come_and_go_while_others_call(lane):
    """Each has its loop and its pool; making and closing them disturbs nobody."""
    failures = []

    def work():
        async def calls():
            async with ScriptedServer() as server:
                peaka = clients[server.port] = client(server)
                for _ in range(5):
                    await once(peaka)
                await peaka.aclose()

        try:
            for _ in range(5):
                asyncio.run(calls())
        except Exception as error:  # noqa: BLE001 - told at the end
            failures.append(error)

    clients = {}
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_many_threads_share_a_client(lane):
    """Loops that begin and end under one client do not change its pools under another's hands."""
    failures = []
    peaka = PeakaClient(KEY, base_url=f"http://{HOST}:1", retry=RetryPolicy(attempts=1), timeout=5)

    def work():
        try:
            for _ in range(30):
                asyncio.run(failing())
        except Exception as error:  # noqa: BLE001 - told at the end
            failures.append(error)

    async def failing():
        assert type(await failure_of(once(peaka))) is ConnectError
        assert peaka._transport.shared.pools.open

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(peaka.aclose())

    assert failures == []
