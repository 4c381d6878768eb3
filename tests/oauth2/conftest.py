"""An emulator, a client, two kinds of store (one on a real Redis), and what a browser keeps and sends."""

from __future__ import annotations

import asyncio
import html
import re
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import attrs
import pytest
from yarl import URL

from peaka_async.oauth2 import ConnectFlow, ConnectRequest, MemoryStore, OwnRedirect, RedisStore
from peaka_async.oauth2 import _flow as flow_module
from peaka_async.oauth2 import _pending as pending
from peaka_async.oauth2 import _records as records

REDIRECT = "https://app.example/connect/return"


@pytest.fixture
async def make_redis(redis_port):
    """Clients of one Redis: one for each replica."""
    redis = pytest.importorskip("redis.asyncio")
    made = []

    def make(**options):
        pool = redis.BlockingConnectionPool(
            host="127.0.0.1", port=redis_port, max_connections=20, timeout=300, **options
        )
        made.append(redis.Redis.from_pool(pool))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def store(request):
    if request.param == "memory":
        return MemoryStore()
    return RedisStore(request.getfixturevalue("make_redis")())


@pytest.fixture
async def make_flow(peaka):
    """ConnectFlow objects: one for each replica."""
    made = []

    def make(store=None, **options):
        made.append(ConnectFlow(options.pop("peaka", peaka), store=store, **options))
        return made[-1]

    yield make
    for flow in made:
        await flow.aclose()


@pytest.fixture
def make_request(emulator):
    def make(via=None, **options):
        via = via or OwnRedirect("app", "s3cret", REDIRECT)
        values = {"project_id": emulator.project_id, "connector": "hubspot", "name": "crm", "via": via}
        return ConnectRequest(**{**values, **options})

    return make


@pytest.fixture
def consent(emulator):
    """The raw query that a flow's consent ends in."""

    async def consent(flow, *, allow=True):
        return urlsplit(await emulator.consent(flow.consent_url, allow=allow)).query

    return consent


@pytest.fixture
def through_peaka():
    """Where Peaka's own callback sends the browser, as a raw query."""

    async def through_peaka(url):
        async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
            return urlsplit(answer.headers["Location"]).query

    return through_peaka


@pytest.fixture
def move_time(monkeypatch):
    """Lets the flow's clock go on."""
    ahead = timedelta(0)

    def later():
        return pending.now() + ahead

    def move(seconds):
        nonlocal ahead
        ahead += timedelta(seconds=seconds)

    monkeypatch.setattr(flow_module, "now", later)
    monkeypatch.setattr(records, "now", later)
    return move


@pytest.fixture
def posted(emulator):
    """How often a code reached Peaka, and how often each was presented to the provider."""

    def posted():
        return (
            sum(request.operation == "connections.oauth2_callback" for request in emulator.requests),
            [code.presented for code in emulator.codes],
        )

    return posted


@attrs.define
class Page:
    status: int
    url: str
    headers: object
    text: str

    @property
    def location(self):
        return self.headers.get("Location")

    @property
    def title(self):
        return html.unescape(re.search("<title>(.*)</title>", self.text)[1])

    def form(self):
        """Where the page's form goes, and with what."""
        action = re.search('<form[^>]* action="([^"]*)"', self.text)
        fields = re.findall('<input type="hidden" name="([^"]*)" value="([^"]*)"', self.text)
        return html.unescape(action[1]) if action else self.url, {n: html.unescape(v) for n, v in fields}


class Browser:
    """Keeps cookies as a browser does, and holds the Lax ones back from a POST of another site."""

    def __init__(self, session, user=None):
        self.session, self.user, self.cookies = session, user, {}
        self.set_cookies = []

    async def open(self, url, method="GET", *, cross_site=False, headers=None, cookie=None, **options):
        site = "cross-site" if cross_site else "same-origin"
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", **(headers or {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        if not (cross_site and method == "POST"):
            cookies = dict(self.cookies)
            if self.user:
                cookies["user"] = self.user
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if cookie is not None:
            headers["Cookie"] = cookie.decode("utf-8", "surrogateescape")
        async with self.session.request(
            method, URL(url, encoded=True), headers=headers, allow_redirects=False, **options
        ) as answer:
            for given in answer.headers.getall("Set-Cookie", []):
                self.set_cookies.append(given)
                name, _, value = given.partition(";")[0].partition("=")
                self.cookies.pop(name, None)
                if "; Max-Age=0;" not in given:
                    self.cookies[name] = value
            return Page(answer.status, url, answer.headers, await answer.text())

    async def follow(self, page):
        return await self.open(str(URL(page.url, encoded=True).join(URL(page.location, encoded=True))))


@pytest.fixture
async def make_browser():
    sessions = []

    def make(user=None):
        sessions.append(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        return Browser(sessions[-1], user)

    yield make
    await asyncio.gather(*(session.close() for session in sessions))


@pytest.fixture
def parameters():
    """The parameters of a URL."""
    return lambda url: dict(parse_qsl(urlsplit(url).query))
