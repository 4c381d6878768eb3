"""The waits of an attempt before it is sent: for the key, the throttle and the application's limiter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic
from typing import final

import attrs

from peaka_async._transport.call import Call
from peaka_async._transport.credential import fetched_key
from peaka_async._transport.logs import LONG_SECONDS
from peaka_async._transport.settings import Settings, Shared
from peaka_async._transport.throttle import Queue, TooLateError
from peaka_async._transport.wire import Wire
from peaka_async.errors import PeakaTimeoutError, RateLimitError, WireProgress

# A short-lived key may have expired if its attempt has waited for longer than this.
_KEY_KEEPS_SECONDS = 1.0

# A shorter time is not recorded as a wait.
_LEAST_WAIT = 0.001


@final
class Admission:
    """Decides when attempts to the API may start, by the answers to previous attempts."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._credential = settings.credential
        self._limiter = shared.limiter
        self._throttle_key = shared.throttle_key
        self._queues = shared.queues
        self._telemetry = shared.telemetry
        self._voice = shared.voice
        self._queue = shared.queues.of(None) if isinstance(settings.credential, str) else None

    async def wait(self, call: Call) -> None:
        """Wait until the attempt may start.

        Raises:
            PeakaTimeoutError: it may not start before the deadline. Nothing was sent.
        """
        queue = call.queue = self._queue or await self._queue_of(call)
        waited = 0.0
        if not queue.throttle.is_free and not queue.start():
            waited = await self._wait_in(queue, call)
        if self._limiter is not None:
            waited += await self._acquire(call)
        if waited > _KEY_KEEPS_SECONDS:
            await self._fetch_key(call)

    def learn(self, call: Call, wire: Wire, error: BaseException | None, now: float) -> None:
        """Report the result of an attempt to the throttle."""
        if call.queue is None or wire.head is None:
            return
        if isinstance(error, RateLimitError):
            call.queue.throttle.limited(now, _asked(call, error))
        else:
            call.queue.throttle.succeeded(now)

    async def tell_limiter(self, call: Call, error: RateLimitError) -> None:
        """Report a 429 to the application's limiter, within the call's time."""
        if self._limiter is None or call.queue is None:
            return
        limit = asyncio.timeout(call.remaining())
        try:
            async with limit:
                await self._limiter.throttled(call.request, _asked(call, error))
        except TimeoutError:
            if not limit.expired():
                raise

    async def _queue_of(self, call: Call) -> Queue:
        """The queue of the calls with the same rate limit."""
        key = await self._fetch_key(call)
        return self._queues.of(hash(key) if self._throttle_key is None else self._throttle_key())

    async def _fetch_key(self, call: Call) -> str | None:
        if isinstance(self._credential, str):
            return None
        call.key = await fetched_key(self._credential, call.remaining())
        call.keys.append(call.key)
        return call.key

    async def _wait_in(self, queue: Queue, call: Call) -> float:
        try:
            async with self._watched(call, "throttle") as wait:
                await queue.wait(call.deadline)
        except TooLateError as error:
            seconds = error.seconds
        else:
            return wait.seconds
        msg = (
            f"the server asked all callers to slow down (429), and this call's turn comes after its deadline (in "
            f"{seconds:.1f} s at the earliest). This attempt was not sent; call again later."
        )
        raise PeakaTimeoutError(msg, phase="rate-limit", retry_after=seconds, progress=WireProgress.NOT_SENT)

    async def _acquire(self, call: Call) -> float:
        limit = asyncio.timeout(call.remaining())
        try:
            async with limit, self._watched(call, "limiter") as wait:
                if self._limiter is not None:
                    await self._limiter.acquire(call.request)
        except TimeoutError:
            if not limit.expired():
                raise
        else:
            return wait.seconds
        msg = "the limiter did not let the call start before the deadline. This attempt was not sent."
        raise PeakaTimeoutError(msg, phase="limiter", progress=WireProgress.NOT_SENT)

    @contextlib.asynccontextmanager
    async def _watched(self, call: Call, what: str) -> AsyncIterator[Wait]:
        """Measure a wait. A long wait is logged while it goes on, and every wait when it ends."""
        operation, attempt = call.request.operation, call.attempts + 1
        loop, wait = asyncio.get_running_loop(), Wait(monotonic())
        watch = loop.call_later(LONG_SECONDS, self._voice.waits, operation, attempt, what)
        try:
            yield wait
        finally:
            watch.cancel()
            wait.seconds = monotonic() - wait.began
            if wait.seconds >= _LEAST_WAIT:
                self._telemetry.waited(call.request, call.span, what, wait.seconds)
                self._voice.waited(operation, attempt, what, wait.seconds)


@attrs.define
class Wait:
    """The duration of a wait."""

    began: float
    seconds: float = 0.0


def _asked(call: Call, error: RateLimitError) -> float:
    """The seconds that a 429 asks to wait."""
    asked = error.retry_after
    return min(call.retry.rate_limit_backoff if asked is None else asked, call.retry.max_retry_after)
