"""The limiters of docs/how-to/share-a-rate-limit.md, unchanged, with a real Redis."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from scripted_server import ScriptedServer

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "share-a-rate-limit.md").read_text()
EXAMPLES = dict(re.findall(r"^## (\S+)\n\n```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
CALLS = 60


PROGRAM = f"""
import asyncio, sys
from peaka_async import Oauth2Callback

async def work(peaka):
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    callbacks = [Oauth2Callback(f"code={{n}}&state=s") for n in range({CALLS})]
    await asyncio.gather(*(peaka.connections.oauth2_callback("p", callback) for callback in callbacks))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


def test_three_libraries_are_shown():
    """The next test runs each of the examples."""
    assert list(EXAMPLES) == ["limits", "pyrate-limiter", "throttled-py"]


@pytest.mark.parametrize("name", EXAMPLES)
async def test_processes_share_the_limit(server, redis_port, name):
    """Two processes with the same example together send no more than the limit allows."""
    environment = {**os.environ, "PEAKA_BASE_URL": server.base_url, "PEAKA_API_KEY": "key"}
    command = [sys.executable, "-c", EXAMPLES[name] + PROGRAM, f"redis://127.0.0.1:{redis_port}"]
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment) for _ in range(2)
    ]
    for process in processes:
        assert await process.stdout.readline() == b"ready\n"
    await asyncio.gather(*(process.communicate(b"\n") for process in processes))

    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.requests) == 2 * CALLS
    # 45 at once and 45 per second; if they did not share the limit, 60 calls of each would take a third of a second.
    assert server.requests[-1].arrived - server.requests[0].arrived > 1
