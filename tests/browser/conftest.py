"""A real Chromium, the examples as processes of their own, and the local Peaka that they talk to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from peaka_async.emulator import CodeRefused, Emulator, Grant

ROOT = Path(__file__).parents[2]
SCREENSHOTS = os.environ.get("PEAKA_SCREENSHOTS")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]


@pytest.fixture
async def chromium(require_program):
    """One Chromium; each of its contexts is a person with cookies of their own."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - `nox -s browser` installs it

    path = require_program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


class Person:
    """Somebody with a browser."""

    def __init__(self, name, context, page):
        self.name, self.context, self.page = name, context, page

    async def title(self):
        return await self.page.inner_text("h1")

    async def click(self, button):
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def sign_in(self, origin):
        await self.page.goto(origin)
        await self.page.get_by_label("Name").fill(self.name)
        await self.click("Sign in")
        await self.page.get_by_text(f"Hello {self.name}").wait_for()

    async def connected(self, origin):
        """What the service shows as connected."""
        await self.page.goto(origin)
        return [text for text in await self.page.locator("li").all_inner_texts() if text.endswith("is connected")]

    async def shoot(self, name):
        if SCREENSHOTS:
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.fixture
async def make_person(chromium):
    async def make(name):
        context = await chromium.new_context(viewport={"width": 900, "height": 640})
        context.set_default_timeout(20_000)
        return Person(name, context, await context.new_page())

    return make


class Example:
    """One of the examples, as a process of its own that can be ended and started again."""

    def __init__(self, name, port, log, emulator, options):
        self.name, self.port, self.log, self.options = name, port, log, options
        self.origin = f"http://localhost:{self.port}"
        self.environment = {
            **os.environ,
            "PEAKA_API_KEY": emulator.api_key,
            "PEAKA_BASE_URL": emulator.base_url,
            "PEAKA_PROJECT_ID": emulator.project_id,
            "SESSION_SECRET": "the-secret-of-the-tests",
        }

    async def start(self):
        script = str(ROOT / "examples" / f"connect_{self.name}.py")
        command = [sys.executable, script, "--port", str(self.port), *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)  # noqa: S603, ASYNC220
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(self.origin):
                        return
                if self.process.poll() is not None:
                    break
                await asyncio.sleep(0.05)
        await self.stop()
        pytest.fail(f"the example did not start:\n{self.log.read_text()}")

    async def stop(self):
        self.process.terminate()
        await asyncio.to_thread(self.process.wait)


@pytest.fixture
async def make_example(find_port, tmp_path):
    async with contextlib.AsyncExitStack() as stack:

        async def make(name, emulator, *options):
            example = Example(name, find_port(), tmp_path / f"{name}.log", emulator, options)
            await example.start()
            stack.push_async_callback(example.stop)
            return example

        yield make


@pytest.fixture(params=["aiohttp", "fastapi"])
async def example(request, make_example, emulator):
    return await make_example(request.param, emulator)


@pytest.fixture
async def form_post_emulator():
    async with Emulator(response_mode="form_post") as emulator:
        yield emulator


class MockServer:
    """npm's oauth2-mock-server as what Peaka exchanges codes at."""

    def __init__(self, port):
        self.origin = f"http://127.0.0.1:{port}"
        self.exchanged = []

    def consent_url(self, *, client_id, redirect_uri, scope, state):
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": state,
        }
        return f"{self.origin}/authorize?{urlencode(query)}"

    async def exchange(self, code, *, client_id, client_secret, redirect_uri):
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": client_id,
            "client_secret": client_secret,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.origin}/token", data=form) as got,
        ):
            answer = await got.json()
        self.exchanged.append(code)
        if got.status != 200 or "access_token" not in answer:
            raise CodeRefused(str(answer.get("error")))
        return Grant(answer["access_token"][-16:])


@pytest.fixture
async def mock_server(require_program, find_port):
    program = require_program("oauth2-mock-server")
    server = MockServer(find_port())
    command = [program, "-a", "127.0.0.1", "-p", server.origin.rpartition(":")[2]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:  # noqa: S603, ASYNC220
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"{server.origin}/.well-known/openid-configuration"):
                        break
                await asyncio.sleep(0.05)
        yield server
        process.terminate()


@pytest.fixture
def exchanged(mock_server):
    """The codes that were exchanged."""
    return mock_server.exchanged


@pytest.fixture
async def mock_server_emulator(mock_server):
    async with Emulator(authorization_server=mock_server) as emulator:
        yield emulator


class AttackerSite:
    """A page of another site."""

    def __init__(self):
        self.body = ""

    async def show(self, _):
        page = f"<!doctype html><meta name='referrer' content='no-referrer'><title>Kittens</title>{self.body}"
        return web.Response(text=page, content_type="text/html")


@pytest.fixture
async def attacker_site():
    site, app = AttackerSite(), web.Application()
    app.router.add_get("/", site.show)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://attacker.example:{runner.addresses[0][1]}/"
    # Ports do not count for what a browser calls a site, nor for its cookies.
    site.sibling = f"http://localhost:{runner.addresses[0][1]}/"
    yield site
    await runner.cleanup()
