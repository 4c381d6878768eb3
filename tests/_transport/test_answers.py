"""An answer belongs to the request that asked for it, or the connection dies: on both lanes, plain and over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
from scripted_server import CERTIFICATE

from peaka_async import PeakaClient, RetryPolicy, Timeouts
from peaka_async._transport import pool


def answer_for(name, status="200 OK", fields=""):
    body = json.dumps({"id": name, "name": name, "type": "t"}).encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


class Echo(asyncio.Protocol):
    """Answers each GET with the last segment of its path."""

    def __init__(self, server):
        self.server = server
        self.data = b""

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections.append(self)

    def connection_lost(self, exc):
        self.server.lost += 1

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            name = head.split(b" ", 2)[1].rsplit(b"/", 1)[1].decode()
            self.server.asked.append(name)
            self.transport.write(answer_for(name) + self.server.after)


class EchoServer:
    def __init__(self, tls):
        self.tls = tls
        self.connections = []
        self.asked = []
        self.lost = 0
        self.after = b""

    async def __aenter__(self):
        context = None
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE)
        self.server = await asyncio.get_running_loop().create_server(lambda: Echo(self), "127.0.0.1", 0, ssl=context)
        port = self.server.sockets[0].getsockname()[1]
        self.base_url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}/api/v1"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for connection in self.connections:
            connection.transport.abort()
        await asyncio.sleep(0)

    def say(self, data):
        """Send something on the connections, asked or not."""
        for connection in self.connections:
            if not connection.transport.is_closing():
                connection.transport.write(data)


@pytest.fixture(params=["direct", "session"], autouse=True)
def lane(request, monkeypatch):
    if request.param == "session":
        monkeypatch.setattr(pool, "DirectLane", None)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def server(request):
    async with EchoServer(request.param) as server:
        yield server


@pytest.fixture
async def peaka(server):
    options = {"retry": RetryPolicy(attempts=1), "timeout": Timeouts(total=5)}
    if server.tls:
        options["ssl"] = ssl.create_default_context(cafile=CERTIFICATE)
    async with PeakaClient("key", base_url=server.base_url, **options) as peaka:
        yield peaka


async def name_of(peaka, name):
    return (await peaka.connections.get("p", name)).name


OUT_OF_TURN = {
    "an answer": answer_for("other"),
    "a timeout": answer_for("other", "408 Request Timeout", "Connection: close\r\n"),
    "half of an answer": answer_for("other")[:20],
    "no answer": b"220 mail.example ESMTP\r\n",
    "a line end": b"\r\n",
    "one byte": b"H",
    "two answers": answer_for("other") * 2,
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


@pytest.mark.parametrize("said", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
async def test_what_comes_while_idle_is_nobodys_answer(server, peaka, said):
    """A connection that speaks out of turn is closed, whether or not the loop has read it."""
    assert await name_of(peaka, "a") == "a"
    server.say(said)
    assert [await name_of(peaka, name) for name in "bc"] == ["b", "c"]
    for name in "def":
        server.say(said)
        await asyncio.sleep(0.02)
        assert await name_of(peaka, name) == name
    assert server.asked == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize("said", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
async def test_what_follows_an_answer_is_nobodys_answer(server, peaka, said):
    """Bytes after the end of an answer end the connection, and the answer stands."""
    server.after = said

    assert [await name_of(peaka, name) for name in "abcdef"] == ["a", "b", "c", "d", "e", "f"]
    assert len(server.connections) == 6


async def test_silence_keeps_the_connection(server, peaka):
    """Without any of it, one connection serves all; session tickets do not count."""
    assert [await name_of(peaka, name) for name in "abcdef"] == ["a", "b", "c", "d", "e", "f"]
    assert len(server.connections) == 1
