"""A real HTTP/1.1 server on loopback with scripted faults.

```python
async with ScriptedServer() as server:
    server.script(reset(after="body"), answer())
```

Each request takes the next behaviour of the script. When the script is used up, every request gets the default answer.
A behaviour with `after="accept"` needs no request: if it is next in the script, the next connection takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gzip
import json
import selectors
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

CONNECTION = {"id": "6243f42a", "name": "exampleOauth2Connection", "type": "google_analytics"}
CONNECTION_JSON = json.dumps(CONNECTION).encode()
JSON = "application/json"

HOST = "127.0.0.1"
CERTIFICATE = Path(__file__).parent / "fixtures" / "loopback.pem"
"""A certificate for loopback with its key, valid for a hundred years. Only tests use it."""


@dataclass
class Seen:
    """A request, or the part of it that was read."""

    method: str
    target: str
    headers: dict[str, str]
    """Names are in lower case; the last value of a repeated header."""
    raw_headers: list[tuple[str, str]]
    """All headers, unchanged and in order."""
    connection: int
    """The number of its connection, from 1."""
    arrived: float
    """The time when its head was read, on the monotonic clock."""
    body: bytes = b""
    complete: bool = False
    """Whether the body was read to its end."""

    @classmethod
    def of(cls, head: bytes, connection: int) -> Seen:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, *_ = [*first.split(" "), "", ""]
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
        return cls(
            method, target, {name.lower(): value for name, value in fields}, fields, connection, time.monotonic()
        )


class Protocol(asyncio.StreamReaderProtocol):
    """Tells when the client has left, even if the server is not reading."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.gone = asyncio.Event()

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


@dataclass
class Exchange:
    """One request in progress, for a behaviour to answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event
    seen: Seen

    async def read_body(self) -> None:
        if self.seen.complete:
            return
        if self.seen.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                await self._read(size)
                await self.reader.readexactly(2)
            await self.reader.readuntil(b"\r\n")
        else:
            await self._read(int(self.seen.headers.get("content-length", "0")))
        self.seen.complete = True

    async def _read(self, size: int) -> None:
        while size:
            data = await self.reader.read(size)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the client left before the end of its body")
            self.seen.body += data
            size -= len(data)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        _linger_not(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()


def _linger_not(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Behaviour = Callable[[Exchange], Awaitable[bool | None]]
"""Answers a request; False ends the connection."""


@dataclass(frozen=True)
class AtAccept:
    """A behaviour for a connection, before anything is read from it."""

    reset: bool

    async def __call__(self, exchange: Exchange) -> bool:
        """Apply the behaviour to a connection that was accepted earlier."""
        if self.reset:
            exchange.reset()
        else:
            await exchange.gone.wait()
        return False


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _json_head(status: int, size: int) -> bytes:
    return head(status, {"Content-Type": JSON, "Content-Length": str(size)})


def answer(
    status: int = 200, body: object = CONNECTION, headers: dict[str, str] | None = None, content_type: str = JSON
) -> Behaviour:
    """A valid answer. A body that is not bytes is sent as JSON; answers to HEAD, and with 204, have no body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": content_type, "Content-Length": str(len(data)), **(headers or {})}
    if status == 204:
        data, fields = b"", headers or {}

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(head(status, fields) + (b"" if exchange.seen.method == "HEAD" else data))

    return behave


def html_502() -> Behaviour:
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return answer(502, page, content_type="text/html")


def redirect(status: int, location: str) -> Behaviour:
    return answer(status, b"", {"Location": location})


def retry_after(status: int, value: str, header: str = "Retry-After") -> Behaviour:
    return answer(status, {"message": "later"}, {header: value})


def hang(*, after: Literal["accept", "head", "body"]) -> Behaviour:
    """Send nothing after the moment `after`, until the client leaves; `accept` and `head` leave the rest unread."""
    if after == "accept":
        return AtAccept(reset=False)

    async def behave(exchange: Exchange) -> bool:
        if after == "body":
            await exchange.read_body()
        await exchange.gone.wait()
        return False

    return behave


def reset(*, after: Literal["accept", "head", "body"]) -> Behaviour:
    """Reset the connection at the moment `after`; at `accept` a client may still be connecting."""
    if after == "accept":
        return AtAccept(reset=True)

    async def behave(exchange: Exchange) -> bool:
        if after == "body":
            await exchange.read_body()
        exchange.reset()
        return False

    return behave


def close_after_body() -> Behaviour:
    """Close the connection instead of answering."""

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        return False

    return behave


def answer_then_close() -> Behaviour:
    """Send a valid answer with keep-alive, and then close the connection."""
    well = answer()

    async def behave(exchange: Exchange) -> bool:
        await well(exchange)
        return False

    return behave


def early_answer(status: int = 413) -> Behaviour:
    """Answer before the body was read; the rest of the request is dropped until the client leaves."""
    body = b'{"message":"too large"}'

    async def behave(exchange: Exchange) -> bool:
        await exchange.send(
            head(status, {"Content-Type": JSON, "Content-Length": str(len(body)), "Connection": "close"}) + body
        )
        exchange.writer.write_eof()
        while await exchange.reader.read(65536):
            pass
        return False

    return behave


def informational(then: Behaviour, status: int = 103) -> Behaviour:
    """Send an interim answer, and then the real one."""

    async def behave(exchange: Exchange) -> bool | None:
        await exchange.read_body()
        await exchange.send(head(status, {"Link": "</style.css>; rel=preload"}))
        return await then(exchange)

    return behave


def drip(interval: float, body: bytes = CONNECTION_JSON, status: int = 200, chunk: int = 1) -> Behaviour:
    """Send the head at once, and the body in small pieces."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(_json_head(status, len(body)))
        await _dripped(exchange, body, interval, chunk)

    return behave


def drip_head(interval: float, chunk: int = 1) -> Behaviour:
    """Send a valid answer in small pieces, from its first byte."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        await _dripped(exchange, _json_head(200, len(CONNECTION_JSON)) + CONNECTION_JSON, interval, chunk)

    return behave


async def _dripped(exchange: Exchange, data: bytes, interval: float, chunk: int) -> None:
    for start in range(0, len(data), chunk):
        await asyncio.sleep(interval)
        await exchange.send(data[start : start + chunk])


def _cut_off(data: bytes) -> Behaviour:
    """Send these bytes, and then close the connection."""

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        await exchange.send(data)
        return False

    return behave


def truncated(status: int = 200) -> Behaviour:
    """Send half of the announced body, and then close the connection."""
    return _cut_off(_json_head(status, len(CONNECTION_JSON)) + CONNECTION_JSON[: len(CONNECTION_JSON) // 2])


def broken_chunk(pause: float = 0.02) -> Behaviour:
    """Send a chunked body whose second chunk, after a pause, has an invalid size."""
    first = CONNECTION_JSON[:10]
    begin = head(200, {"Content-Type": JSON, "Transfer-Encoding": "chunked"}) + b"%x\r\n%b\r\n" % (len(first), first)

    async def behave(exchange: Exchange) -> bool:
        await exchange.read_body()
        await exchange.send(begin)
        await asyncio.sleep(pause)
        await exchange.send(b"zz\r\n" + CONNECTION_JSON[10:] + b"\r\n0\r\n\r\n")
        return False

    return behave


def garbage() -> Behaviour:
    """Send the answer of another protocol."""
    return _cut_off(b"220 mail.example ESMTP\r\n\r\n")


def oversize(size: int, *, chunked: bool = False, zipped: bool = False, status: int = 200) -> Behaviour:
    """Send a body of this many bytes: with its length, chunked, or as a small gzip body that decompresses to it."""
    data = b'"' + b"x" * (size - 2) + b'"'
    headers = {"Content-Type": JSON}
    if zipped:
        data = gzip.compress(data)
        headers["Content-Encoding"] = "gzip"

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        if chunked:
            await exchange.send(head(status, {**headers, "Transfer-Encoding": "chunked"}))
            await exchange.send(f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n")
        else:
            await exchange.send(head(status, {**headers, "Content-Length": str(len(data))}) + data)

    return behave


def delayed(seconds: float, then: Behaviour) -> Behaviour:
    async def behave(exchange: Exchange) -> bool | None:
        await asyncio.sleep(seconds)
        return await then(exchange)

    return behave


def held(until: asyncio.Event, then: Behaviour) -> Behaviour:
    """Read the whole request, and answer when the test sets the event."""

    async def behave(exchange: Exchange) -> bool | None:
        await exchange.read_body()
        await until.wait()
        return await then(exchange)

    return behave


@dataclass
class ScriptedServer:
    """The server. `requests` are the requests that it read, `connections` is the number of accepted connections."""

    tls: bool = False
    idle_timeout: float | None = None
    """Seconds after which a connection without a request is closed."""
    backlog: int = 128
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    default: Behaviour = field(default_factory=answer)
    _script: deque[Behaviour] = field(default_factory=deque)
    _live: dict[asyncio.Task[None], asyncio.Event] = field(default_factory=dict)
    _unread: list[socket.socket] = field(default_factory=list)
    _listener: socket.socket | None = None
    _server_context: ssl.SSLContext | None = None
    _failures: list[Exception] = field(default_factory=list)

    @property
    def host(self) -> str:
        return HOST

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/api/v1"

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """A TLS context that trusts the server's certificate."""
        return ssl.create_default_context(cafile=CERTIFICATE)

    @property
    def open_connections(self) -> int:
        """The number of open connections; one that is not read counts until the server closes it."""
        return len(self._unread) + sum(not gone.is_set() for gone in self._live.values())

    def script(self, *behaviours: Behaviour) -> None:
        self._script.extend(behaviours)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition is true.

        Raises:
            TimeoutError: it was not true within 5 seconds.
        """
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    async def seen(self, number: int = 1) -> None:
        """Wait until this many requests were read completely."""
        await self.until(lambda: sum(seen.complete for seen in self.requests) >= number)

    async def __aenter__(self) -> ScriptedServer:
        if self.tls:
            self._server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._server_context.load_cert_chain(CERTIFICATE)
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        await self.close_connections()
        if self._failures:
            raise self._failures[0]

    async def listen(self) -> None:
        """Accept connections: at the start, or again on the same port after `refuse`."""
        self._listener = socket.socket()
        self._listener.settimeout(0)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((HOST, self.port))
        self._listener.listen(self.backlog)
        self.port = self._listener.getsockname()[1]
        self.start_accepting()

    def refuse(self) -> None:
        """Refuse connections from now on; `listen` accepts them again, on the same port."""
        if self._listener is not None:
            self.stop_accepting()
            self._listener.close()
            self._listener = None

    def start_accepting(self) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().add_reader(self._listener, self._take)

    def stop_accepting(self) -> None:
        """Leave new connections in the kernel's backlog, like a process that is too busy to accept them."""
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener)

    async def close_connections(self) -> None:
        """Close all connections at once, like a server that restarts."""
        for sock in self._unread:
            sock.close()
        self._unread.clear()
        for task in list(self._live):
            task.cancel()
        await asyncio.gather(*self._live, return_exceptions=True)

    def _take(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.settimeout(0)
            self.connections += 1
            if self._script and isinstance(self._script[0], AtAccept):
                self._leave(sock, self._script.popleft())
            else:
                gone = asyncio.Event()
                task = asyncio.create_task(self._accept(sock, self.connections, gone))
                self._live[task] = gone
                task.add_done_callback(functools.partial(self._forget, sock))

    def _leave(self, sock: socket.socket, behaviour: AtAccept) -> None:
        if behaviour.reset:
            _linger_not(sock)
            sock.close()
        else:
            self._unread.append(sock)

    async def _accept(self, sock: socket.socket, number: int, gone: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = Protocol(reader)
        protocol.gone = gone
        writer = None
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._server_context, ssl_shutdown_timeout=1 if self.tls else None
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            await self._serve(reader, writer, gone, number)
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left, was idle for too long, or refused the certificate
        except Exception as error:  # noqa: BLE001 - raised at the end, in the test
            self._failures.append(error)
        finally:
            gone.set()
            if writer is not None:
                # Do not wait for hung clients or for the end of TLS.
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    def _forget(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        sock.close()
        del self._live[task]

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event, number: int
    ) -> None:
        while True:
            seen = await self._request(reader, number)
            behave = self._script.popleft() if self._script else self.default
            if await behave(Exchange(reader, writer, gone, seen)) is False:
                return

    async def _request(self, reader: asyncio.StreamReader, number: int) -> Seen:
        try:
            async with asyncio.timeout(self.idle_timeout):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.requests.append(Seen.of(error.partial, number))
            raise
        seen = Seen.of(head, number)
        self.requests.append(seen)
        return seen


def unused_port() -> int:
    """A port on loopback on which nothing listens."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def unanswered_port() -> Iterator[int]:
    """A port on loopback on which a connect neither succeeds nor fails: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        selector = stack.enter_context(selectors.DefaultSelector())
        connected = True
        while connected:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
            selector.register(filler, selectors.EVENT_WRITE)
            connected = bool(selector.select(0.2))
            selector.unregister(filler)
        yield listener.getsockname()[1]
