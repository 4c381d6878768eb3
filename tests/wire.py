"""A real HTTP/1.1 server on loopback that misbehaves by script.

```python
async with ScriptedServer() as server:
    server.script(reset_after_body(), answer())
```

Each request takes the next behaviour of the script; when it is used up, every request gets the default answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

CONNECTION = {"id": "6243f42a", "name": "exampleOauth2Connection", "type": "google_analytics"}

HANG = 3600.0


@dataclass
class Seen:
    """A request, as much of it as was read."""

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    body: bytes = b""
    complete: bool = False


@dataclass
class Exchange:
    """One request in progress: what a behaviour works with."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: Seen

    async def read_body(self) -> None:
        length = int(self.seen.headers.get("content-length", "0"))
        if self.seen.headers.get("transfer-encoding", "").lower() == "chunked":
            self.seen.body = await self._chunks()
        elif length:
            self.seen.body = await self.reader.readexactly(length)
        self.seen.complete = True

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readline()).strip() or b"0", 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[bool | None]]
"""Answers a request; False ends the connection."""


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(
    status: int = 200, body: object = CONNECTION, headers: dict[str, str] | None = None, **kind: str
) -> Behaviour:
    """A well-formed answer; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": kind.get("content_type", "application/json"), "Content-Length": str(len(data))}

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(head(status, {**fields, **(headers or {})}) + data)

    return behave


def html_502() -> Behaviour:
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return answer(502, page, content_type="text/html")


def redirect(status: int, location: str) -> Behaviour:
    return answer(status, b"", {"Location": location})


def hang(*, after: str) -> Behaviour:
    """Say nothing, from the moment of `after`: head (before the body is read) or body."""

    async def behave(exchange: Exchange) -> None:
        if after == "body":
            await exchange.read_body()
        await asyncio.sleep(HANG)

    return behave


def reset(*, after: str) -> Behaviour:
    """Reset the connection, from the moment of `after`: head or body."""

    async def behave(exchange: Exchange) -> bool:
        if after == "body":
            await exchange.read_body()
        exchange.reset()
        return False

    return behave


def close_after_body() -> Behaviour:
    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        return False

    return behave


def answer_then_close() -> Behaviour:
    """A good answer that announces keep-alive, and then the end of the connection all the same."""
    well = answer()

    async def behave(exchange: Exchange) -> bool:
        await well(exchange)
        return False

    return behave


def drip(interval: float, body: bytes = json.dumps(CONNECTION).encode(), status: int = 200) -> Behaviour:
    """The head at once, the body a byte at a time."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}))
        for byte in body:
            await asyncio.sleep(interval)
            await exchange.send(bytes([byte]))

    return behave


def truncated(status: int = 200) -> Behaviour:
    """Half of the body that the head announces, then the end."""
    body = json.dumps(CONNECTION).encode()

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        await exchange.send(head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}))
        await exchange.send(body[: len(body) // 2])
        return False

    return behave


def garbage() -> Behaviour:
    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        await exchange.send(b"220 mail.example ESMTP\r\n\r\n")
        return False

    return behave


def oversize(size: int, *, chunked: bool = False, zipped: bool = False, status: int = 200) -> Behaviour:
    """A body of this many bytes: announced, chunked, or as a small gzip body that grows to it."""
    data = b'"' + b"x" * (size - 2) + b'"'
    if zipped:
        data = gzip.compress(data)

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if zipped else {})
        with contextlib.suppress(ConnectionError):
            if chunked:
                await exchange.send(head(status, {**headers, "Transfer-Encoding": "chunked"}))
                await exchange.send(f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n")
            else:
                await exchange.send(head(status, {**headers, "Content-Length": str(len(data))}) + data)
        return True

    return behave


def delayed(seconds: float, then: Behaviour) -> Behaviour:
    async def behave(exchange: Exchange) -> bool | None:
        await asyncio.sleep(seconds)
        return await then(exchange)

    return behave


@dataclass
class ScriptedServer:
    """The server; `requests` is what it saw, `connections` how many were made."""

    ssl: object = None
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    default: Behaviour = field(default_factory=answer)
    _script: deque[Behaviour] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        return f"{'https' if self.ssl else 'http'}://127.0.0.1:{self.port}/api/v1"

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    def script(self, *behaviours: Behaviour) -> None:
        self._script.extend(behaviours)

    async def __aenter__(self) -> ScriptedServer:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self.ssl)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse connections from now on; `listen` takes them again, on the same port."""
        self._server.close()

    async def close_connections(self) -> None:
        """End all idle connections, as a server that restarts."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._serve(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ")
            fields = (line.partition(":") for line in lines[1:] if line)
            seen = Seen(method, target, {name.lower(): value.strip() for name, _, value in fields}, number)
            self.requests.append(seen)
            behave = self._script.popleft() if self._script else self.default
            if await behave(Exchange(reader, writer, seen)) is False:
                return
