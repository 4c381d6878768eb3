"""Many calls at once with random faults, some of them cancelled; a report of their results and of leftovers.

    python tests/storm.py [--calls 100000] [--loop asyncio|uvloop] [--lane direct|session] [--tls]

It fails if a request was sent twice, if a call got another call's answer or another library's exception, or if the
memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import socket
import ssl
import struct
import time
from collections import Counter
from pathlib import Path

import attrs
import uvloop
from misbehaving import answer_of
from scripted_server import CERTIFICATE, HOST

from peaka_async import Oauth2Callback, PeakaClient, PeakaError, RetryPolicy, Timeouts
from peaka_async._transport import pool

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
IN_FLIGHT = 300
CONNECTIONS = 50
CANCELLED = 0.2
FAULTY = 0.3
MAX_GROWTH_MB = 8


@attrs.define
class Report:
    outcomes: Counter[str] = attrs.field(factory=Counter)
    wrong: int = 0
    """The number of calls that got an answer for another call."""
    twice: int = 0
    """The number of requests that arrived more than once."""
    foreign: list[BaseException] = attrs.field(factory=list)
    complaints: list[object] = attrs.field(factory=list)
    """The errors that the event loop reported."""
    most_open: int = 0
    left: tuple[int, ...] = ()
    """The remaining tasks, time limits and connections of the server."""
    growth: float = 0.0
    """The growth of the process in its second half, in megabytes."""

    def check(self) -> None:
        assert (self.wrong, self.twice, self.foreign, self.complaints, self.left) == (0, 0, [], [], (0, 0, 0)), self
        assert self.growth < MAX_GROWTH_MB, self


class StormServer:
    def __init__(self, calls: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seen = bytearray(calls)
        self.open: set[StormConnection] = set()
        self.most_open = 0


class StormConnection(asyncio.Protocol):
    def __init__(self, server: StormServer) -> None:
        self.server = server
        self.data = b""
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        server = self.server
        server.open.add(self)
        server.most_open = max(server.most_open, len(server.open))
        if server.chance.random() < 0.01:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self.server.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if self.is_over or not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.data = body[length:]
        code = json.loads(body)["queryParameters"]
        self.server.seen[int(code)] += 1
        chance = self.server.chance
        if chance.random() < FAULTY:
            getattr(self, chance.choice(FAULTS))(answer_of(code))
        else:
            self.transport.write(answer_of(code))

    # ── What can go wrong ────────────────────────────────────────────────────────────────────────────────────────────

    def close(self, _: bytes = b"") -> None:
        self.is_over = True
        self.transport.close()

    def reset(self, _: bytes = b"") -> None:
        self.is_over = True
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def hang(self, _: bytes) -> None:
        self.is_over = True

    def cut(self, answer: bytes) -> None:
        self.transport.write(answer[: self.server.chance.randrange(len(answer))])
        self.server.chance.choice([self.close, self.reset])()

    def garbage(self, _: bytes) -> None:
        self.transport.write(b"220 mail.example ESMTP\r\n")
        self.hang(b"")

    def refuse(self, _: bytes) -> None:
        status = self.server.chance.choice([400, 404, 500, 503])
        self.transport.write(b'HTTP/1.1 %d No\r\nContent-Length: 16\r\n\r\n{"message":"no"}' % status)

    def delay(self, answer: bytes) -> None:
        asyncio.get_running_loop().call_later(self.server.chance.random() * 0.02, self.late, answer)

    def late(self, answer: bytes) -> None:
        if not self.is_over:
            self.transport.write(answer)

    def drip(self, answer: bytes) -> None:
        at = self.server.chance.randrange(1, len(answer))
        self.transport.write(answer[:at])
        self.delay(answer[at:])

    def answer_and_close(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.close()

    def answer_and_more(self, answer: bytes) -> None:
        self.transport.write(answer + self.out_of_turn())

    def answer_and_speak(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.delay(self.out_of_turn())

    def out_of_turn(self) -> bytes:
        """Send an unexpected answer, complete or in part, or a timeout."""
        other = answer_of("other")
        timeout = b"HTTP/1.1 408 Timeout\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        return self.server.chance.choice([other, other[:9], timeout, b"H", b"\r\n", other + other])


FAULTS = [
    "close", "reset", "hang", "cut", "garbage", "refuse", "refuse", "delay", "delay", "drip", "drip",
    "answer_and_close", "answer_and_more",
]  # fmt: skip


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def storm(calls: int, *, seed: int = 1, tls: bool = False) -> Report:
    """Make this many calls, 300 at a time on 50 connections."""
    report, server = Report(), StormServer(calls, seed)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: report.complaints.append(context))
    listener = await loop.create_server(lambda: StormConnection(server), HOST, 0, ssl=serving(tls), backlog=1000)
    before = asyncio.all_tasks()
    async with PeakaClient(
        "key",
        base_url=f"{'https' if tls else 'http'}://{HOST}:{listener.sockets[0].getsockname()[1]}/api/v1",
        max_connections=CONNECTIONS,
        timeout=Timeouts(total=120, attempt=2),
        retry=RetryPolicy(backoff=0.001, unsent_seconds=60),
        ssl=ssl.create_default_context(cafile=CERTIFICATE) if tls else None,
    ) as peaka:
        callers = Callers(peaka, report, seed, calls)
        await asyncio.gather(*(callers.work() for _ in range(IN_FLIGHT)))
        gc.collect()
        report.growth += resident_mb()
        limits = len(peaka._transport.shared.pools.get(loop).deadlines._limits)
    for _ in range(200):
        if not server.open and asyncio.all_tasks() == before:
            break
        await asyncio.sleep(0.01)
    report.left = (len(asyncio.all_tasks() - before), limits, len(server.open))
    report.most_open = server.most_open
    report.twice = sum(count > 1 for count in server.seen)
    listener.close()
    return report


def serving(tls: bool) -> ssl.SSLContext | None:  # noqa: FBT001
    if not tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


class Callers:
    """Callers that make calls one after another, and cancel some of them."""

    def __init__(self, peaka: PeakaClient, report: Report, seed: int, calls: int) -> None:
        self.peaka = peaka
        self.report = report
        self.chance = random.Random(seed)
        self.numbers = iter(range(calls))
        self.half = calls // 2

    async def work(self) -> None:
        for number in self.numbers:
            if number == self.half:
                gc.collect()
                self.report.growth = -resident_mb()
            outcome = await self.call(str(number))
            self.report.outcomes[outcome] += 1

    async def call(self, code: str) -> str:
        """Return how a call ended."""
        task = asyncio.create_task(self.peaka.connections.oauth2_callback("p", Oauth2Callback(code)))
        if self.chance.random() < CANCELLED:
            asyncio.get_running_loop().call_later(self.chance.random() * 0.05, task.cancel)
        try:
            self.report.wrong += (await task).id != code
        except asyncio.CancelledError:
            return "cancelled"
        except PeakaError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.report.foreign.append(error)
            return "foreign"
        return "answer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument("--lane", choices=["direct", "session"], default="direct")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    arguments = parser.parse_args()
    if arguments.lane == "session":
        pool.DirectLane = None
    began = time.monotonic()
    report = LOOPS[arguments.loop](storm(arguments.calls, seed=arguments.seed, tls=arguments.tls))
    print(f"{arguments} took {time.monotonic() - began:.0f} s: {report}")  # noqa: T201 - a command talks
    report.check()


if __name__ == "__main__":
    main()
