"""Scripted faults: which operation fails, how, and when."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import random
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, final

import attrs
from aiohttp import web

from peaka_async.errors import ConfigurationError

_EVERY = "*"
_CHUNK = b" " * 65536
_POLL_SECONDS = 0.02

Finish = Callable[[], Awaitable[web.Response]]


class Moment(enum.Enum):
    """The moment at which a fault happens."""

    ON_ARRIVAL = "on arrival"
    """After the request's head was read, and before its body is read."""

    BEFORE_WORK = "before the work"
    """After the whole request was read, and before anything is done."""

    AFTER_WORK = "after the work"
    """After the work was done; its answer is lost."""


class _Effect(Protocol):
    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:
        """Give the fault's answer; `finish` does the work and returns the normal answer."""
        ...


@final
@attrs.frozen
class _Answer:
    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str]

    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:  # noqa: ARG002 - the form of effects
        return web.Response(
            status=self.status, body=self.body, content_type=self.content_type, headers=dict(self.headers)
        )


@final
@attrs.frozen
class _Oversize:
    size: int

    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:  # noqa: ARG002
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        stream.content_length = self.size
        with contextlib.suppress(ConnectionError):
            await stream.prepare(request)
            await stream.write(b"{")
            for start in range(1, self.size - 1, len(_CHUNK)):
                await stream.write(_CHUNK[: self.size - 1 - start])
            await stream.write(b"}")
        return stream


@final
@attrs.frozen
class _Close:
    reset: bool

    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:  # noqa: ARG002
        return _end(request, reset=self.reset)


@final
@attrs.frozen
class _Hang:
    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:  # noqa: ARG002
        # aiohttp reports a lost connection only by cancelling the handler, which would lose the work of slow answers.
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(_POLL_SECONDS)
        return web.Response()


@final
@attrs.frozen
class _Delay:
    seconds: float

    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:  # noqa: ARG002
        await asyncio.sleep(self.seconds)
        return await finish()


@final
@attrs.frozen
class _Drip:
    interval: float

    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:
        stream, body = _streamed(await finish())
        with contextlib.suppress(ConnectionError):
            await stream.prepare(request)
            for byte in body:
                await asyncio.sleep(self.interval)
                await stream.write(bytes([byte]))
        return stream


@final
@attrs.frozen
class _Truncate:
    async def __call__(self, request: web.Request, finish: Finish) -> web.StreamResponse:
        stream, body = _streamed(await finish())
        with contextlib.suppress(ConnectionError):
            await stream.prepare(request)
            await stream.write(body[: len(body) // 2])
        return _end(request, reset=False)


@final
@attrs.frozen
class Fault:
    """A fault, made by one of the methods below."""

    kind: str
    moment: Moment
    _effect: _Effect = attrs.field(repr=False)

    @classmethod
    def answer(
        cls,
        status: int,
        body: bytes = b"{}",
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        moment: Moment = Moment.BEFORE_WORK,
    ) -> Fault:
        """Answer with this status, body and headers."""
        return cls(f"answer {status}", moment, _Answer(status, body, content_type, headers or {}))

    @classmethod
    def bad_gateway(cls, moment: Moment = Moment.BEFORE_WORK) -> Fault:
        """Answer 502 with the HTML page of a gateway."""
        page = b"<html><head><title>502 Bad Gateway</title></head></html>"
        return cls.answer(502, page, content_type="text/html", moment=moment)

    @classmethod
    def rate_limited(cls, retry_after: float | str) -> Fault:
        """Answer 429 with Retry-After: a number of seconds, or the value of the header."""
        return cls.answer(429, headers=_retry_after(retry_after))

    @classmethod
    def unavailable(cls, retry_after: float | str | None = None, moment: Moment = Moment.BEFORE_WORK) -> Fault:
        """Answer 503, with Retry-After if it is given."""
        return cls.answer(503, headers={} if retry_after is None else _retry_after(retry_after), moment=moment)

    @classmethod
    def redirect(cls, url: str, status: int = 307) -> Fault:
        """Redirect to another URL."""
        return cls.answer(status, b"", headers={"Location": url})

    @classmethod
    def not_json(cls, body: bytes = b'{"id": "62', moment: Moment = Moment.AFTER_WORK) -> Fault:
        """Answer 200 with a complete body that is not JSON."""
        return cls("not json", moment, _Answer(200, body, "application/json", {}))

    @classmethod
    def oversize(cls, size: int, moment: Moment = Moment.AFTER_WORK) -> Fault:
        """Answer 200 with an empty JSON object that is padded to this many bytes."""
        return cls("oversize", moment, _Oversize(size))

    @classmethod
    def truncated(cls) -> Fault:
        """Do the work, and close the connection in the middle of the answer."""
        return cls("truncated", Moment.AFTER_WORK, _Truncate())

    @classmethod
    def cut(cls, moment: Moment = Moment.AFTER_WORK) -> Fault:
        """Close the connection without an answer."""
        return cls("cut", moment, _Close(reset=False))

    @classmethod
    def reset(cls, moment: Moment = Moment.AFTER_WORK) -> Fault:
        """Reset the connection (RST) without an answer."""
        return cls("reset", moment, _Close(reset=True))

    @classmethod
    def silence(cls, moment: Moment = Moment.BEFORE_WORK) -> Fault:
        """Send no answer, until the client gives up."""
        return cls("silence", moment, _Hang())

    @classmethod
    def drip(cls, interval: float) -> Fault:
        """Send the normal answer one byte at a time, with `interval` seconds between two bytes."""
        return cls("drip", Moment.AFTER_WORK, _Drip(interval))

    @classmethod
    def slow(cls, seconds: float, moment: Moment = Moment.BEFORE_WORK) -> Fault:
        """Send the normal answer after this many seconds. The work is done even if the client gives up."""
        return cls("slow", moment, _Delay(seconds))

    async def strike(self, request: web.Request, work: Finish) -> web.StreamResponse:
        """Answer the request with this fault."""
        done = await work() if self.moment is Moment.AFTER_WORK else None

        async def finish() -> web.Response:
            return await work() if done is None else done

        return await self._effect(request, finish)


class Faults:
    """The script of faults: a queue of faults for each operation, and random faults."""

    def __init__(self, operations: Collection[str]) -> None:
        self._operations = operations
        self._queues: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._chances: dict[str, _Chance] = {}

    def add(self, operation: str, *faults: Fault, times: int = 1) -> None:
        """Give these faults to the next calls of an operation (such as `connections.oauth2_callback`; `*` for any).

        Raises:
            ConfigurationError: there is no such operation.
        """
        self.check(operation)
        for _ in range(times):
            self._queues[operation].extend(faults)

    def random(self, rate: float, *faults: Fault, seed: int = 0, operation: str = _EVERY) -> None:
        """Give a random fault to this share of the calls. The same seed gives the same faults.

        By default the faults are those that a client notices soon, so no call hangs.

        Raises:
            ConfigurationError: there is no such operation.
        """
        self.check(operation)
        # Random numbers are not used for security here.
        self._chances[operation] = _Chance(random.Random(seed), rate, faults or USUAL_FAULTS)  # noqa: S311

    def clear(self) -> None:
        """Remove all faults."""
        self._queues.clear()
        self._chances.clear()

    def take(self, operation: str) -> Fault | None:
        """Take the fault for this call; None if there is none."""
        for name in (operation, _EVERY):
            if self._queues[name]:
                return self._queues[name].popleft()
        chance = self._chances.get(operation) or self._chances.get(_EVERY)
        return chance.take() if chance is not None else None

    def check(self, operation: str) -> None:
        """Refuse an operation that the emulator does not have.

        Raises:
            ConfigurationError: there is no such operation.
        """
        if operation != _EVERY and operation not in self._operations:
            msg = f"The emulator has no operation {operation!r}."
            raise ConfigurationError(msg)


@final
@attrs.frozen
class _Chance:
    dice: random.Random
    rate: float
    faults: tuple[Fault, ...]

    def take(self) -> Fault | None:
        return self.dice.choice(self.faults) if self.dice.random() < self.rate else None


def _retry_after(value: float | str) -> dict[str, str]:
    return {"Retry-After": value if isinstance(value, str) else f"{value:g}"}


def _streamed(good: web.Response) -> tuple[web.StreamResponse, bytes]:
    """The head and the bytes of a normal answer."""
    body = good.body if isinstance(good.body, bytes) else b""
    stream = web.StreamResponse(status=good.status, headers=good.headers)
    stream.content_length = len(body)
    return stream, body


def _end(request: web.Request, *, reset: bool) -> web.StreamResponse:
    transport = request.transport
    if transport is not None:
        if reset:
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()


USUAL_FAULTS = (
    *(Fault.cut(moment) for moment in Moment),
    *(Fault.reset(moment) for moment in Moment),
    *(Fault.bad_gateway(moment) for moment in Moment),
    Fault.unavailable(),
    Fault.unavailable(0.01, Moment.AFTER_WORK),
    Fault.rate_limited(0.01),
    Fault.not_json(),
    Fault.truncated(),
    Fault.drip(0.0005),
    Fault.slow(0.01),
)
"""The default random faults: all faults that a client notices soon."""
