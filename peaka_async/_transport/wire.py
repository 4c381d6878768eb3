"""The progress of an attempt on the wire, and the errors for its failures."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import Protocol, final

import attrs

from peaka_async._transport.deadline import Deadlines, Limit
from peaka_async._transport.message import Version
from peaka_async.errors import ConnectError, PeakaTimeoutError, TransportError, WireProgress


class Head(Protocol):
    """The parts of an answer's head that are read."""

    @property
    def status(self) -> int: ...
    @property
    def version(self) -> Version | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


@final
@attrs.define(eq=False)
class Wire(Limit):
    """The progress and the time limit of one attempt. The lanes set it, and it decides about a failure."""

    attempt_limit: float | None = None
    """The seconds that the attempt may take, from the moment when it has a connection."""

    deadline: float | None = None
    """The time when the call has to end, on the loop's clock."""

    deadlines: Deadlines | None = None
    phase: str = "connect"
    sent: bool = False
    transport: asyncio.BaseTransport | None = None
    head: Head | None = None
    problem: str | None = None
    """The reason why the answer cannot be used, if the lane's library only reports the end of the connection."""

    turns: asyncio.Semaphore | None = None

    def ends(self, loop: asyncio.AbstractEventLoop) -> float | None:
        """The time when an attempt that starts now has to end, on the loop's clock."""
        if self.attempt_limit is None:
            return self.deadline
        end = loop.time() + self.attempt_limit
        return end if self.deadline is None else min(end, self.deadline)

    async def take_turn(self, turns: asyncio.Semaphore) -> None:
        """Wait for a free connection.

        Only the call's deadline limits the wait: a limit for each attempt would send the callers that waited longest to
        the end of the queue.
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

    def begin_writing(self, transport: asyncio.BaseTransport, now: float) -> None:
        """Record that from now on the server may have the request.

        Raises:
            TimeoutError: the attempt's time is over, but the loop was too busy to cancel it.
        """
        if self.when is not None and now >= self.when:
            self.expired = True
            raise TimeoutError
        self.sent = True
        self.phase = "response"
        self.transport = transport

    @property
    def peer(self) -> tuple[str, int] | None:
        """The address and port at the other end of the connection."""
        name = None if self.transport is None else self.transport.get_extra_info("peername")
        return name[:2] if isinstance(name, tuple) else None


class StaleConnectionError(Exception):
    """A connection ended before anything was written to it."""

    def __init__(self, *, is_fresh: bool) -> None:
        super().__init__()
        self.is_fresh = is_fresh
        """Whether the connection was made for this attempt: a second new one would not work either."""


class BrokenExchangeError(Exception):
    """No complete answer came; the message says what happened instead."""


class AnswerTooLargeError(Exception):
    """The body of an answer grew beyond its limit."""


def translated(problem: BaseException, wire: Wire) -> TransportError:
    """The error of the package for a failure on the wire."""
    return _after_sending(problem, wire) if wire.sent else _before_sending(problem, wire)


def _before_sending(problem: BaseException, wire: Wire) -> TransportError:
    if wire.cut_off:
        msg = "the client was closed while this call was waiting for a connection. Nothing was sent."
        return ConnectError(msg, problem="closed")
    if wire.expired or isinstance(problem, TimeoutError):
        what = "no connection became free" if wire.phase == "pool" else "no connection was made (DNS, TCP, TLS)"
        msg = f"{what} in time. Nothing was sent; it is safe to call again."
        return PeakaTimeoutError(msg, phase=wire.phase, progress=WireProgress.NOT_SENT)
    msg = f"no connection: {_reason(problem)}. Nothing was sent; it is safe to call again."
    return ConnectError(msg, problem=_problem(problem))


def _after_sending(problem: BaseException, wire: Wire) -> TransportError:
    if wire.expired:
        what = "the answer did not end" if wire.phase == "body" else "no answer came"
        return PeakaTimeoutError(f"{what} in time. The request was sent.", phase=wire.phase)
    where = "in the middle of the answer" if wire.phase == "body" else "before an answer came"
    if wire.cut_off:
        return TransportError(f"the client was closed {where}. The request was sent.")
    what = str(problem) if isinstance(problem, BrokenExchangeError) else type(problem).__name__
    return TransportError(f"the exchange broke {where} ({what}). The request was sent.")


def _problem(problem: BaseException) -> str:
    if isinstance(problem, socket.gaierror):
        return "name"
    return "tls" if isinstance(problem, ssl.SSLError) else "connection"


def _reason(problem: BaseException) -> str:
    if isinstance(problem, socket.gaierror):
        return "the server's name does not resolve"
    if isinstance(problem, StaleConnectionError):
        return "the server closes connections as soon as they are made"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return "the server's TLS certificate is not trusted (see the ssl argument for a private CA)"
    detail = problem.strerror if isinstance(problem, OSError) else None
    return detail or type(problem).__name__
