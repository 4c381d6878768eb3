"""How far one attempt got on the wire, and what a failure there means for the caller."""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, final

import aiohttp
import attrs

from peaka_async._transport.deadline import Deadlines, Limit
from peaka_async.errors import ConnectError, PeakaTimeoutError, TransportError, WireProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.connector import Connection
    from aiohttp.http_writer import HttpVersion

_CLOSED_BY_PEER = getattr(select, "POLLRDHUP", 0)
"""Linux alone tells a half-closed socket from a readable one, which a TLS session ticket makes too."""


class Response(Protocol):
    """What is read of an answer; `aiohttp.ClientResponse` is one."""

    @property
    def status(self) -> int: ...
    @property
    def version(self) -> HttpVersion | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> aiohttp.StreamReader: ...
    @property
    def content_length(self) -> int | None: ...
    async def read(self) -> bytes: ...
    def close(self) -> None: ...


@final
@attrs.define(eq=False)
class Wire(Limit):
    """How far one attempt got, and its time: written where it happens, read where a failure is judged."""

    attempt_limit: float | None = None
    """Seconds that the attempt may take once it has a connection."""

    deadline: float | None = None
    """When the call has to end, on the loop's clock."""

    deadlines: Deadlines | None = None
    phase: str = "connect"
    sent: bool = False
    transport: asyncio.BaseTransport | None = None
    head: Response | None = None
    turns: asyncio.Semaphore | None = None

    def ends(self, loop: asyncio.AbstractEventLoop) -> float | None:
        """When an attempt that starts now has to end, on the loop's clock."""
        if self.attempt_limit is None:
            return self.deadline
        end = loop.time() + self.attempt_limit
        return end if self.deadline is None else min(end, self.deadline)

    async def take_turn(self, turns: asyncio.Semaphore) -> None:
        """Wait for a connection to be free.

        The wait is bounded by the call's deadline alone: a limit for each attempt would send those who waited longest
        to the end of the queue.
        """
        if turns.locked() and self.deadlines is not None:
            self.phase = "pool"
            self.deadlines.move(self, self.deadline)
            await turns.acquire()
            self.deadlines.move(self, self.ends(asyncio.get_running_loop()))
            self.phase = "connect"
        else:
            await turns.acquire()
        self.turns = turns

    def end_turn(self) -> None:
        """Let another attempt have the connection."""
        if self.turns is not None:
            self.turns.release()
            self.turns = None

    def mark_sent(self, transport: asyncio.BaseTransport) -> None:
        """Note that from now on the server may have the request."""
        self.sent = True
        self.phase = "response"
        self.transport = transport

    @property
    def peer(self) -> tuple[str, int] | None:
        """The address and port at the other end of the connection."""
        name = None if self.transport is None else self.transport.get_extra_info("peername")
        return name[:2] if isinstance(name, tuple) else None


current_wire: ContextVar[Wire] = ContextVar("current_wire")


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A pooled connection was closed by the server before anything was written to it."""


def usable_transport(connection: Connection) -> asyncio.Transport:
    """The transport of a connection that something can be written to.

    Raises:
        StaleConnectionError: the server has closed it.
    """
    transport = connection.transport
    if transport is None or transport.is_closing() or _is_closed_by_peer(transport):
        raise StaleConnectionError
    return transport


def _is_closed_by_peer(transport: asyncio.BaseTransport) -> bool:
    """Ask the kernel whether the server has closed: the event loop may not have been told yet."""
    sock = transport.get_extra_info("socket")
    if not _CLOSED_BY_PEER or sock is None:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), _CLOSED_BY_PEER)
    return bool(poll.poll(0))


def translated(problem: BaseException, wire: Wire) -> TransportError:
    """What a failure of aiohttp means for the caller."""
    if not wire.sent:
        if wire.expired or isinstance(problem, TimeoutError):
            what = "no connection became free" if wire.phase == "pool" else "no connection was made (DNS, TCP, TLS)"
            msg = f"{what} in time. Nothing was sent; it is safe to call again."
            return PeakaTimeoutError(msg, phase=wire.phase, progress=WireProgress.NOT_SENT)
        msg = f"no connection: {_reason(problem)}. Nothing was sent; it is safe to call again."
        return ConnectError(msg, progress=WireProgress.NOT_SENT)
    if wire.expired:
        what = "the answer did not end" if wire.phase == "body" else "no answer came"
        return PeakaTimeoutError(f"{what} in time. The request was sent.", phase=wire.phase)
    where = "in the middle of the answer" if wire.phase == "body" else "before an answer came"
    return TransportError(f"the connection broke {where} ({type(problem).__name__}). The request was sent.")


def _reason(problem: BaseException) -> str:
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return "the server's name does not resolve"
    if isinstance(problem, StaleConnectionError):
        return "the server closes connections as soon as they are made"
    if isinstance(problem, aiohttp.ClientConnectorCertificateError):
        return "the server's TLS certificate is not trusted (see the ssl argument for a private CA)"
    error = problem.os_error if isinstance(problem, aiohttp.ClientConnectorError) else problem
    detail = error.strerror if isinstance(error, OSError) else None
    return detail or type(error).__name__
