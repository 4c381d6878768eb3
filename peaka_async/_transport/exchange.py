"""One HTTP/1.1 exchange on a connection of aiohttp's pool.

`ClientSession.request` prepares for each request what is the same for all requests to one server: it merges headers,
looks for cookies and proxies, parses URLs, and gives the body to a task of its own. This does the rest of its work, on
its connector, protocol and parser, for about half of its cost (`benchmarks/call.py`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast, final

import aiohttp
from yarl import URL

from peaka_async._transport.wire import Wire, usable_transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.http_writer import HttpVersion

_SESSION_REQUEST = aiohttp.ClientSession._request  # noqa: SLF001 - what patches the session patches this

_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})


@final
class Exchange:
    """An answer whose head has come."""

    __slots__ = ("_connection", "content", "headers", "status", "version")

    def __init__(
        self,
        connection: Connection,
        status: int,
        headers: Mapping[str, str],
        version: HttpVersion | None,
        content: aiohttp.StreamReader,
    ) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self.version = version
        self.content = content

    @property
    def content_length(self) -> int | None:
        """What the head says of the body's length, in bytes."""
        length = self.headers.get("Content-Length")
        return None if length is None else int(length)

    async def read(self) -> bytes:
        try:
            return await self.content.read()
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back; where the answer was not read to its end, the pool closes it."""
        self._connection.release()


def is_session_replaced() -> bool:
    """Whether something (aioresponses, an agent) has put itself in the session's place: it wants to see requests."""
    return aiohttp.ClientSession._request is not _SESSION_REQUEST  # noqa: SLF001


@final
class Exchanger:
    """Makes exchanges with one server."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        url = URL(base)
        connector = session.connector
        if connector is None:
            msg = "the session is closed"
            raise RuntimeError(msg)
        # What the connector wants to know of a request is where it goes; that is the same for all.
        self._destination = aiohttp.ClientRequest(
            "GET", url, loop=asyncio.get_running_loop(), session=session, response_class=aiohttp.ClientResponse
        )
        self._connector = connector
        self._timeout = session.timeout
        self._prefix = url.raw_path.rstrip("/")
        self._host = f"Host: {url.host_port_subcomponent}\r\n"

    async def begin(self, method: str, target: str, headers: str, body: bytes | None, wire: Wire) -> Exchange:
        """Send a request and read the head of its answer.

        `headers` are complete lines; those of the body are added.
        """
        connection = await self._connector.connect(self._destination, [], self._timeout)
        try:
            transport = usable_transport(connection)
            protocol = cast("ResponseHandler", connection.protocol)
            protocol.set_response_params(skip_payload=method == "HEAD", read_until_eof=True)
            head = f"{method} {self._prefix}{target} HTTP/1.1\r\n{self._host}{headers}"
            if body is not None:
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            elif method in _WITH_CONTENT:
                head += "Content-Length: 0\r\n\r\n"
            else:
                head += "\r\n"
            wire.mark_sent(transport)
            transport.write(head.encode() + body if body else head.encode())
            message, content = await protocol.read()
            while message.code < 200:  # noqa: PLR2004 - informational: the answer follows
                message, content = await protocol.read()
        except BaseException:
            connection.close()
            raise
        return Exchange(connection, message.code, message.headers, message.version, content)


def header_lines(headers: Mapping[str, str]) -> str:
    """Headers as they go on the wire.

    Raises:
        ValueError: one of them holds a line end.
    """
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any(bad in line for line in lines for bad in "\r\n\0"):
        msg = "a header holds a line end"
        raise ValueError(msg)
    return "".join(f"{line}\r\n" for line in lines)
