"""An emulator on a real socket, and a plain HTTP client in front of it."""

from __future__ import annotations

import json

import aiohttp
import pytest
from digest import document_path, stored
from yarl import URL

from peaka_async.emulator import Emulator
from peaka_async.endpoints._waiting import DEFAULT_WAITING

REDIRECT = "https://app.example/oauth2/mycallback"


class Api:
    """Calls the emulator without the SDK; an answer is its status and its JSON body."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session, self.emulator = session, emulator

    async def call(self, method, path, *, key=None, **options):
        headers = {"Authorization": f"Bearer {key or self.emulator.api_key}", **options.pop("headers", {})}
        url = URL(self.emulator.base_url + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as answer:
            return answer.status, await answer.json() if await answer.read() else None

    async def on_connections(self, method, path="", **options):
        return await self.call(method, f"/connections/{self.emulator.project_id}{path}", **options)

    async def made(self):
        """The connections that are listed, those that the emulator began with excepted."""
        status, listed = await self.on_connections("GET")
        assert status == 200
        return [each for each in listed if each["id"] not in self.emulator.state.seeded]

    async def begin(self, credential="own redirect", *, kind="hubspot", **options):
        """Create a connection; unless told otherwise one whose redirect its owner takes."""
        body = {"name": "crm", "type": kind, **options}
        if credential == "own redirect":
            credential = {"clientId": "app", "clientSecret": "hush", "redirectUrl": REDIRECT}
        if credential is not None:
            body["credential"] = credential
        status, made = await self.on_connections("POST", json=body)
        assert status == 200
        return made

    async def post_callback(self, query):
        return await self.on_connections("POST", "/oauth2", json={"queryParameters": query})

    async def follow(self, url):
        """The URL to which a browser is redirected if it opens this URL."""
        async with self.session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            return answer.headers["Location"]


@pytest.fixture
async def api(emulator):
    async with aiohttp.ClientSession() as session:
        yield Api(session, emulator)


@pytest.fixture
def make_api():
    """An Api for an emulator that a test made itself."""
    return Api


@pytest.fixture(scope="session")
def published():
    """The published document; if it is not there, its digest, which has the same schemas."""
    path = document_path()
    return json.loads(path.read_text(encoding="utf-8")) if path else stored()


@pytest.fixture
def polled_often():
    """Waits poll every few milliseconds, as the emulator's work takes no longer."""
    interval = DEFAULT_WAITING.interval
    object.__setattr__(DEFAULT_WAITING, "interval", 0.02)
    yield
    object.__setattr__(DEFAULT_WAITING, "interval", interval)
