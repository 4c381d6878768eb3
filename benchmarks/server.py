"""A static answer server, in a process of its own: every request gets the same Connection."""

from __future__ import annotations

import asyncio
import sys

import uvloop

BODY = b'{"id":"6243f42a-42d0-4821-a90f-763cda6cda50","name":"exampleOauth2Connection","type":"google_analytics"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Static(asyncio.Protocol):
    """Answers each complete request; it understands Content-Length and nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self._end_of_request()) is not None:
            self.data = self.data[end:]
            self.transport.write(ANSWER)

    def _end_of_request(self) -> int | None:
        head = self.data.find(b"\r\n\r\n")
        if head < 0:
            return None
        _, found, rest = self.data[:head].lower().partition(b"content-length:")
        end = head + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
        return end if len(self.data) >= end else None


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Static, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
