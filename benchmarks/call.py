"""The main job's call, against the same call by hand on aiohttp: CPU time of the client, as a ratio.

Both run in this process, in turns, against one static server in another process. Only the ratio is meant to be read.

    python benchmarks/call.py [--in-flight N ...] [--calls N] [--rounds N] [--loop asyncio|uvloop]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop
from opentelemetry.trace import NoOpTracerProvider

import peaka_async

QUERY = "code=1234&state=xyz&param1=value1&param2=value2"
PROJECT = "mtKDhe1U"
LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}

STEADY_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
}

Call = Callable[[], Awaitable[object]]


async def measure(call: Call, calls: int, in_flight: int) -> float:
    """CPU microseconds (user and system) of one call."""
    numbers = iter(range(calls))

    async def work() -> None:
        for _ in numbers:
            await call()

    gc.collect()
    before = time.process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return (time.process_time() - before) / calls * 1e6


async def compare(port: int, in_flight: int, calls: int, rounds: int) -> dict[str, list[float]]:
    base = f"http://127.0.0.1:{port}/api/v1"
    callback = peaka_async.Oauth2Callback(QUERY)
    connector = aiohttp.TCPConnector(limit=max(100, in_flight))
    async with (
        aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer key"}) as session,
        peaka_async.PeakaClient("key", base_url=base, max_connections=max(100, in_flight)) as peaka,
        peaka_async.PeakaClient(
            "key", base_url=base, max_connections=max(100, in_flight), tracer_provider=NoOpTracerProvider()
        ) as untraced,
    ):

        async def by_hand() -> object:
            url = f"{base}/connections/{PROJECT}/oauth2"
            async with session.post(url, json={"queryParameters": QUERY}) as answer:
                answer.raise_for_status()
                return await answer.json()

        async def ours() -> object:
            return await peaka.connections.oauth2_callback(PROJECT, callback)

        async def ours_untraced() -> object:
            return await untraced.connections.oauth2_callback(PROJECT, callback)

        clients: dict[str, Call] = {
            "aiohttp by hand": by_hand,
            "peaka_async": ours,
            "peaka_async, no-op provider": ours_untraced,
        }
        for call in clients.values():
            await measure(call, calls, in_flight)
        taken: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(rounds):
            for name, call in clients.items():
                taken[name].append(await measure(call, calls, in_flight))
    return taken


def report(taken: dict[str, list[float]]) -> None:
    baseline = taken["aiohttp by hand"]
    for name, times in taken.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(times, baseline, strict=True))
        median, low, high = statistics.median(ratios), ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print(f"  {name:30} {statistics.median(times):8.1f} µs   {median:5.2f} × by hand   ({low:.2f}-{high:.2f})")


def with_steady_memory() -> None:
    """Start again with a C allocator that keeps freed memory.

    By default it gives memory back to the system and asks for it again, or not, by what else is on its heap: the same
    read from a socket then costs 2 µs in one run and 16 µs in the next, whichever client makes it.
    """
    if STEADY_MEMORY.items() <= os.environ.items() or not sys.platform.startswith("linux"):
        return
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **STEADY_MEMORY})  # noqa: S606 - ourselves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 50, 1000])
    parser.add_argument("--calls", type=int, default=2000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    arguments = parser.parse_args()
    with_steady_memory()
    server = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, Path(__file__).with_name("server.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline()) if server.stdout else 0
        print(
            f"CPU of a call; Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {arguments.loop}, "
            f"medians of {arguments.rounds} rounds of {arguments.calls} calls"
        )
        for in_flight in arguments.in_flight:
            print(f"{in_flight} in flight")
            calls = max(arguments.calls, in_flight * 2)
            report(LOOPS[arguments.loop](compare(port, in_flight, calls, arguments.rounds)))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
