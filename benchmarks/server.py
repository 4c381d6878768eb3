"""A server with static answers, in a separate process.

All requests get the same Connection, except for these projects:

| project | answer |
|---|---|
| `list-1000` | a list of 1,000 Connections |
| `size-1000000` | one Connection, in about 1,000,000 bytes |
| `slow-50` | the Connection, after 50 ms |
| `busy-100` | one request of 100 gets 503 with `Retry-After: 0` |
| `reset-100` | one request of 100 gets its connection dropped |
| `faulty` | one request of 100 gets 429 with `Retry-After: 0` |
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import sys

import uvloop

BODY = b'{"id":"6243f42a-42d0-4821-a90f-763cda6cda50","name":"exampleOauth2Connection","type":"google_analytics"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ANSWER = HEAD % len(BODY) + BODY
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"

# All clients of a benchmark may connect at once.
BACKLOG = 16384


def body_of(kind: bytes, number: int) -> bytes:
    """The body of a `list-…` or `size-…` project."""
    if kind == b"list":
        return b"[%b]" % b",".join(BODY.replace(b"6243f42a", b"%08x" % index) for index in range(number))
    if kind == b"size":
        return BODY.replace(b"example", b"e" * max(7, number - len(BODY) + 7))
    return BODY


@functools.cache
def answer_of(kind: bytes, number: int) -> bytes:
    body = body_of(kind, number)
    return HEAD % len(body) + body


class Static(asyncio.Protocol):
    """Answers each complete request; of the headers it reads only Content-Length."""

    turns = itertools.count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self._end_of_request()) is not None:
            request, self.data = self.data[:end], self.data[end:]
            project = request.split(b"/", 5)[4]
            if b"-" in project:
                self._answer(*project.split(b" ", 1)[0].split(b"-"))
            else:
                limited = project == b"faulty" and next(self.turns) % 100 == 0
                self.transport.write(LIMITED if limited else ANSWER)

    def _answer(self, kind: bytes, number: bytes) -> None:
        if kind == b"slow":
            asyncio.get_running_loop().call_later(int(number) / 1000, self._answer_late)
        elif kind in {b"list", b"size"} or next(self.turns) % int(number):
            self.transport.write(answer_of(kind, int(number)))
        elif kind == b"busy":
            self.transport.write(BUSY)
        else:
            self.transport.abort()

    def _answer_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)

    def _end_of_request(self) -> int | None:
        head = self.data.find(b"\r\n\r\n")
        if head < 0:
            return None
        _, found, rest = self.data[:head].lower().partition(b"content-length:")
        end = head + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
        return end if len(self.data) >= end else None


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Static, "127.0.0.1", 0, backlog=BACKLOG)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
