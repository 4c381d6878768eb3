"""Many calls on one key, from real processes to a real server: python benchmarks/herd.py [NAME …] [--redis PORT].

- eight: 8 processes of 50 calls on a key that allows 50 a second (429, Retry-After: 1). All succeed within 12 seconds.
- fifty: 50 processes of 20 calls on the same key. All succeed.
- shared: eight, with a limiter that the processes share on Redis (--redis PORT). Nearly nothing is refused.
- closed: 100 calls that are sent once, while the port is closed for 10 seconds. All succeed, each is sent once.
- outage: 10,000 calls while everything is answered 500, then 500 calls that succeed. At most 36 retries; the budget
  is full again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from typing import Any

from throttled.asyncio import RedisStore, Throttled

from peaka_async import Connection, Oauth2Callback, PeakaClient, PeakaError, Request
from peaka_async._transport.retry import RetryBudget

ALLOWED = 50
BODY = b'{"id":"6243f42a","name":"n","type":"t"}'


def answer(status: int, body: bytes = BODY, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Server:
    """Answers POSTs as a key's rate limit allows: `limit` requests in any second."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.status = limit, 200
        self.accepted: deque[float] = deque()
        self.served = self.refused = self.failed = 0
        self.bodies: list[bytes] = []
        self.times: list[float] = []

    def reply(self, body: bytes) -> bytes:
        now = time.monotonic()
        self.bodies.append(body)
        if self.status != 200:
            self.failed += 1
            return answer(self.status, b"{}")
        if self.limit is not None:
            while self.accepted and self.accepted[0] <= now - 1:
                self.accepted.popleft()
            if len(self.accepted) >= self.limit:
                self.refused += 1
                return answer(429, b"{}", "Retry-After: 1\r\n")
            self.accepted.append(now)
        self.served += 1
        self.times.append(now)
        return answer(200)

    async def listen(self, port: int = 0) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Exchange(self), "127.0.0.1", port, backlog=4096, reuse_address=True
        )


class Exchange(asyncio.Protocol):
    """A connection: reads whole requests, answers each."""

    def __init__(self, server: Server) -> None:
        self.server, self.data = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, mark, rest = self.data.partition(b"\r\n\r\n")
        if not mark:
            return
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        if len(rest) >= length:
            self.data = rest[length:]
            self.transport.write(self.server.reply(rest[:length]))


class RedisLimiter:
    """throttled-py on Redis, as docs/how-to/share-a-rate-limit.md shows it."""

    def __init__(self, port: int) -> None:
        store = RedisStore(server=f"redis://127.0.0.1:{port}")
        self.gcra = Throttled(quota=f"{ALLOWED - 5}/s burst 5", using="gcra", store=store, timeout=60)

    async def acquire(self, request: Request[object]) -> None:
        while (await self.gcra.limit("peaka")).limited:
            pass

    async def throttled(self, request: Request[object], seconds: float) -> None:
        pass


async def work(port: int, calls: int, redis: int | None) -> dict[str, Any]:
    """One process: all its calls at once; how they ended."""
    limiter = None if redis is None else RedisLimiter(redis)
    async with PeakaClient("key", base_url=f"http://127.0.0.1:{port}/api/v1", limiter=limiter) as peaka:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        outcomes = await asyncio.gather(
            *(
                peaka.connections.oauth2_callback("p", Oauth2Callback(f"code={os.getpid()}-{number}&state=s"))
                for number in range(calls)
            ),
            return_exceptions=True,
        )
    return {
        "succeeded": sum(isinstance(outcome, Connection) for outcome in outcomes),
        "errors": sorted({repr(outcome) for outcome in outcomes if not isinstance(outcome, Connection)})[:3],
    }


async def herd(processes: int, calls: int, redis: int | None = None) -> None:
    """Start the processes, let them begin in the same moment, and count what the server saw."""
    server = Server(ALLOWED)
    listening = await server.listen()
    port = listening.sockets[0].getsockname()[1]
    command = [sys.executable, __file__, "work", str(port), str(calls), str(redis or 0)]
    workers = [
        await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        await worker.stdout.readline()
    results = [json.loads(out) for out, _ in await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))]
    listening.close()
    took = server.times[-1] - server.times[0]
    total = processes * calls
    succeeded = sum(result["succeeded"] for result in results)
    print(
        f"{processes} × {calls}{' with a shared limiter' if redis else ''}: {succeeded} of {total} succeeded in "
        f"{took:.1f} s (ideal {total / ALLOWED:.0f} s), {server.refused} answers of 429, "
        f"{len(set(server.bodies))} different bodies; errors {[e for r in results for e in r['errors']][:3]}"
    )
    seconds = Counter(int(at - server.times[0]) for at in server.times)
    print("  served in each second:", *(seconds[second] for second in range(max(seconds) + 1)))


async def closed(seconds: float = 10.0) -> None:
    """Calls that are sent once, while nobody listens for a while."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server()
    began = time.monotonic()
    async with PeakaClient("key", base_url=f"http://127.0.0.1:{port}/api/v1") as peaka:
        calls = [
            asyncio.create_task(peaka.connections.oauth2_callback("p", Oauth2Callback(f"code={number}&state=s")))
            for number in range(100)
        ]
        await asyncio.sleep(seconds)
        listening = await server.listen(port)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        took = time.monotonic() - began
    listening.close()
    succeeded = sum(isinstance(outcome, Connection) for outcome in outcomes)
    sent = len(server.bodies)
    print(
        f"port closed for {seconds:g} s: {succeeded} of 100 succeeded in {took:.1f} s, {sent} requests, "
        f"{len(set(server.bodies))} different"
    )


async def outage() -> None:
    """Everything fails for everybody, and comes back."""
    server = Server()
    server.status = 500
    listening = await server.listen()
    port = listening.sockets[0].getsockname()[1]
    async with PeakaClient("key", base_url=f"http://127.0.0.1:{port}/api/v1") as peaka:

        async def call() -> bool:
            try:
                await peaka.connections.get("p", "c")
            except PeakaError:
                return False
            return True

        for _ in range(100):
            await asyncio.gather(*(call() for _ in range(100)))
        retries, budget = server.failed - 10_000, peaka._transport.shared.budget
        spent, server.status, successes = budget.tokens, 200, 0
        while budget.tokens < RetryBudget().capacity:
            assert await call()
            successes += 1
    listening.close()
    print(f"outage: {retries} retries for 10,000 calls; {spent} tokens left, full again after {successes} successes")


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        port, calls, redis = map(int, sys.argv[2:5])
        print(json.dumps(asyncio.run(work(port, calls, redis or None))))
        return
    names = ["eight", "fifty", "closed", "outage", "shared"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--redis", type=int, help="the port of a Redis server, for `shared`")
    given = parser.parse_args()
    for name in given.names or names:
        if name == "shared" and given.redis is None:
            print("shared: needs --redis PORT")
            continue
        asyncio.run(
            {
                "eight": lambda: herd(8, 50),
                "fifty": lambda: herd(50, 20),
                "shared": lambda: herd(8, 50, given.redis),
                "closed": closed,
                "outage": outage,
            }[name]()
        )


if __name__ == "__main__":
    main()
