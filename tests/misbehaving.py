"""A server that gives each request the answer that its body asks for, unless the next scripted case is a fault."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from scripted_server import CERTIFICATE, HOST


@dataclass(frozen=True)
class Case:
    """The fault for one request."""

    data: bytes = b""
    """The bytes that are sent instead of an answer."""
    read: int | None = None
    """The number of bytes of the request that are read before; None for all."""
    end: Literal["keep", "close", "reset", "hang"] = "close"
    cut: int | None = None
    """The number of bytes of the requested answer that are sent."""
    seconds: float | None = None
    """The client's limit for this request, if it differs from the others."""
    more: bytes = b""
    """The bytes that follow the requested answer."""


def answer_of(code: str) -> bytes:
    body = json.dumps({"id": code, "name": "n", "type": "t"}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@dataclass
class MisbehavingServer:
    tls: bool = False
    script: deque[Case] = field(default_factory=deque)
    begun: int = 0
    """The number of requests of which at least one byte was read."""
    codes: Counter[str] = field(default_factory=Counter)
    """The number of complete requests, by the answer that they ask for."""
    accepted: int = 0
    open: set[Misbehaving] = field(default_factory=set)

    async def __aenter__(self) -> MisbehavingServer:
        context = None
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE)
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Misbehaving(self), HOST, 0, ssl=context, backlog=1000)
        self.base_url = f"{'https' if self.tls else 'http'}://{HOST}:{self.server.sockets[0].getsockname()[1]}/api/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for connection in list(self.open):
            connection.transport.abort()
        await asyncio.sleep(0.01)

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=CERTIFICATE) if self.tls else None


class Misbehaving(asyncio.Protocol):
    def __init__(self, server: MisbehavingServer) -> None:
        self.server = server
        self.data = b""
        self.case: Case | None = None
        self.is_begun = self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.accepted += 1
        self.server.open.add(self)
        if self.server.script and self.server.script[0].read == 0:
            self.case = self.server.script.popleft()
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.open.discard(self)

    def data_received(self, data: bytes) -> None:
        if self.is_over:
            return
        server = self.server
        if not self.is_begun:
            self.is_begun = True
            server.begun += 1
            self.case = server.script.popleft() if server.script else None
        self.data += data
        case = self.case
        if case is not None and case.read is not None and len(self.data) >= case.read:
            self._end()
        head, found, body = self.data.partition(b"\r\n\r\n")
        if self.is_over or not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self.data, self.is_begun = body[length:], False
        code = json.loads(body)["queryParameters"]
        server.codes[code] += 1
        if case is None:
            self.transport.write(answer_of(code))
            return
        if case.cut is not None or case.more:
            self.transport.write(answer_of(code)[: case.cut] + case.more)
        self._end()

    def _end(self) -> None:
        case = self.case
        if case.data:
            self.transport.write(case.data)
        if case.end == "keep":
            return
        self.is_over = True
        if case.end == "close":
            self.transport.close()
        elif case.end == "reset":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
