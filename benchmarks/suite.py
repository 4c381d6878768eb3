"""The full comparison: all clients, with 1 to 10,000 calls in flight, in one run.

    python benchmarks/suite.py [--quick] [--document PATH]

It writes `results.json`; `report.py` makes the report and the plots from it. The clients take turns in each round, so
that other load on the machine affects all of them, and each ratio is to bare aiohttp in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.util
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop
from peers import BARE, CERTIFICATE, GENERATED, IN_RUST, OURS, PEERS, PYTHON_CLIENT, WHOLE, GenerationError, Job, Peer

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
DOCUMENT = HERE.parents[1] / "shared" / "api" / "peaka-openapi.json"

LOOPS: Mapping[str, Callable[..., Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}
LEVELS = (1, 50, 1_000, 10_000)
TLS_LEVELS = (1, 50, 1_000)
MAX_CONNECTIONS = 1_000
ON_HTTPX = frozenset({"httpx", PYTHON_CLIENT})
MAX_ON_HTTPX = 1
WITHOUT_HTTPX = {name: peer for name, peer in PEERS.items() if name not in ON_HTTPX}
LIST_SIZES = (10, 100, 1_000, 10_000, 100_000)
DISTRIBUTIONS = ("aiohttp", "httpx", "attrs", "cattrs", "tenacity", "opentelemetry-sdk", "orjson", "uvloop")

Results = dict[str, Any]

STEADY_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
}


def with_steady_memory() -> None:
    """Start again with a C allocator that keeps freed memory.

    By default the allocator returns memory to the system and requests it again, depending on the rest of its heap. Then
    the same read from a socket costs 2 µs in one run and 16 µs in the next, with any client.
    """
    if STEADY_MEMORY.items() <= os.environ.items() or not sys.platform.startswith("linux"):
        return
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **STEADY_MEMORY})  # noqa: S606 - ourselves


# ── Servers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def answering_server() -> Iterator[str]:
    """Run `server.py` in a separate process, and give its base URL."""
    process = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline()) if process.stdout else 0}/api/v1"
    finally:
        process.kill()
        process.wait()


NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  ssl_certificate {certificate}; ssl_certificate_key {certificate}; ssl_protocols TLSv1.3;
  server {{ listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls_port} ssl backlog=4096;
    location / {{ default_type application/json; return 200 '{body}'; }} }}
}}
"""


@contextlib.contextmanager
def static_server() -> Iterator[tuple[str, str, str | None]]:
    """Run a server, and give its name and its base URLs without and with TLS. Without nginx there is no TLS."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        with answering_server() as base:
            yield "server.py on uvloop", base, None
        return
    with tempfile.TemporaryDirectory() as folder:
        port, tls_port = _free_ports()
        configuration = Path(folder) / "nginx.conf"
        body = '{"id":"6243f42a-42d0-4821-a90f-763cda6cda50","name":"example","type":"google_analytics"}'
        text = NGINX.format(folder=folder, port=port, tls_port=tls_port, certificate=CERTIFICATE, body=body)
        configuration.write_text(text)
        process = subprocess.Popen([nginx, "-c", configuration])  # noqa: S603
        try:
            _await_port(port)
            yield "nginx", f"http://127.0.0.1:{port}/api/v1", f"https://127.0.0.1:{tls_port}/api/v1"
        finally:
            process.terminate()
            process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _await_port(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)


# ── Measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def measured(job: Job, project: str, calls: int, in_flight: int) -> dict[str, float]:
    """Measure CPU and latency of calls, with this many in flight; times are in microseconds."""
    numbers = iter(range(calls))
    latencies: list[float] = []
    failures = 0

    async def work() -> None:
        nonlocal failures
        for _ in numbers:
            began = time.perf_counter()
            try:
                await job(project)
            except Exception:  # noqa: BLE001 - any exception is a failed call
                failures += 1
            latencies.append(time.perf_counter() - began)

    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    latencies.sort()
    return {
        "cpu": cpu / calls * 1e6,
        "rate": calls / wall,
        "p50": latencies[len(latencies) // 2] * 1e6,
        "p99": latencies[int(len(latencies) * 0.99)] * 1e6,
        "p999": latencies[int(len(latencies) * 0.999)] * 1e6,
        "failed": failures / calls,
    }


async def rounds_of(
    peers: Mapping[str, Peer], base: str, project: str, in_flight: int, calls: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Measure each client in each round; the clients take turns."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    async with contextlib.AsyncExitStack() as stack:
        connections = min(max(in_flight, 1), MAX_CONNECTIONS)
        jobs = {name: await stack.enter_async_context(peer(base, connections)) for name, peer in peers.items()}
        for job in jobs.values():
            await measured(job, project, calls // 2 + in_flight, in_flight)
        for number in range(rounds):
            # Each client begins a round in turn, because the previous client can leave work behind.
            names = [*jobs][number % len(jobs) :] + [*jobs][: number % len(jobs)]
            for name in names:
                taken[name].append(await measured(jobs[name], project, calls, in_flight))
    return taken


def summary(taken: Mapping[str, list[dict[str, float]]]) -> Results:
    """Medians and quartiles, and the ratios to bare aiohttp in the same round."""
    baseline = taken[BARE]
    found: Results = {}
    for name, rounds in taken.items():
        found[name] = {}
        for measure in rounds[0]:
            values = [each[measure] for each in rounds]
            found[name][measure] = _spread(values)
            if all(each[measure] for each in baseline):
                ratios = [each[measure] / bare[measure] for each, bare in zip(rounds, baseline, strict=True)]
                found[name][f"{measure}_ratio"] = _spread(ratios)
    return found


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "low": ordered[len(ordered) // 4],
        "high": ordered[-1 - len(ordered) // 4],
    }


def sweep(
    peers: Mapping[str, Peer], base: str, loop: str, rounds: int, levels: tuple[int, ...], *, least: int = 1_000
) -> Results:
    """Measure every client at every number of calls in flight, with at least this many calls per round."""
    found: Results = {}
    for in_flight in levels:
        # httpx searches its pool for each call: with many in flight, a call takes milliseconds and a run takes hours.
        some = {name: peer for name, peer in peers.items() if name not in ON_HTTPX or in_flight <= MAX_ON_HTTPX}
        calls = max(least, in_flight * 2)
        found[str(in_flight)] = summary(LOOPS[loop](rounds_of(some, base, "p", in_flight, calls, rounds)))
        _say(f"{loop}, {in_flight} in flight", found[str(in_flight)])
    return found


def _say(what: str, found: Results) -> None:
    print(what)
    for name, measures in found.items():
        ratio = measures["cpu_ratio"]
        print(f"  {name:36} {measures['cpu']['median']:9.1f} µs  {ratio['median']:6.2f} × {BARE}", flush=True)


# ── In processes of their own: memory, cold start, large answers ─────────────────────────────────────────────────────


def child(part: str, *arguments: str) -> float:
    """Run a measurement in a new process and return its number."""
    command = [sys.executable, str(HERE / "suite.py"), "--child", part, *arguments]
    usual = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=usual)  # noqa: S603
    return float(done.stdout.split()[-1])


def peak_kb() -> float:
    """The peak memory of this process. getrusage is not used: it starts with the parent's size."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0])


async def memory_in_flight(name: str, base: str, in_flight: int) -> float:
    """The memory of a call in flight in kilobytes: the growth of the peak while all calls wait for their answers."""
    async with PEERS[name](base, in_flight) as job:
        await job("p")
        before = peak_kb()
        await asyncio.gather(*(job("slow-2000") for _ in range(in_flight)))
        return (peak_kb() - before) / in_flight


COLD = {
    BARE: """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(headers={{"Authorization": "Bearer key"}}) as session:
        async with session.post("{base}/connections/p/oauth2", json={{"queryParameters": "code=1"}}) as answer:
            answer.raise_for_status()
            await answer.json()
asyncio.run(main())
""",
    WHOLE: """
import aiohttp, asyncio, attrs, cattrs, tenacity
from opentelemetry import trace
async def main():
    converter = cattrs.Converter()
    async with aiohttp.ClientSession(headers={{"Authorization": "Bearer key"}}) as session:
        async with session.post("{base}/connections/p/oauth2", json={{"queryParameters": "code=1"}}) as answer:
            answer.raise_for_status()
            converter.structure(await answer.json(), dict)
asyncio.run(main())
""",
    "httpx": """
import httpx, asyncio
async def main():
    async with httpx.AsyncClient(headers={{"Authorization": "Bearer key"}}) as client:
        answer = await client.post("{base}/connections/p/oauth2", json={{"queryParameters": "code=1"}})
        answer.raise_for_status().json()
asyncio.run(main())
""",
    OURS: """
import peaka_async, asyncio
async def main():
    async with peaka_async.PeakaClient("key", base_url="{base}") as peaka:
        await peaka.connections.oauth2_callback("p", peaka_async.Oauth2Callback("code=1"))
asyncio.run(main())
""",
}


def cold_start(base: str, rounds: int) -> Results:
    """The CPU time in milliseconds of a program that makes one call: interpreter, import, client and call."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in COLD}
    for _ in range(rounds):
        for name, program in COLD.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", program.format(base=base)], check=True)  # noqa: S603
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            taken[name].append({"cpu": cpu * 1e3})
    return summary(taken)


async def list_cost(base: str, size: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """The CPU time in microseconds of a list of connections: as JSON, and as models."""
    import aiohttp  # noqa: PLC0415 - only this part needs them
    import cattrs  # noqa: PLC0415
    import orjson  # noqa: PLC0415

    import peaka_async  # noqa: PLC0415

    converter = cattrs.Converter()
    kind = peaka_async.Connection
    taken: dict[str, list[dict[str, float]]] = {}
    timeout = peaka_async.Timeouts(total=120, attempt=120)
    async with (
        aiohttp.ClientSession() as session,
        peaka_async.PeakaClient("key", base_url=base, timeout=timeout) as peaka,
    ):

        async def read(decode: Callable[[bytes], object]) -> object:
            async with session.get(f"{base}/connections/list-{size}") as answer:
                return decode(await answer.read())

        def by_hand(body: bytes) -> object:
            get = dict.get
            return [
                kind(get(each, "id"), get(each, "name"), get(each, "type"), get(each, "url"))
                for each in orjson.loads(body)
            ]

        jobs: dict[str, Callable[[], Any]] = {
            BARE: lambda: read(json.loads),
            "aiohttp + orjson, models by hand": lambda: read(by_hand),
            "aiohttp + json + cattrs": lambda: read(lambda body: converter.structure(json.loads(body), list[kind])),
            OURS: lambda: peaka.connections.list(f"list-{size}"),
        }
        repeats = max(1, 2_000 // size)
        for number in range(rounds + 1):
            for name, job in jobs.items():
                gc.collect()
                cpu = time.process_time()
                for _ in range(repeats):
                    await job()
                if number:
                    taken.setdefault(name, []).append({"cpu": (time.process_time() - cpu) / repeats * 1e6})
    return taken


# ── All of it ────────────────────────────────────────────────────────────────────────────────────────────────────────


def generated(document: Path, folder: Path) -> tuple[dict[str, Peer], dict[str, str]]:
    """The generated clients, and the reasons why others could not be generated."""
    made: dict[str, Peer] = {}
    skipped: dict[str, str] = {}
    for name, make in GENERATED.items():
        try:
            if not document.exists():
                msg = f"there is no document at {document.name}"
                raise GenerationError(msg)  # noqa: TRY301 - one place says why
            made[name] = make(document, folder / name.split()[0])
        except (GenerationError, ImportError) as error:
            skipped[name] = str(error)
            print(f"skipped: {name}: {error}")
    return made, skipped


def in_rust() -> tuple[dict[str, Peer], dict[str, str]]:
    """The installed clients in Rust, and the reasons why others are left out."""
    missing = {name: f"{name} is not installed" for name in IN_RUST if importlib.util.find_spec(name) is None}
    for reason in missing.values():
        print(f"skipped: {reason}")
    return {name: peer for name, peer in IN_RUST.items() if name not in missing}, missing


def machine() -> dict[str, str]:
    """The machine and the versions."""
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": f"{model or platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in DISTRIBUTIONS},
    }


def run(document: Path, *, quick: bool) -> Results:
    rounds = 3 if quick else 7
    levels = LEVELS[:3] if quick else LEVELS
    found: Results = {"machine": machine(), "quick": quick, "rounds": rounds, "max_connections": MAX_CONNECTIONS}
    with tempfile.TemporaryDirectory() as folder, static_server() as (kind, static, tls), answering_server() as base:
        made, not_made = generated(document, Path(folder))
        rust, no_rust = in_rust()
        found["skipped"] = {**not_made, **no_rust}
        peers = {**PEERS, **rust, **made}
        # The garbage collector ignores the objects that the clients have loaded so far, in all rounds.
        gc.collect()
        gc.freeze()
        found["server"] = kind
        found["sweep"] = {loop: sweep(peers, static, loop, rounds, levels) for loop in LOOPS}
        if tls is not None:
            found["tls"] = {loop: sweep(peers, tls, loop, rounds, TLS_LEVELS) for loop in LOOPS}
        found["slow"] = summary(asyncio.run(rounds_of(WITHOUT_HTTPX, base, "slow-50", 1_000, 4_000, rounds)))
        _say("1,000 in flight, answers after 50 ms", found["slow"])
        found["faulty"] = summary(asyncio.run(rounds_of(WITHOUT_HTTPX, base, "faulty", 100, 4_000, rounds)))
        _say("100 in flight, 1 % of the answers are 429", found["faulty"])
        found["lists"] = {
            str(size): summary(asyncio.run(list_cost(base, size, rounds))) for size in LIST_SIZES[: 4 if quick else 5]
        }
        for size, each in found["lists"].items():
            _say(f"list of {size}", each)
        found["cold"] = cold_start(static, rounds)
        _say("cold start (ms, not µs)", found["cold"])
        found["memory"] = {}
        for name in WITHOUT_HTTPX:
            taken = [child("memory", name, base, "1000") for _ in range(3)]
            found["memory"][name] = statistics.median(taken)
            print(f"  {name:36} {found['memory'][name]:6.1f} kB for each call in flight", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most 1,000 calls in flight")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the API's document, to generate clients from")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65_536)), hard))
    if arguments.child:
        _, name, base, in_flight = arguments.child
        print(asyncio.run(memory_in_flight(name, base, int(in_flight))))
        return
    with_steady_memory()
    found = run(arguments.document, quick=arguments.quick)
    RESULTS.write_text(json.dumps(found, indent=1))
    print(f"written: {RESULTS.name}; now run report.py")


if __name__ == "__main__":
    main()
