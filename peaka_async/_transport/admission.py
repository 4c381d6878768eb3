"""What an attempt waits for before it is sent: the key, the throttle and the application's limiter."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import final

from peaka_async._transport.call import Call
from peaka_async._transport.credential import fetched_key
from peaka_async._transport.settings import Settings, Shared
from peaka_async._transport.throttle import Queue, TooLateError
from peaka_async._transport.wire import Wire
from peaka_async.errors import PeakaTimeoutError, RateLimitError, WireProgress

# A key that lives short may have run out while its attempt waited for longer.
_KEY_KEEPS_SECONDS = 1.0


@final
class Admission:
    """Lets attempts to the API start, and learns from their answers when the next may."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._credential = settings.credential
        self._limiter = shared.limiter
        self._throttle_key = shared.throttle_key
        self._queues = shared.queues
        self._telemetry = shared.telemetry
        self._queue = shared.queues.of(None) if isinstance(settings.credential, str) else None

    async def wait(self, call: Call) -> None:
        """Wait until the attempt may start; it is in a queue from then on.

        Raises:
            PeakaTimeoutError: it may not before the deadline. Nothing was sent.
        """
        queue = call.queue = self._queue or await self._queue_of(call)
        waited = 0.0
        if not queue.throttle.is_free:
            waited = await self._wait_in(queue, call)
        if self._limiter is not None:
            waited += await self._acquire(call)
        if waited > _KEY_KEEPS_SECONDS:
            await self._fetch_key(call)

    def learn(self, call: Call, wire: Wire, error: BaseException | None, now: float) -> None:
        """Tell the throttle how an attempt ended."""
        if call.queue is None or wire.head is None:
            return
        if isinstance(error, RateLimitError):
            call.queue.throttle.limited(now, _asked(call, error))
        else:
            call.queue.throttle.succeeded(now)

    async def tell_limiter(self, call: Call, error: RateLimitError) -> None:
        """Tell the application's limiter of a 429, as far as the call has time for it."""
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
        """The queue of those calls that have the same rate limit."""
        key = await self._fetch_key(call)
        return self._queues.of(hash(key) if self._throttle_key is None else self._throttle_key())

    async def _fetch_key(self, call: Call) -> str | None:
        if isinstance(self._credential, str):
            return None
        call.key = await fetched_key(self._credential, call.remaining())
        call.keys.append(call.key)
        return call.key

    async def _wait_in(self, queue: Queue, call: Call) -> float:
        began = monotonic()
        try:
            await queue.wait(call.deadline)
        except TooLateError as error:
            seconds = error.seconds
        else:
            return self._waited(call, "throttle", began)
        msg = (
            f"the server asked all callers to slow down (429), and this call's turn comes too late (in {seconds:.1f} s "
            "or later). This attempt was not sent; call again later."
        )
        raise PeakaTimeoutError(msg, phase="rate-limit", retry_after=seconds, progress=WireProgress.NOT_SENT)

    async def _acquire(self, call: Call) -> float:
        began = monotonic()
        limit = asyncio.timeout(call.remaining())
        try:
            async with limit:
                if self._limiter is not None:
                    await self._limiter.acquire(call.request)
        except TimeoutError:
            if not limit.expired():
                raise
        else:
            return self._waited(call, "limiter", began)
        msg = "the limiter did not let the call start before the deadline. This attempt was not sent."
        raise PeakaTimeoutError(msg, phase="limiter", progress=WireProgress.NOT_SENT)

    def _waited(self, call: Call, what: str, began: float) -> float:
        seconds = monotonic() - began
        self._telemetry.waited(call.request, call.span, what, seconds)
        return seconds


def _asked(call: Call, error: RateLimitError) -> float:
    """Seconds for which a 429 asks everybody to wait."""
    asked = error.retry_after
    return min(call.retry.rate_limit_backoff if asked is None else asked, call.retry.max_retry_after)
