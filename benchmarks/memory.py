"""Measure the memory of an import and a download of a large file: the growth of the process's peak.

    python benchmarks/memory.py [--megabytes N]

It fails if one of them takes more than 32 MB: they must not hold the whole file.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

import peaka_async
from peaka_async.models import CsvImportRequest

LIMIT_MB = 32
MB = 1024 * 1024
ROW = b"1,%s\n" % (b"x" * 1021)


async def take(request: web.Request) -> web.Response:
    taken = 0
    async for piece in request.content.iter_any():
        taken += len(piece)
    return web.json_response({"id": "1", "status": "COMPLETED", "result": {"bytes": taken}})


async def give(request: web.Request) -> web.StreamResponse:
    size = int(request.match_info["megabytes"])
    answer = web.StreamResponse(headers={"Content-Length": str(size * MB)})
    await answer.prepare(request)
    for _ in range(size):
        await answer.write(b"x" * MB)
    return answer


async def job(request: web.Request) -> web.Response:
    link = f"http://{request.host}/file/{request.match_info['megabytes']}"
    return web.json_response({"id": "e", "status": "SUCCEEDED", "files": [{"name": "rows.csv", "url": link}]})


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/api/v1/data/projects/p/table/t/import", take)
    app.router.add_get("/api/v1/data/projects/p/exports/{megabytes}", job)
    app.router.add_get("/file/{megabytes}", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def peak() -> float:
    """The peak memory of this process in MB. getrusage is not used: it starts with the parent's size."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


async def rows(megabytes: int) -> AsyncIterator[bytes]:
    yield b"id,name\n"
    for _ in range(megabytes):
        yield ROW * 1024


async def measure(port: int, megabytes: int) -> dict[str, float]:
    grown = {}
    timeout = peaka_async.Timeouts(total=600, attempt=600)
    async with peaka_async.PeakaClient("key", base_url=f"http://127.0.0.1:{port}/api/v1", timeout=timeout) as peaka:
        tables, mapping = peaka.internal_tables, CsvImportRequest.of_columns("id", "name")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            # A small one first: its cost does not depend on the size of the file.
            await tables.import_csv("p", "t", rows(1), mapping)
            await peaka.exports.download("p", "1").save(path)
            before = peak()
            await peaka.exports.download("p", str(megabytes)).save(path)
            grown["download to a file"] = peak() - before
            path.write_bytes(b"id,name\n")
            with path.open("ab") as file:
                for _ in range(megabytes):
                    file.write(ROW * 1024)
            before = peak()
            await tables.import_csv("p", "t", path, mapping)
            grown["import of a file"] = peak() - before
            before = peak()
            await tables.import_csv("p", "t", rows(megabytes), mapping)
            grown["import of pieces"] = peak() - before
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    server = subprocess.Popen(  # noqa: S603 - this file
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline()) if server.stdout else 0
        grown = asyncio.run(measure(port, arguments.megabytes))
    finally:
        server.kill()
        server.wait()
    print(f"Growth of the peak memory with {arguments.megabytes} MB, to stay below {LIMIT_MB} MB")
    for name, growth in grown.items():
        print(f"  {name:20} {growth:6.1f} MB")
    sys.exit(any(growth >= LIMIT_MB for growth in grown.values()))


if __name__ == "__main__":
    main()
