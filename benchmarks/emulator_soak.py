"""1,000 calls a second against the emulator for a minute: errors, latency and memory.

    python benchmarks/emulator_soak.py [--seconds 60] [--rate 1000]

The emulator runs in a process of its own. One call in a hundred runs SQL; the others read, write and delete. It fails
if a call fails, if the rate is not reached, or if memory grows after the first third.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from peaka_async import PeakaClient, RetryPolicy
from peaka_async.models import QueryExecuteRequestStatement, QueryRequest, SearchRequest

IN_FLIGHT = 50
MAX_GROWTH_MIB = 20
SQL_SHARE = 100


class Soak:
    """Keeps the pace, and counts."""

    def __init__(self, peaka: PeakaClient, project_id: str, rate: float, seconds: float) -> None:
        self.peaka, self.project, self.rate, self.seconds = peaka, project_id, rate, seconds
        self.latencies: list[float] = []
        self.errors: list[str] = []
        self.slots = asyncio.Semaphore(IN_FLIGHT)

    async def run(self) -> float:
        """Make the calls; the seconds that they took."""
        calls = itertools.cycle(self.calls())
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(self.rate * self.seconds)):
                ahead = number / self.rate - (time.monotonic() - began)
                if ahead > 0:
                    await asyncio.sleep(ahead)
                await self.slots.acquire()
                tasks.create_task(self.one(next(calls)))
        return time.monotonic() - began

    async def one(self, call: Callable[[], Awaitable[object]]) -> None:
        began = time.monotonic()
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - what fails is counted
            self.errors.append(repr(error)[:200])
        finally:
            self.latencies.append(time.monotonic() - began)
            self.slots.release()

    def calls(self) -> list[Callable[[], Awaitable[object]]]:
        peaka, project = self.peaka, self.project
        statement = QueryExecuteRequestStatement("SELECT COUNT(*) FROM stripe.payment.charges WHERE refunded")
        light: list[Callable[[], Awaitable[object]]] = [
            lambda: peaka.catalogs.list(project),
            lambda: peaka.connections.list(project),
            lambda: peaka.queries.list(project),
            lambda: peaka.cache.list_statuses(project),
            lambda: peaka.internal_tables.list(project),
            lambda: peaka.catalogs.search(project, SearchRequest(query="charges", limit=5)),
            peaka.info,
        ]
        mixed = [light[number % len(light)] for number in range(SQL_SHARE - 2)]
        return [*mixed, lambda: peaka.queries.execute(project, statement), self.make_and_delete]

    async def make_and_delete(self) -> None:
        query = await self.peaka.queries.create(self.project, QueryRequest(display_name="Q", input_query="SELECT 1"))
        await self.peaka.queries.delete(self.project, str(query.id))


def resident_mib(pid: int) -> float:
    """The memory that a process holds."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024  # type: ignore[index]


async def watch(pid: int, samples: list[float]) -> None:
    while True:
        samples.append(await asyncio.to_thread(resident_mib, pid))
        await asyncio.sleep(1)


async def start() -> tuple[asyncio.subprocess.Process, str, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "peaka_async.emulator", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().split()[-1] for _ in range(4)]
    return process, lines[0], lines[1], lines[3]


async def main(seconds: float, rate: float) -> int:
    process, base_url, key, project = await start()
    samples: list[float] = []
    watching = asyncio.create_task(watch(process.pid, samples))
    try:
        async with PeakaClient(key, base_url=base_url, retry=RetryPolicy(attempts=1)) as peaka:
            soak = Soak(peaka, project, rate, seconds)
            took = await soak.run()
    finally:
        watching.cancel()
        process.terminate()
        await process.wait()
    third = len(samples) // 3
    growth = statistics.median(samples[-third:]) - statistics.median(samples[third : 2 * third])
    reached = len(soak.latencies) / took
    ordered = sorted(soak.latencies)
    print(f"{len(ordered)} calls in {took:.1f} s: {reached:.0f} a second, {len(soak.errors)} errors")
    median, slow = ordered[len(ordered) // 2] * 1000, ordered[-len(ordered) // 100] * 1000
    print(f"latency: median {median:.1f} ms, 99 % {slow:.1f} ms")
    print(f"memory of the emulator: {samples[0]:.0f} → {samples[-1]:.0f} MiB, {growth:+.1f} MiB since the second third")
    for error in soak.errors[:5]:
        print(f"  {error}")
    return int(bool(soak.errors) or reached < 0.95 * rate or growth > MAX_GROWTH_MIB)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1000)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.seconds, arguments.rate)))
