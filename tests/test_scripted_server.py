"""The scripted server: the bytes that it sends, and the requests that it records."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket

import aiohttp
import pytest
from scripted_server import (
    CONNECTION,
    CONNECTION_JSON,
    HOST,
    AtAccept,
    ScriptedServer,
    answer,
    answer_then_close,
    broken_chunk,
    close_after_body,
    delayed,
    drip,
    drip_head,
    early_answer,
    garbage,
    hang,
    held,
    html_502,
    informational,
    oversize,
    redirect,
    reset,
    retry_after,
    truncated,
    unanswered_port,
    unused_port,
)

REQUEST = b"POST /api/v1/x%2Fy?a=1&a=2 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one:  2\r\nContent-Length: 4\r\n\r\nbody"
HEAD, _, _ = REQUEST.partition(b"body")
GOOD = b"HTTP/1.1 200 Scripted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(CONNECTION_JSON)


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@contextlib.asynccontextmanager
async def connected(server, **options):
    reader, writer = await asyncio.open_connection(server.host, server.port, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def told(server, request=REQUEST):
    """Read until the server closes the connection; return the bytes, and whether it closed with RST."""
    data = b""
    try:
        async with connected(server) as (reader, writer):
            writer.write(request)
            while part := await reader.read(65536):
                data += part
    except ConnectionResetError:
        return data, "reset"
    return data, "closed"


async def fetched(server, **options):
    async with aiohttp.ClientSession() as session, session.get(server.base_url, **options) as response:
        return response.status, response.headers, await response.read()


# ── Recorded requests ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_requests_are_recorded_as_they_came(server):
    """Target, headers and body are what the client sent, byte for byte and in order."""
    async with connected(server) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            await reader.readexactly(len(GOOD + CONNECTION_JSON))

    first, second = server.requests
    assert (first.method, first.target, first.body) == ("POST", "/api/v1/x%2Fy?a=1&a=2", b"body")
    assert first.raw_headers == [("Host", "h"), ("X-One", "1"), ("x-one", "2"), ("Content-Length", "4")]
    assert first.headers == {"host": "h", "x-one": "2", "content-length": "4"}
    assert (first.complete, second.complete) == (True, True)
    assert (first.connection, second.connection, server.connections) == (1, 1, 1)
    assert first.arrived < second.arrived


async def test_a_chunked_body_is_put_together(server):
    """A body of unknown length is recorded without its framing."""
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    server.script(answer_then_close())

    assert await told(server, request) == (GOOD + CONNECTION_JSON, "closed")
    assert [(seen.body, seen.complete) for seen in server.requests] == [(b"abcde", True)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"POST /x HT", ("POST", "/x", b"", False)),
        (HEAD, ("POST", "/api/v1/x%2Fy?a=1&a=2", b"", False)),
        (HEAD + b"bo", ("POST", "/api/v1/x%2Fy?a=1&a=2", b"bo", False)),
        (REQUEST, ("POST", "/api/v1/x%2Fy?a=1&a=2", b"body", True)),
    ],
)
async def test_a_request_that_breaks_off_is_recorded_as_far_as_it_came(server, sent, expected):
    """The part that a client sent before it left is recorded, and marked as incomplete."""
    async with connected(server) as (_, writer):
        writer.write(sent)
        writer.write_eof()
        await server.until(lambda: server.requests and not server.open_connections)

    assert [(seen.method, seen.target, seen.body, seen.complete) for seen in server.requests] == [expected]


async def test_a_connection_without_a_request_is_none(server):
    """A client that connects and leaves counts as a connection only."""
    async with connected(server):
        await server.until(lambda: server.connections)
    await server.until(lambda: not server.open_connections)

    assert (server.connections, server.requests) == (1, [])


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_script_is_taken_request_by_request(server):
    """Each request takes one behaviour, on any connection; then the default is used."""
    server.script(answer(201, b""), answer(202, b""))
    statuses = [(await fetched(server))[0] for _ in range(4)]

    assert statuses == [201, 202, 200, 200]


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (answer_then_close(), (GOOD + CONNECTION_JSON, "closed")),
        (close_after_body(), (b"", "closed")),
        (reset(after="accept"), (b"", "reset")),
        (reset(after="head"), (b"", "reset")),
        (reset(after="body"), (b"", "reset")),
        (truncated(), (GOOD + CONNECTION_JSON[: len(CONNECTION_JSON) // 2], "closed")),
        (garbage(), (b"220 mail.example ESMTP\r\n\r\n", "closed")),
        (
            informational(answer_then_close()),
            (
                b"HTTP/1.1 103 Scripted\r\nLink: </style.css>; rel=preload\r\n\r\n" + GOOD + CONNECTION_JSON,
                "closed",
            ),
        ),
    ],
)
async def test_what_comes_back_is_exact(server, behaviour, expected):
    """The bytes, and the way the connection ends, are those of the behaviour."""
    server.script(behaviour)

    assert await told(server) == expected


async def test_a_connection_in_use_is_reset_too(server):
    """On a connection that was accepted before, a behaviour at accept happens at the next request."""
    async with connected(server) as (reader, writer):
        writer.write(REQUEST)
        await reader.readexactly(len(GOOD + CONNECTION_JSON))
        server.script(reset(after="accept"))
        writer.write(REQUEST)
        with pytest.raises(ConnectionResetError):
            await reader.read()

    assert server.connections == 1


async def test_what_happens_at_accept_takes_one_connection(server):
    """The next connection gets an answer."""
    server.script(reset(after="accept"), answer(201, b""))
    await told(server)

    assert (await fetched(server))[0] == 201
    assert [seen.connection for seen in server.requests] == [2]


@pytest.mark.parametrize(("after", "expected"), [("accept", []), ("head", [(b"", False)]), ("body", [(b"body", True)])])
async def test_a_hang_reads_as_far_as_it_says(server, after, expected):
    """Nothing is sent and the connection stays open."""
    server.script(hang(after=after))
    async with connected(server) as (reader, writer):
        writer.write(REQUEST)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)

        assert [(seen.body, seen.complete) for seen in server.requests] == expected
        assert (server.connections, server.open_connections) == (1, 1)


@pytest.mark.parametrize("after", ["head", "body"])
async def test_a_hung_connection_ends_when_the_client_goes(server, after):
    """A test can see whether a client closed the connection that it gave up."""
    server.script(hang(after=after))
    async with connected(server) as (_, writer):
        writer.write(REQUEST)
        await server.until(lambda: server.requests)
        before = server.open_connections
    await server.until(lambda: not server.open_connections)

    assert before == 1


async def test_an_early_answer_does_not_wait_for_the_body(server):
    """The answer arrives while the client is still sending, and is not lost if the client sends more."""
    server.script(early_answer())
    async with connected(server) as (reader, writer):
        writer.write(HEAD.replace(b"Length: 4", b"Length: 9000000"))
        status = await reader.readline()
        writer.write(b"x" * 1_000_000)
        rest = await reader.read()
    (seen,) = server.requests

    assert status == b"HTTP/1.1 413 Scripted\r\n"
    assert rest.endswith(b'{"message":"too large"}')
    assert (seen.body, seen.complete) == (b"", False)


@pytest.mark.parametrize(("behaviour", "at_once"), [(drip(60), GOOD), (drip_head(60), b"")])
async def test_what_drips_is_not_there_at_once(server, behaviour, at_once):
    """The head is sent at once or slowly; the rest is sent slowly."""
    server.script(behaviour)
    async with connected(server) as (reader, writer):
        writer.write(REQUEST)
        begun = await reader.readexactly(len(at_once))
        await server.seen()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.02)

    assert begun == at_once


@pytest.mark.parametrize("make", [drip, drip_head])
async def test_a_drip_comes_in_pieces(server, make):
    """The pieces are sent slowly, and together they are a valid answer."""
    server.script(make(0.02, chunk=80))
    loop = asyncio.get_running_loop()
    async with connected(server) as (reader, writer):
        started = loop.time()
        writer.write(REQUEST)
        whole = await reader.readexactly(len(GOOD + CONNECTION_JSON))
        took = loop.time() - started

    assert whole == GOOD + CONNECTION_JSON
    assert took >= 0.02 * (len(CONNECTION_JSON) // 80)


async def test_a_broken_chunk_breaks_in_the_middle(server):
    """The head and the first chunk are valid, so the client is already reading when the fault happens."""
    server.script(broken_chunk())
    async with connected(server) as (reader, writer):
        writer.write(REQUEST)
        first = await reader.read(1000)
        rest = await reader.read()

    assert first.endswith(b"chunked\r\n\r\na\r\n" + CONNECTION_JSON[:10] + b"\r\n")
    assert rest == b"zz\r\n" + CONNECTION_JSON[10:] + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("form", [{}, {"chunked": True}, {"zipped": True}, {"chunked": True, "zipped": True}])
async def test_an_oversize_body_has_its_size(server, form):
    """The body has the requested size, in each form of transfer."""
    server.script(oversize(100_000, **form))
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(server.base_url) as response,
    ):
        body = await response.read()
        announced = response.headers.get("Content-Length")

    assert len(gzip.decompress(body) if "zipped" in form else body) == 100_000
    assert announced == (None if "chunked" in form else str(len(body)))


@pytest.mark.parametrize(
    ("behaviour", "status", "header"),
    [
        (html_502(), 502, ("Content-Type", "text/html")),
        (redirect(307, "/elsewhere"), 307, ("Location", "/elsewhere")),
        (retry_after(429, "5"), 429, ("Retry-After", "5")),
        (retry_after(503, "250", "Retry-After-Ms"), 503, ("Retry-After-Ms", "250")),
        (answer(200, {"a": [1]}), 200, ("Content-Type", "application/json")),
    ],
)
async def test_an_answer_has_its_status_and_header(server, behaviour, status, header):
    """HTTP clients understand the valid answers."""
    server.script(behaviour)
    found, headers, _ = await fetched(server, allow_redirects=False)

    assert (found, headers[header[0]]) == (status, header[1])


async def test_a_held_answer_waits_for_the_test(server):
    """The request is read at once; the answer is sent when the event is set."""
    go = asyncio.Event()
    server.script(held(go, answer(201, b"")))
    task = asyncio.create_task(fetched(server))
    await server.seen()
    before = task.done()
    go.set()

    assert (before, (await task)[0]) == (False, 201)


async def test_a_delayed_answer_comes_later(server):
    """The delay is a lower bound."""
    server.script(delayed(0.05, answer(201, b"")))
    started = asyncio.get_running_loop().time()
    status = (await fetched(server))[0]

    assert (status, asyncio.get_running_loop().time() - started >= 0.05) == (201, True)


async def test_an_idle_connection_is_closed():
    """After the idle time the server closes a connection, as load balancers do."""
    async with ScriptedServer(idle_timeout=0.05) as server:
        data, end = await told(server)

    assert (data, end) == (GOOD + CONNECTION_JSON, "closed")


# ── Listening ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_refuses_and_listens_again_on_its_port(server):
    """Between the two, connects are refused."""
    port = server.port
    await fetched(server)
    server.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)
    await server.listen()

    assert (await fetched(server))[0] == 200
    assert (server.port, server.connections) == (port, 2)


async def test_a_server_too_busy_to_accept(server):
    """The kernel accepts the connection and the request; the server reads them when it accepts again."""
    server.stop_accepting()
    async with connected(server) as (reader, writer):
        writer.write(REQUEST)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        before = server.connections
        server.start_accepting()
        data = await reader.readexactly(len(GOOD + CONNECTION_JSON))

    assert (before, server.connections, data) == (0, 1, GOOD + CONNECTION_JSON)


async def test_nobody_listens_on_an_unused_port():
    """A connection to it is refused."""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, unused_port())


async def test_nobody_answers_on_an_unanswered_port():
    """A connect to it neither succeeds nor fails, even if it is repeated."""
    outcomes = []
    with unanswered_port() as port:
        for _ in range(3):
            try:
                async with asyncio.timeout(0.05):
                    await asyncio.open_connection(HOST, port)
            except OSError as error:
                outcomes.append(type(error))

    assert outcomes == [TimeoutError] * 3


async def test_tls_with_a_certificate_that_only_its_own_context_trusts():
    """A client with the server's TLS context connects. With another context it fails, and no request is read."""
    async with ScriptedServer(tls=True) as server:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await fetched(server)
        before = len(server.requests)
        status, _, body = await fetched(server, ssl=server.ssl_context)

    assert (before, status, body) == (0, 200, CONNECTION_JSON)
    assert server.base_url == f"https://127.0.0.1:{server.port}/api/v1"


# ── The end of the server ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tls", [False, True])
async def test_stopping_waits_for_nobody(tls):
    """Hung, idle, unread and just accepted connections end at once, and no task is left."""
    before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as clients:
        async with ScriptedServer(tls=tls) as server:
            options = {"ssl": server.ssl_context} if tls else {}
            for behaviour in [hang(after="head"), hang(after="body"), delayed(60, answer()), drip(60), answer()] * 4:
                server.script(behaviour)
                _, writer = await clients.enter_async_context(connected(server, **options))
                writer.write(REQUEST)
            await server.until(lambda: len(server.requests) == 20)
            server.script(hang(after="accept"))
            for _ in range(2):
                sock = clients.enter_context(socket.create_connection((server.host, server.port)))
                sock.send(HEAD)
            server._take()
            started = asyncio.get_running_loop().time()
        took = asyncio.get_running_loop().time() - started

        assert (server.connections, server.open_connections, asyncio.all_tasks() - before) == (22, 0, set())
        assert took < 10  # it would hang for a minute


async def test_a_client_that_does_not_read_holds_nothing_up():
    """A large answer to a client that does not read does not delay the end."""
    async with ScriptedServer() as server:
        server.script(oversize(20_000_000))
        sock = socket.create_connection((server.host, server.port))
        sock.send(REQUEST)
        await server.seen()
        started = asyncio.get_running_loop().time()
    took = asyncio.get_running_loop().time() - started
    sock.close()

    assert took < 10


async def test_a_wrong_behaviour_is_the_tests_failure():
    """An exception in a behaviour is raised when the server ends."""

    async def wrong(_exchange):
        raise LookupError("wrong")

    with pytest.raises(LookupError):
        async with ScriptedServer() as server:
            server.script(wrong)
            await told(server)

    assert server.open_connections == 0


def test_behaviours_can_be_shared():
    """A behaviour has no state, so that a parametrized test can use it several times."""
    assert reset(after="accept") == AtAccept(reset=True)
    assert CONNECTION["id"].encode() in CONNECTION_JSON
