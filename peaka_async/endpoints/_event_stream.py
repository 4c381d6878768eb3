"""Parsing of server-sent events, as the WHATWG specifies them. No I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, final

from peaka_async._request import Streamed
from peaka_async.errors import DecodeError
from peaka_async.models.agent import ChatEvent

_MAX_EVENT_CHARS = 16 * 1024 * 1024


@final
class EventParser:
    """Parses events from pieces of a stream, which may be cut anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line: list[str] = []
        self._first = True
        self._after_cr = False
        self._size = 0
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, piece: bytes) -> list[ChatEvent]:
        """Return the events that this piece completes. An incomplete event at the end of the stream is dropped.

        Raises:
            DecodeError: an event is larger than 16 Mi characters.
        """
        text = self._decoder.decode(piece)
        if self._first and text:
            self._first = False
            text = text.removeprefix("\ufeff")
        ends_with_cr = text.endswith("\r") if text else self._after_cr
        if self._after_cr:
            # The CR at the end of the previous piece ended a line; an LF after it belongs to the same line end.
            text = text.removeprefix("\n")
        self._after_cr = ends_with_cr
        # Only the new text is looked at: a line in many pieces is put together once, at its end.
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._grow(first)
        events = []
        for text in others:
            line, self._line = "".join(self._line), []
            events.append(self._take(line))
            self._grow(text)
        return [event for event in events if event is not None]

    def _grow(self, text: str) -> None:
        """Add to the line that has not ended yet."""
        self._line.append(text)
        self._size += len(text)
        if self._size > _MAX_EVENT_CHARS:
            msg = f"an event of the stream is larger than {_MAX_EVENT_CHARS} characters."
            raise DecodeError(msg)

    def _take(self, line: str) -> ChatEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        # A line that begins with a colon is a comment or a heartbeat. `retry` is for clients that reconnect.
        return None

    def _dispatch(self) -> ChatEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        return ChatEvent("\n".join(data), event or "message", self._id) if data else None


@final
class EventStream:
    """The events of a chat, as they arrive.

    ```python
    async with peaka.agent.chat_stream("mtKDhe1U", message) as events:
        async for event in events:
            ...
    ```

    The message is sent once, when the iteration begins. If the stream breaks, the message is not sent again. Leaving
    the context closes the connection.
    """

    def __init__(self, begin: Callable[[], Awaitable[Streamed]]) -> None:
        self._begin = begin
        self._events = self._read()

    def __aiter__(self) -> AsyncIterator[ChatEvent]:
        return self._events

    async def _read(self) -> AsyncGenerator[ChatEvent, None]:
        stream = await self._begin()
        try:
            parser = EventParser()
            async for piece in stream:
                for event in parser.feed(piece):
                    yield event
        finally:
            await stream.aclose()

    async def aclose(self) -> None:
        """Close the connection. A second call does nothing."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
