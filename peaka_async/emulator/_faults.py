"""Faults by script: what goes wrong with which operation, and when."""

from __future__ import annotations

import asyncio
import enum
import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping

import attrs
from aiohttp import web

_FOREVER = 3600.0
_EVERY = "*"

Work = Callable[[web.Request], Awaitable[web.Response]]


class Moment(enum.Enum):
    """When a fault strikes."""

    ON_ARRIVAL = "on arrival"
    """The request's head was read, its body was not."""

    BEFORE_WORK = "before the work"
    """The whole request was read, and nothing was done."""

    AFTER_WORK = "after the work"
    """The work was done, and its answer is lost."""


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong.

    With `status` the server answers that instead; with `close` it ends the connection; with `hang` it says nothing for
    so many seconds; with `drip` it sends its good answer a byte every so many seconds; with `delay` it is merely slow.
    """

    moment: Moment = Moment.BEFORE_WORK
    status: int | None = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    close: bool = False
    hang: float | None = None
    drip: float | None = None
    delay: float = 0.0

    @classmethod
    def answer(cls, status: int, body: bytes = b"{}", **options: object) -> Fault:
        """Answer with this status and body."""
        return cls(status=status, body=body, **options)  # type: ignore[arg-type]

    @classmethod
    def cut(cls, moment: Moment = Moment.AFTER_WORK) -> Fault:
        """End the connection without an answer."""
        return cls(close=True, moment=moment)

    @classmethod
    def bad_gateway(cls, moment: Moment = Moment.BEFORE_WORK) -> Fault:
        """An HTML page of a gateway."""
        page = b"<html><head><title>502 Bad Gateway</title></head></html>"
        return cls(status=502, body=page, content_type="text/html", moment=moment)

    @classmethod
    def rate_limited(cls, seconds: float) -> Fault:
        """429 with Retry-After."""
        return cls(status=429, body=b"{}", headers={"Retry-After": f"{seconds:g}"})

    @classmethod
    def silence(cls, moment: Moment = Moment.BEFORE_WORK) -> Fault:
        """No answer, ever."""
        return cls(hang=_FOREVER, moment=moment)

    @classmethod
    def not_json(cls, moment: Moment = Moment.AFTER_WORK) -> Fault:
        """The work is done and answered with half a JSON document."""
        return cls(status=200, body=b'{"id": "62', moment=moment)

    @classmethod
    def slow(cls, seconds: float) -> Fault:
        """A good answer, late."""
        return cls(delay=seconds)

    async def strike(self, request: web.Request, work: Work) -> web.StreamResponse:
        """Serve the request with this fault."""
        if self.moment is not Moment.ON_ARRIVAL:
            await request.read()
        await asyncio.sleep(self.delay)
        good = await work(request) if self.moment is Moment.AFTER_WORK or self._is_harmless else None
        if self.close:
            return await self._cut(request)
        if self.hang is not None:
            await asyncio.sleep(self.hang)
        if self.status is not None:
            return web.Response(
                status=self.status, body=self.body, content_type=self.content_type, headers=dict(self.headers)
            )
        if good is None:
            good = await work(request)
        return good if self.drip is None else await self._trickle(request, good, self.drip)

    @property
    def _is_harmless(self) -> bool:
        return self.status is None and not self.close and self.hang is None

    @staticmethod
    async def _cut(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    @staticmethod
    async def _trickle(request: web.Request, good: web.Response, interval: float) -> web.StreamResponse:
        body = good.body if isinstance(good.body, bytes) else b""
        stream = web.StreamResponse(status=good.status, headers={"Content-Type": "application/json"})
        stream.content_length = len(body)
        await stream.prepare(request)
        for byte in body:
            await asyncio.sleep(interval)
            await stream.write(bytes([byte]))
        return stream


class Faults:
    """The script: a queue of faults for each operation, and chance."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._chance: tuple[random.Random, float, tuple[Fault, ...]] | None = None

    def add(self, operation: str, *faults: Fault, times: int = 1) -> None:
        """Let the next calls of an operation (`connections.oauth2_callback`; `*` for any) run into these faults."""
        for _ in range(times):
            self._queues[operation].extend(faults)

    def at_random(self, rate: float, *faults: Fault, seed: int = 0) -> None:
        """Let this share of all calls run into one of the faults; the same seed strikes the same way."""
        self._chance = (random.Random(seed), rate, faults)  # noqa: S311 - chance, not security

    def clear(self) -> None:
        self._queues.clear()
        self._chance = None

    def take(self, operation: str) -> Fault | None:
        """The fault for this call, if there is one."""
        for queue in (self._queues[operation], self._queues[_EVERY]):
            if queue:
                return queue.popleft()
        if self._chance is not None:
            chance, rate, faults = self._chance
            if chance.random() < rate:
                return chance.choice(faults)
        return None
