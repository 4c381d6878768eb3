"""The worker examples, as a person runs them: one command, and a browser that connects."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def run_example(find_port, require_program, tmp_path):
    """Runs an example until the test ends; gives its address and its log."""
    require_program("redis-server")
    running = []

    async def run(name):
        port, log = find_port(), tmp_path / f"{name}.log"
        with log.open("w") as output:
            running.append(
                subprocess.Popen(  # noqa: ASYNC220, S603
                    [sys.executable, str(EXAMPLES / f"{name}.py"), str(port)], stdout=output, stderr=subprocess.STDOUT
                )
            )
        return f"http://localhost:{port}", log

    yield run
    for process in running:
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 30) == 0


async def opened(browser, url, **options):
    """Get a page, when the service has started."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with browser.get(url, **options) as answer:
                    return await answer.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["worker_celery", "worker_taskiq"])
async def test_a_person_connects(run_example, name):
    """The button leads to the page that says Connected; the worker has saved it, and no log has the code."""
    address, log = await run_example(name)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        assert "<button>Connect</button>" in await opened(browser, address)
        async with browser.post(f"{address}/connect") as consent:
            action = re.search('action="([^"]+)"', await consent.text())[1].replace("&amp;", "&")
            decide = consent.url.origin().join(type(consent.url)(action, encoded=True))
        async with browser.post(decide, data={"decision": "allow"}, allow_redirects=False) as decided:
            location = decided.headers["Location"]
        page = await opened(browser, type(decide)(location, encoded=True))
        async with asyncio.timeout(60):
            while "Connected" not in page:
                assert "Not connected" not in page
                url = re.search(r"/flows/[\w-]+", log.read_text())
                await asyncio.sleep(0.2)
                page = await opened(browser, f"{address}{url[0]}") if url else page

    assert "saved: " in log.read_text()
    code = re.search("code=([^&]+)", location)[1]
    assert code not in log.read_text()
