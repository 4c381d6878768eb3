"""An answer whose body is read piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from time import monotonic
from typing import final

from peaka_async._transport.call import Call, explain
from peaka_async._transport.tracing import Telemetry
from peaka_async._transport.wire import translated


@final
class ByteStream:
    """An answer whose body is read piece by piece.

    Attributes:
        status: the HTTP status.
        headers: the answer's headers; names are in any case.
    """

    def __init__(self, call: Call, telemetry: Telemetry, started: float) -> None:
        if call.response is None:
            msg = "there is no answer to read"
            raise RuntimeError(msg)
        self._call, self._open, self._telemetry, self._started = call, call.response, telemetry, started
        self._ended = False
        self.status: int = self._open.response.status
        self.headers: Mapping[str, str] = self._open.response.headers
        self._pieces = self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Stop reading. If the body was not read to its end, the connection is closed."""
        await self._pieces.aclose()
        self._end(None)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        error: BaseException | None = None
        try:
            while piece := await self._piece():
                yield piece
        except GeneratorExit:
            raise
        except BaseException as failure:
            error = failure
            explain(failure, self._call.request, self._call)
            raise
        finally:
            self._end(error)

    async def _piece(self) -> bytes:
        wire = self._open.wire
        limit = asyncio.timeout(self._call.timeouts.attempt)
        try:
            async with limit:
                return await self._open.response.content.readany()
        except Exception as error:  # noqa: BLE001 - aiohttp's exceptions are not passed on
            problem = error
        wire.expired = limit.expired()
        raise translated(problem, wire)

    def _end(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._open.response.close()
        self._open.wire.end_turn()
        self._call.leave()
        request, now = self._call.request, monotonic()
        self._telemetry.ended_attempt(request, self._open.span, now - self._open.started, self._open.wire, error)
        self._telemetry.ended(request, self._call.span, now - self._started, error)
