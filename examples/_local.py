"""The environment of the worker examples: a redis-server and a local Peaka, which stop with the example."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography.fernet import Fernet

from peaka_async.emulator import Emulator

HERE = Path(__file__).parent


def run(*commands: str) -> None:
    """Run the commands, each as `python -m …`, until one of them ends or Ctrl-C is pressed.

    The commands' environment has REDIS_URL, PORT, ENCRYPTION_KEY, PEAKA_API_KEY, PEAKA_BASE_URL and PEAKA_PROJECT_ID.
    PORT is the first argument of the program, or 8000.
    """
    port = sys.argv[1] if len(sys.argv) > 1 else "8000"
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(commands, port))


async def _run(commands: tuple[str, ...], port: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(_redis())
        emulator = await stack.enter_async_context(Emulator())
        environment = {
            **os.environ,
            "REDIS_URL": redis,
            "PORT": port,
            "ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PEAKA_API_KEY": emulator.api_key,
            "PEAKA_BASE_URL": emulator.base_url,
            "PEAKA_PROJECT_ID": emulator.project_id,
        }
        running = [
            await stack.enter_async_context(
                _process(sys.executable, "-m", *each.format(port=port).split(), **environment)
            )
            for each in commands
        ]
        print(f"Open http://localhost:{port}/ and connect a data source. Stop with Ctrl-C.", flush=True)
        await asyncio.wait([asyncio.ensure_future(each.wait()) for each in running], return_when="FIRST_COMPLETED")


@contextlib.asynccontextmanager
async def _process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=HERE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def _redis() -> AsyncIterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("This example needs redis-server: install the package redis-server or redis.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = (
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
            "--loglevel",
            "warning",
        )
        async with _process(*command, **os.environ):
            yield f"redis://127.0.0.1:{port}"
