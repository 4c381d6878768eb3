"""The handlers on real sockets: aiohttp's routes, and the ASGI application alone and in three frameworks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from peaka_async import ConfigurationError, PeakaClient, RetryPolicy, Timeouts
from peaka_async.emulator import Emulator, Fault, Moment
from peaka_async.oauth2 import (
    ConnectFlow,
    ConnectRequest,
    ConnectWeb,
    ForwardedRedirect,
    MemoryStore,
    OwnApp,
    OwnRedirect,
    PeakaApp,
    PendingFlow,
    RedisStore,
    protect_access_logs,
)
from peaka_async.oauth2 import _return as return_module
from peaka_async.oauth2._incoming import Incoming
from peaka_async.oauth2.aiohttp_web import connect_routes
from peaka_async.oauth2.asgi import ConnectApp, _incoming

SECRET = "a-secret-of-the-tests"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def cookie_of(header, name):
    return dict(pair.strip().partition("=")[::2] for pair in header.split(";")).get(name)


async def user_of_aiohttp(request):
    return cookie_of(request.headers.get("Cookie", ""), "user")


async def user_of_asgi(request):
    headers = dict(request.scope["headers"])
    return cookie_of(headers.get(b"cookie", b"").decode(), "user")


class Service:
    """An application of a partner, on a port of its own."""

    def __init__(self, kind, peaka, project, **options):
        self.kind, self.project = kind, project
        self.variant, self.return_to = "own", None
        self.stored = []
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        names = {"page", "session_ref", "home", "begin_origins", "begin_by_get", "check_redirect_url"}
        names |= {"accept_unchecked_consent", "trust_traceparent"}
        self.options = {"accept_unchecked_consent": True}
        self.options |= {name: options.pop(name) for name in names & options.keys()}
        self.fails = set()
        self.flow = ConnectFlow(peaka, on_connected=self.store, **options)

    async def store(self, flow, connection):
        self.stored.append((flow.remember["tenant"], connection.id))

    def url(self, action):
        return f"{self.origin}/connect/{action}"

    async def connect_request(self, _):
        if "connect_request" in self.fails:
            raise RuntimeError("hush")
        variants = {
            "own": OwnRedirect("app", "s3cret", self.url("return")),
            "peaka": PeakaApp(self.url("return")),
            "own app": OwnApp("app", "s3cret", self.url("return")),
            "forward": ForwardedRedirect("app", "s3cret", self.url("forward"), self.url("return")),
        }
        if self.variant not in variants:
            return None
        return ConnectRequest(
            project_id=self.project,
            connector="hubspot",
            name="C & <R>M",
            via=variants[self.variant],
            remember={"tenant": "7"},
            return_to=self.return_to,
        )

    def user_ref(self, known):
        async def user_ref(request):
            return await (failing if "user_ref" in self.fails else known)(request)

        return user_ref

    def connect(self, user_ref):
        return ConnectWeb(
            flow=self.flow,
            user_ref=self.user_ref(user_ref),
            connect_request=self.connect_request,
            secret=SECRET,
            **self.options,
        )

    @contextlib.asynccontextmanager
    async def running(self):
        with contextlib.closing(self.socket):
            async with self.flow, self.serving():
                yield self

    @contextlib.asynccontextmanager
    async def serving(self):
        if self.kind == "aiohttp":
            app = web.Application()
            app.add_routes(connect_routes(self.connect(user_of_aiohttp)))
            runner = web.AppRunner(app)
            await runner.setup()
            await web.SockSite(runner, self.socket).start()
            yield
            await runner.cleanup()
            return
        uvicorn = pytest.importorskip("uvicorn")
        app = self.asgi(ConnectApp(self.connect(user_of_asgi)))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[self.socket]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield
        server.should_exit = True
        await task

    def asgi(self, app):
        if self.kind == "starlette":
            routing = pytest.importorskip("starlette.routing")
            applications = pytest.importorskip("starlette.applications")
            return applications.Starlette(routes=[routing.Mount("/connect", app=app)])
        if self.kind == "fastapi":
            fastapi = pytest.importorskip("fastapi").FastAPI()
            fastapi.mount("/connect", app)
            return fastapi
        if self.kind == "litestar":
            litestar = pytest.importorskip("litestar")
            return litestar.Litestar(
                route_handlers=[litestar.asgi("/connect", is_mount=True, copy_scope=True)(_function(app))]
            )
        return app


def _function(app):
    async def connect(scope: dict, receive: object, send: object) -> None:
        await app(scope, receive, send)

    connect.__annotations__ = litestar_annotations()
    return connect


def litestar_annotations():
    types = pytest.importorskip("litestar.types")
    return {"scope": types.Scope, "receive": types.Receive, "send": types.Send, "return": None}


KINDS = ["aiohttp", "asgi", "starlette", "fastapi", "litestar"]


@pytest.fixture
async def make_service(peaka, emulator):
    async with contextlib.AsyncExitStack() as stack:

        async def make(kind="aiohttp", **options):
            options = {"peaka": peaka, "project": emulator.project_id, **options}
            options.setdefault("peaka_callback", f"{emulator.origin}/oauth2/callback")
            return await stack.enter_async_context(Service(kind, **options).running())

        yield make


everywhere = pytest.mark.parametrize("service", KINDS, indirect=True)


@pytest.fixture(params=KINDS[:2])
async def service(request, make_service):
    return await make_service(request.param)


@pytest.fixture
async def alice(make_browser):
    return make_browser("alice")


async def consented(browser, service, emulator, *, allow=True):
    """Begin, consent, and the URL that the browser is sent to."""
    begun = await browser.open(service.url("begin"), "POST")
    assert begun.status == 303
    return await emulator.consent(begun.location, allow=allow)


@everywhere
async def test_from_button_to_connection(service, alice, emulator):
    """A person clicks the button, allows, comes back, and sees the connection; a reload shows it again."""
    begun = await alice.open(service.url("begin"), "POST")
    redirect = await emulator.consent(begun.location)
    returned = await alice.open(redirect)
    result = await alice.follow(returned)
    again = await alice.follow(await alice.open(redirect))

    (connection,) = emulator.connections()
    assert (begun.status, returned.status, result.status, connection.active) == (303, 303, 200, True)
    assert (result.title, again.title) == ("Connected", "Connected")
    assert "C &amp; &lt;R&gt;M is connected" in result.text
    assert service.stored == [("7", connection.id)]
    assert [code.presented for code in emulator.codes] == [1]
    assert "code=" not in result.url
    for page in (begun, returned, result):
        assert page.headers.getall("Cache-Control") == ["no-store"]
        assert page.headers.getall("Referrer-Policy") == ["no-referrer"]
    assert "default-src 'none'" in result.headers["Content-Security-Policy"]


@everywhere
async def test_the_query_reaches_peaka_byte_for_byte(service, alice, emulator):
    """The frameworks' parsed forms are not used."""
    redirect = await consented(alice, service, emulator) + "&scope=a+b%2fc%7E~&x&realm%49d=1"
    await alice.open(redirect)

    assert json.loads(emulator.requests[-1].body) == {"queryParameters": urlsplit(redirect).query}


async def test_the_cookie(service, alice):
    """One for each flow, for this host alone, signed, out of reach of scripts and of other sites' posts."""
    await alice.open(service.url("begin"), "POST")
    await alice.open(service.url("begin"))

    assert len(alice.cookies) == 2
    for cookie in alice.set_cookies:
        name = re.match(r"__Host-peaka-connect-[0-9a-f]{16}=[\w-]{22}~[0-9a-f]{40}\.[\w-]{43};", cookie)
        assert name
        assert set(cookie.split("; ")[1:]) == {"Max-Age=87300", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"}


async def test_many_flows_of_one_browser(service, alice, emulator):
    """Ten cookies are kept: the oldest go, the newest flow works, and heads of requests stay small."""
    alice.cookies = {f"__Host-peaka-connect-{number:016x}": "old" for number in range(12)}
    alice.cookies |= {"__Host-peaka-connect-strange": "kept", "other": "kept"}
    for _ in range(3):
        redirect = await consented(alice, service, emulator)

    ours = [name for name in alice.cookies if re.fullmatch("__Host-peaka-connect-[0-9a-f]{16}", name)]
    assert (len(ours), f"__Host-peaka-connect-{4:016x}" in ours, f"__Host-peaka-connect-{5:016x}" in ours) == (
        10,
        False,
        True,
    )
    assert (alice.cookies["other"], alice.cookies["__Host-peaka-connect-strange"]) == ("kept", "kept")
    assert (await alice.follow(await alice.open(redirect))).title == "Connected"


@everywhere
async def test_another_browser_completes_nothing(service, alice, make_browser, emulator):
    """Neither another user's, nor the same user's, nor one with a cookie of another flow or a forged one."""
    mallory = make_browser("mallory")
    redirect = await consented(alice, service, emulator)
    other = make_browser("alice")
    name, value = next(iter(alice.cookies.items()))
    await other.open(service.url("begin"), "POST")
    pages = [await mallory.open(redirect), await other.open(redirect)]
    mallory.cookies = dict(alice.cookies)
    pages.append(await mallory.open(redirect))
    other_value = next(iter(other.cookies.values()))
    assert name in alice.cookies
    for forged in (value[:-2], other_value, value.partition(".")[0], "", ".", "ü"):
        other.cookies = {name: forged}
        pages.append(await other.open(redirect))

    assert [page.status for page in pages] == [403] * len(pages)
    assert [code.presented for code in emulator.codes] == [0]
    assert (await alice.open(redirect)).status == 303


async def test_the_result_is_shown_to_its_user_only(service, alice, make_browser, emulator):
    """Its URL is no secret. While something can still happen, only the browser that began makes it happen."""
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))
    returned = await alice.open(await consented(alice, service, emulator))
    strangers = [make_browser("mallory"), make_browser("alice"), make_browser()]

    before = [await stranger.follow(returned) for stranger in strangers]
    stored = list(service.stored)
    mine = await alice.follow(returned)
    after = [await stranger.follow(returned) for stranger in strangers]

    assert ([page.status for page in before], stored) == ([403, 403, 401], [])
    assert (mine.title, len(service.stored)) == ("Connected", 1)
    assert [page.status for page in after] == [403, 200, 401]
    assert (await alice.open(service.url("result"))).status == 403


async def test_the_cookie_ends_with_its_flow(service, alice, emulator):
    """Whatever the end is; the result can be looked at again by its user."""
    service.return_to = "/settings"
    connected = await alice.open(await consented(alice, service, emulator))
    after_success = dict(alice.cookies)
    service.return_to = None
    redirect = await consented(alice, service, emulator, allow=False)
    before_denial = dict(alice.cookies)
    denied = await alice.follow(await alice.open(redirect))

    assert (connected.location, after_success, len(before_denial), alice.cookies) == ("/settings", {}, 1, {})
    assert [await alice.follow(await alice.open(redirect)) is not None, denied.title] == [True, "Nothing was connected"]
    assert (await alice.follow(await alice.open(redirect))).title == "Nothing was connected"


async def test_an_attackers_return_is_not_adopted(service, alice, make_browser, emulator):
    """An attacker's finished consent, opened in a victim's browser by link, by image or by form, changes nothing."""
    mallory = make_browser("mallory")
    redirect = await consented(mallory, service, emulator)
    query = urlsplit(redirect).query
    await alice.open(service.url("begin"), "POST")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reentry = f"peaka_return={query.encode().hex()}"
    pages = [
        await alice.open(redirect),
        await alice.open(service.url("return"), "POST", cross_site=True, data=reentry, headers=form),
        await alice.open(service.url("return"), "POST", data=reentry, headers=form),
    ]

    assert [page.status for page in pages] == [403, 401, 403]
    assert [code.presented for code in emulator.codes] == [0]


@everywhere
async def test_head_and_prefetch_do_nothing(service, alice, emulator):
    """They neither begin nor complete a flow."""
    purposes = [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}]
    begin = [await alice.open(service.url("begin"), headers=headers) for headers in purposes]
    head = await alice.open(service.url("begin"), "HEAD")
    before = len(emulator.connections())
    redirect = await consented(alice, service, emulator)
    returns = [await alice.open(redirect, headers=headers) for headers in purposes]
    head_of_return = await alice.open(redirect, "HEAD")

    assert ([page.status for page in begin + returns], before) == ([503] * 6, 0)
    assert (head.status, head_of_return.status) == (204, 204)
    assert [code.presented for code in emulator.codes] == [0]
    assert (await alice.open(redirect)).status == 303


@everywhere
async def test_other_methods_and_paths(service, alice):
    """Are answered as HTTP wants."""
    page = await alice.open(service.url("return"), "PUT")
    result = await alice.open(service.url("result"), "POST")

    assert (page.status, page.headers["Allow"]) == (405, "GET, POST")
    assert (result.status, (await alice.open(service.url("other"))).status) == (405, 404)


async def test_a_refusal(service, alice, emulator):
    """Who denies sees that nothing was connected, and what the provider wrote is not shown."""
    redirect = await consented(alice, service, emulator, allow=False)
    returned = await alice.open(redirect)
    result = await alice.follow(returned)

    assert (returned.status, result.status, result.title) == (303, 200, "Nothing was connected")
    assert "The user denied the request" not in result.text
    assert service.stored == []


async def test_return_to(service, alice, emulator):
    """A success leads back into the application, to the path that was remembered."""
    service.return_to = "/settings?tab=data"
    redirect = await consented(alice, service, emulator) + "&return_to=https://evil.example"
    returned = await alice.open(redirect)

    assert (returned.status, returned.location) == (303, "/settings?tab=data")


async def test_a_double_click(service, alice, emulator):
    """Two returns at the same moment lead to the same place; one was sent."""
    redirect = await consented(alice, service, emulator)
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.1))
    first, second = await asyncio.gather(alice.open(redirect), alice.open(redirect))

    assert first.location == second.location
    assert (len(service.stored), [code.presented for code in emulator.codes]) == (1, [1])


async def test_a_double_click_on_the_consent(service, alice, emulator):
    """The provider issues two codes for one state: the first is sent, and the second return shows what it made."""
    service.return_to = "/settings"
    begun = await alice.open(service.url("begin"), "POST")
    first, second = [await emulator.consent(begun.location) for _ in range(2)]

    returned = [await alice.open(first), await alice.open(second)]
    result = await alice.follow(returned[1])

    assert first != second
    assert [page.status for page in returned] == [303, 303]
    assert (returned[0].location, result.title) == ("/settings", "Connected")
    assert [code.presented for code in emulator.codes] == [1, 0]


async def test_a_browser_that_goes_away(service, alice, emulator):
    """It disconnects in the middle; the connection is made and stored, and a reload shows it."""
    redirect = await consented(alice, service, emulator)
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.2))
    first = asyncio.create_task(alice.open(redirect))
    await asyncio.sleep(0.05)
    first.cancel()
    result = await alice.follow(await alice.open(redirect))

    assert (result.title, len(service.stored)) == ("Connected", 1)
    assert [code.presented for code in emulator.codes] == [1]


async def test_an_unknown_outcome(service, alice, emulator):
    """The answer was lost: the result page asks Peaka, and tells what it says."""
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))
    result = await alice.follow(await alice.open(await consented(alice, service, emulator)))
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.BEFORE_WORK))
    redirect = await consented(alice, service, emulator)
    uncertain = await alice.follow(await alice.open(redirect))
    again = await alice.follow(await alice.open(redirect))

    assert (result.title, uncertain.title, again.title) == ("Connected", "Still checking", "Still checking")
    assert [code.presented for code in emulator.codes] == [1, 0]


async def test_sign_in_first(service, make_browser, alice, emulator):
    """Without a user nothing begins; a return that comes signed out can be delivered again after the sign-in."""
    nobody = make_browser()
    begun = await nobody.open(service.url("begin"), "POST")
    redirect = await consented(alice, service, emulator)
    alice.user = None
    signed_out = await alice.open(redirect)
    alice.user = "alice"

    assert (begun.status, signed_out.status, (await alice.open(redirect)).status) == (401, 401, 303)


async def test_what_is_not_offered(service, alice, emulator):
    """The application decides what can be connected, and other sites begin nothing."""
    cross = await alice.open(service.url("begin"), "POST", cross_site=True)
    service.variant = None

    assert ((await alice.open(service.url("begin"), "POST")).status, cross.status) == (404, 403)
    assert emulator.connections() == []


async def test_peaka_refuses_to_begin(service, alice, emulator):
    """An error of Peaka is a page, without its text."""
    emulator.faults.add("connections.create", Fault.answer(400, b'{"message": "routes: /internal"}'))
    page = await alice.open(service.url("begin"), "POST")

    assert (page.status, page.title, "/internal" in page.text) == (502, "The connection failed", False)


async def test_peakas_own_callback(service, alice, make_browser, emulator):
    """Peaka takes the redirect, and the browser that began comes back from there."""
    service.variant = "peaka"
    redirect = await consented(alice, service, emulator)
    at_peaka = await make_browser().open(redirect)
    stranger = await make_browser("mallory").follow(at_peaka)
    result = await alice.follow(await alice.follow(at_peaka))

    assert (stranger.status, result.title) == (403, "Connected")


async def test_a_forwarded_redirect(service, alice, make_browser, emulator):
    """Forwarded by 307 with the raw query, once, and only for the browser that began."""
    service.variant = "forward"
    redirect = await consented(alice, service, emulator)
    stranger = await make_browser("mallory").open(redirect)
    forwarded = await alice.open(redirect)
    second = await alice.follow(await alice.open(redirect))
    result = await alice.follow(await alice.follow(await alice.follow(forwarded)))
    third = await alice.follow(await alice.open(redirect))

    assert (stranger.status, forwarded.status) == (403, 307)
    assert forwarded.location == f"{emulator.origin}/oauth2/callback?{urlsplit(redirect).query}"
    assert (second.title, result.title, third.title) == ("Still checking", "Connected", "Connected")
    assert [code.presented for code in emulator.codes] == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["own", "forward"])
async def test_form_post(make_service, make_browser, kind, variant):
    """The provider's site posts the answer, the browser keeps its cookies; a page of this origin posts it again."""
    async with (
        Emulator(response_mode="form_post") as emulator,
        PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka,
    ):
        options = {"peaka": peaka, "project": emulator.project_id}
        service = await make_service(kind, **options, peaka_callback=f"{emulator.origin}/oauth2/callback")
        service.variant = variant
        alice = make_browser("alice")
        redirect = urlsplit(await consented(alice, service, emulator))
        url, body = f"{redirect.scheme}://{redirect.netloc}{redirect.path}", redirect.query + "&x=a+b%2fc~"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        page = await alice.open(url, "POST", cross_site=True, data=body, headers=form)
        action, fields = page.form()
        stranger = await make_browser("mallory").open(action, "POST", data=fields)
        returned = await alice.open(action, "POST", data=fields)
        result = returned
        while result.location:
            result = await alice.follow(result)

        assert (page.status, stranger.status, returned.status, action) == (200, 403, 303, url)
        assert urlsplit(redirect.geturl()).query not in page.text
        assert result.title == "Connected"
        assert [code.presented for code in emulator.codes] == [1]
        if variant == "own":
            assert json.loads(emulator.requests[-1].body) == {"queryParameters": body}


async def test_a_post_that_is_no_form(service, alice):
    """Or too large a one."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = service.url("return")
    other = await alice.open(url, "POST", json={"state": "x"})
    large = await alice.open(url, "POST", data=b"state=" + b"x" * 300_000, headers=form)
    empty = await alice.open(url, "POST", data=b"peaka_return=", headers=form)
    malformed = await alice.open(url, "POST", data=b"peaka_return=ff", headers=form)
    script = await alice.open(url, "POST", data=b"state=<script>alert(1)</script>", headers=form)

    assert (other.status, large.status, empty.status, malformed.status) == (415, 413, 200, 400)
    assert "alert(1)" not in script.text


@pytest.mark.parametrize("query", ["", "?", "?state=x", "?code=x", "?state=x&state=y&code=z", "?x=%ff&state=%ff"])
async def test_returns_of_nothing(service, alice, query):
    """What belongs to no flow is refused with a page."""
    page = await alice.open(service.url("return") + query)

    assert page.status in {400, 403}
    assert page.title == "This link cannot be used"


async def test_without_peaka(make_service, alice, emulator):
    """Nothing was sent: the page says so, and a reload completes the flow."""
    options = {"retry": RetryPolicy(attempts=1, rate_limit_backoff=0.001), "timeout": Timeouts(total=20)}
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url, **options) as peaka:
        service = await make_service(peaka=peaka)
        redirect = await consented(alice, service, emulator)
        emulator.faults.add("connections.oauth2_callback", Fault.answer(429))
        page = await alice.open(redirect)

        assert (page.status, page.title) == (503, "Temporarily unavailable")
        assert (await alice.follow(await alice.open(redirect))).title == "Connected"


async def test_what_a_page_leaves_out_is_logged(make_service, alice, emulator, caplog):
    """The operator learns what happened, in one line, without code and state."""
    service = await make_service()
    caplog.set_level(logging.INFO, "peaka_async.oauth2")
    redirect = await consented(alice, service, emulator)
    await alice.follow(await alice.open(redirect.replace("code=", "error=x%0AERROR+forged&code=")))

    (record,) = [record for record in caplog.records if record.name == "peaka_async.oauth2"]
    text = record.getMessage()
    assert "A connect flow was denied: AuthorizationDenied(" in text
    assert "\n" not in text
    assert [value for _, value in parse_qsl(urlsplit(redirect).query) if value in text] == []


async def test_pages_of_the_application(make_service, alice, emulator):
    """It gets what there is to tell, and its own request."""
    seen = []

    async def page(request, notice):
        seen.append((request.path, notice.kind, notice.connection and notice.connection.id))
        return f"<title>mine: {notice.title}</title>"

    service = await make_service(page=page)
    result = await alice.follow(await alice.open(await consented(alice, service, emulator)))

    (connection,) = emulator.connections()
    assert (result.title, seen) == ("mine: Connected", [("/connect/result", "connected", connection.id)])
    assert result.headers["Cache-Control"] == "no-store"


async def test_replicas_share_what_is_pending(make_service, alice, emulator, make_redis):
    """Begun at one service, returned to another of another framework."""
    first, second = [await make_service(kind, store=RedisStore(make_redis())) for kind in ("aiohttp", "asgi")]
    redirect = (await consented(alice, first, emulator)).replace(first.origin, second.origin)
    result = await alice.follow(await alice.open(redirect))

    assert (result.title, first.stored, len(second.stored)) == ("Connected", [], 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trusted", [True, False])
async def test_the_trace_runs_from_the_request_to_peaka(make_service, alice, emulator, kind, trusted):
    """A trusted trace is continued up to Peaka; any other is linked, and chooses neither trace id nor sampling."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url, tracer_provider=provider) as peaka:
        service = await make_service(kind, peaka=peaka, trust_traceparent=trusted)
        redirect = await consented(alice, service, emulator)
        exporter.clear()
        await alice.open(redirect, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})

    spans = exporter.get_finished_spans()
    operation = next(span for span in spans if span.name == "peaka.connections.oauth2_callback")
    traces = {f"{span.context.trace_id:032x}" for span in spans}
    links = [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in operation.links]
    if trusted:
        assert (traces, links) == ({TRACE}, [])
        assert f"{operation.parent.span_id:016x}" == "b7ad6b7169203331"
    else:
        assert (operation.parent, links) == (None, [f"{TRACE}-b7ad6b7169203331"])
        assert TRACE not in traces
    assert (TRACE in emulator.requests[-1].headers["traceparent"]) == trusted
    provider.shutdown()


@pytest.mark.parametrize("kind", ["aiohttp", "asgi"])
async def test_access_logs_hold_no_code(make_service, alice, emulator, kind, caplog):
    """Neither aiohttp's nor uvicorn's, and the request is logged still."""
    for name in ("aiohttp.access", "uvicorn.access"):
        logger = logging.getLogger(name)
        before = list(logger.filters)
        protect_access_logs(name)
        protect_access_logs(name)
        assert len(logger.filters) == len(before) + 1
    caplog.set_level(logging.INFO)
    service = await make_service(kind)
    redirect = await consented(alice, service, emulator)
    await alice.open(redirect, headers={"Referer": redirect})
    await asyncio.sleep(0.05)
    for name in ("aiohttp.access", "uvicorn.access"):
        logging.getLogger(name).filters.clear()

    parameters = urlsplit(redirect).query
    records = [f"{vars(record)} {record.getMessage()}" for record in caplog.records if "access" in record.name]
    text = "\n".join(records)
    assert "/connect/return?[redacted]" in text
    assert [value for pair in parameters.split("&") if (value := pair.partition("=")[2]) in text] == []
    assert [value for _, value in parse_qsl(parameters) if value in text] == []


@pytest.mark.parametrize("secret", ["", "15 characters..", [], ["a-secret-of-the-tests", "short"]])
def test_a_secret_is_needed(secret):
    """A short one protects nothing; 16 characters are enough."""
    ConnectWeb(flow=None, user_ref=None, connect_request=None, secret="16 characters...")
    with pytest.raises(ConfigurationError, match="16 characters"):
        ConnectWeb(flow=None, user_ref=None, connect_request=None, secret=secret)


BOUND = PendingFlow(
    id="f" * 40,
    connection_id="c1",
    project_id="p1",
    connector="hubspot",
    name="CRM",
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    return_url="https://app.example/connect/return",
    forward_url=None,
)


def asked(cookie=b""):
    return Incoming(method="GET", raw_query=b"", headers={}, raw_cookies=cookie, read=None)


def cookies_of(*secrets, **options):
    return ConnectWeb(flow=None, user_ref=None, connect_request=None, secret=secrets, **options)._cookies


def set_by(cookies, flow=BOUND, session=None):
    """The cookie that a browser gets, as it sends it back."""
    *_, (_, header) = cookies.given(asked(), flow, session=session, seconds=60)
    return header.partition(";")[0].encode()


def test_secrets_can_be_changed():
    """A cookie of the old secret is accepted while it is listed; new ones are signed with the first."""
    old, new = cookies_of(SECRET), cookies_of("a-new-secret-of-them")
    both = cookies_of("a-new-secret-of-them", SECRET)
    shown = [each.shown(asked(set_by(old)), BOUND, session=None) for each in (old, both, new)]

    assert shown == [True, True, False]
    assert new.shown(asked(set_by(both)), BOUND, session=None)
    assert "secret" not in repr(ConnectWeb(flow=None, user_ref=None, connect_request=None, secret=SECRET))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "f" * 39 + "e"},
        {"project_id": "p2"},
        {"connector": "salesforce"},
        {"connection_id": "c2"},
        {"return_url": "https://app.example/elsewhere/return"},
        {"forward_url": "https://app.example/connect/forward"},
    ],
)
def test_a_cookie_is_bound_to_where_its_flow_leads(change):
    """Who can write to the store cannot lead a browser's flow to another project, connector or URL."""
    cookies = cookies_of(SECRET)
    cookie = set_by(cookies)

    assert cookies.shown(asked(cookie), BOUND, session=None)
    assert not cookies.shown(asked(cookie), attrs.evolve(BOUND, **change), session=None)


def test_a_cookie_is_random():
    """Nobody can work it out from the flow's id."""
    cookies = cookies_of(SECRET)

    assert len({set_by(cookies) for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (b"", b"", True),
        (b"a=1; ", b";b=2", True),
        (b" \t", b" \t", True),
        ("\u2000".encode(), b"", False),
        (b"\xa0", b"", False),
        (b"\x0b", b"", False),
        (b"\x1f", b"", False),
        ("\u3000".encode(), b"", False),
    ],
)
def test_cookie_names_are_bytes(before, after, shown):
    """What Unicode takes for space is part of the name: a sibling domain may set such a cookie, and not ours."""
    cookies = cookies_of(SECRET)

    assert cookies.shown(asked(before + set_by(cookies) + after), BOUND, session=None) is shown


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cookie_that_a_sibling_domain_tossed(make_service, alice, make_browser, emulator, kind):
    """The attacker's flow and cookie in the victim's session, by a name with U+2000 before it: nothing is adopted."""
    service = await make_service(kind)
    name, value = None, None
    redirect = await consented(alice, service, emulator)
    ((name, value),) = alice.cookies.items()
    elsewhere = make_browser("alice")
    cookie = f"user=alice; \u2000{name}={value}".encode()
    page = await elsewhere.open(redirect, cookie=cookie)

    assert (page.status, [code.presented for code in emulator.codes]) == (403, [0])


async def test_signing_out_ends_the_flow(make_service, alice, emulator):
    """With session_ref a flow belongs to a session, and not only to a user."""
    session = "session-1"

    async def session_ref(_):
        return session

    service = await make_service(session_ref=session_ref)
    redirect = await consented(alice, service, emulator)
    session = "session-2"
    page = await alice.open(redirect)
    session = "session-1"

    assert (page.status, [code.presented for code in emulator.codes]) == (403, [0])
    assert (await alice.open(redirect)).status == 303


def test_cookies_for_a_developers_machine():
    """Without TLS the prefix and Secure are left out, if that is asked for."""
    cookies = cookies_of(SECRET, insecure_cookies=True)
    ((_, header),) = cookies.given(asked(), BOUND, session=None, seconds=60)

    assert header.startswith("peaka-connect-ffffffffffffffff=")
    assert header.endswith("; Max-Age=60; Path=/; HttpOnly; SameSite=Lax")


@pytest.mark.parametrize("service", KINDS[:2], indirect=True)
async def test_a_body_in_an_encoding(service, alice):
    """A form that is compressed is refused before it is read."""
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    page = await alice.open(service.url("return"), "POST", data=b"code=1&state=2", headers=form)

    assert (page.status, page.text) == (415, "")


async def test_a_client_that_was_closed(make_service, alice, emulator):
    """While the service ends nothing is sent, and the return can be delivered again."""
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url) as closing:
        service = await make_service("aiohttp", peaka=closing)
        redirect = await consented(alice, service, emulator)
    page = await alice.open(redirect)

    assert (page.status, page.title) == (503, "Temporarily unavailable")
    assert [code.presented for code in emulator.codes] == [0]


@pytest.mark.parametrize("action", ["begin", "return", "result"])
async def test_an_empty_name_is_nobody(service, make_browser, action):
    """An application that says "" for nobody is understood."""
    nobody = make_browser()
    nobody.cookies["user"] = ""

    assert (await nobody.open(f"{service.url(action)}?code=1&state=2")).status == 401


async def test_half_a_body_is_none(peaka):
    """A browser that goes away in the middle of a form has posted nothing."""
    sent, body = [], [{"type": "http.request", "body": b"peaka_return=7374", "more_body": True}]

    async def receive():
        return body.pop() if body else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def nobody(_):
        return None

    app = ConnectApp(ConnectWeb(flow=ConnectFlow(peaka), user_ref=nobody, connect_request=None, secret=SECRET))
    headers = [(b"Content-Type", b"application/x-www-form-urlencoded")]
    await app({"type": "http", "method": "POST", "path": "/return", "headers": headers}, receive, send)

    assert sent[0]["status"] == 413


async def test_cookies_in_several_headers(peaka):
    """As HTTP/2 may send them."""
    seen = []

    async def user_ref(request):
        seen.append(dict(request.scope)["path"])

    connect = ConnectWeb(flow=ConnectFlow(peaka), user_ref=user_ref, connect_request=None, secret=SECRET)
    headers = [(b"cookie", b"a=1"), (b"cookie", b"b=2; c=3")]
    incoming = _incoming({"method": "GET", "path": "/", "headers": headers, "query_string": b"x=%ff"}, None)

    async def send(message):
        seen.append(message.get("status"))

    await ConnectApp(connect)({"type": "http", "method": "GET", "path": "/result", "headers": headers}, None, send)
    assert incoming.cookies() == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert seen == ["/result", 401, None]


async def test_asgi_beyond_http():
    """A server that asks for a lifespan learns that there is none."""
    app = ConnectApp(ConnectWeb(flow=None, user_ref=None, connect_request=None, secret=SECRET))
    with pytest.raises(NotImplementedError):
        await app({"type": "lifespan"}, None, None)


HERE = "{origin}"


@pytest.mark.parametrize(
    ("method", "headers", "begins"),
    [
        ("POST", {"Sec-Fetch-Site": "same-origin"}, True),
        ("GET", {"Sec-Fetch-Site": "none"}, True),
        ("POST", {"Sec-Fetch-Site": "same-site"}, False),
        ("GET", {"Sec-Fetch-Site": "same-site", "Referer": "https://app.example.evil/"}, False),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": HERE}, False),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, False),
        ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}, False),
        ("POST", {"Sec-Fetch-Site": "same-site", "Origin": "https://app.example"}, True),
        ("GET", {"Sec-Fetch-Site": "same-site", "Referer": "https://app.example/page?x=1"}, True),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.evil"}, False),
        ("POST", {"Origin": HERE}, True),
        ("GET", {"Referer": HERE + "/button"}, True),
        ("POST", {"Origin": "null"}, False),
        ("POST", {"Origin": "null", "Referer": HERE}, False),
        ("GET", {"Referer": "https://evil.example/{origin}"}, False),
        ("GET", {"Referer": "http://[evil"}, False),
        ("POST", {}, False),
    ],
)
async def test_only_a_person_begins(make_service, alice, emulator, method, headers, begins):
    """By a navigation from this origin or from a named one, as the browser says; if it says nothing, nothing begins."""
    service = await make_service(begin_origins=["https://app.example"])
    given = {"Sec-Fetch-Site": None, "Sec-Fetch-Mode": None}
    given |= {name: value.replace(HERE, service.origin) for name, value in headers.items()}
    page = await alice.open(service.url("begin"), method, headers=given)

    assert (page.status, len(emulator.connections())) == ((303, 1) if begins else (403, 0))


async def test_beginning_by_a_link_can_be_switched_off(make_service, alice, emulator):
    """Then a form is needed."""
    service = await make_service(begin_by_get=False)
    page = await alice.open(service.url("begin"))

    assert (page.status, page.headers["Allow"], emulator.connections()) == (405, "POST", [])
    assert (await alice.open(service.url("begin"), "POST")).status == 303


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("variant", ["peaka", "own app"])
async def test_an_unchecked_consent_has_to_be_accepted(make_service, alice, emulator, kind, variant, caplog):
    """With Peaka's redirect a consent is completed before it is checked: that is nobody's default."""
    refused = await make_service(kind, accept_unchecked_consent=False)
    accepted = await make_service(kind)
    refused.variant = accepted.variant = variant
    page = await alice.open(refused.url("begin"), "POST")

    assert (page.status, page.title, emulator.connections()) == (502, "The connection failed", [])
    assert "accept_unchecked_consent" in caplog.text
    assert (await alice.open(accepted.url("begin"), "POST")).status == 303


async def test_a_user_who_begins_too_often(make_service, alice, make_browser, emulator):
    """429 and when to come back; others begin as before, and so does this user after a minute."""
    service = await make_service(flows_per_user=3)
    for _ in range(3):
        await consented(alice, service, emulator)
    page = await alice.open(service.url("begin"), "POST")
    other = await make_browser("bob").open(service.url("begin"), "POST")

    assert (page.status, page.headers["Retry-After"], page.title) == (429, "60", "Too many attempts")
    assert (other.status, len(emulator.connections())) == (303, 4)


async def failing(*_, **__):
    raise RuntimeError("hush")


@pytest.fixture
def logged():
    """What the connect flow logs; some frameworks set up the root logger for themselves."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("peaka_async.oauth2").addHandler(handler)
    yield lines
    logging.getLogger("peaka_async.oauth2").removeHandler(handler)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_application_that_cannot_save(make_service, alice, emulator, kind):
    """The page says so, without the code in its address, and its reload tells the application again, twice at most."""
    service = await make_service(kind)
    save = service.flow._on_connected
    told = []

    async def on_connected(flow, connection):
        told.append(connection.id)
        raise RuntimeError("hush")

    service.flow._on_connected = on_connected
    returned = await alice.open(await consented(alice, service, emulator))
    pages = [await alice.follow(returned) for _ in range(4)]
    refused = list(told)
    redirect = await consented(alice, service, emulator)
    first = await alice.follow(await alice.open(redirect))
    service.flow._on_connected = save
    second = await alice.open(first.url)

    assert [(page.status, page.title) for page in pages] == [(503, "Connected, but not saved yet")] * 4
    assert len(refused) == 2
    assert (first.title, second.title, len(service.stored)) == ("Connected, but not saved yet", "Connected", 1)
    assert all("code=" not in page.url for page in [*pages, first])
    assert [code.presented for code in emulator.codes] == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["user_ref", "connect_request", "session_ref", "page", "store"])
async def test_whatever_fails_there_is_a_page(make_service, alice, emulator, kind, part, logged):
    """The browser never gets a bare 500; the operator gets the error."""
    service = await make_service(kind, **({part: failing} if part in {"session_ref", "page"} else {}))
    if part == "store":
        service.flow._records.store.get = failing
        service.flow._records.store.add = failing
    elif part in {"user_ref", "connect_request"}:
        service.fails.add(part)
    begun = await alice.open(service.url("begin"), "POST")
    result = await alice.open(service.url("result"))

    pages = [page for page in (begun, result) if page.status != 303]
    assert pages
    assert {(page.status, page.title) for page in pages} <= {
        (503, "Temporarily unavailable"),
        (403, "This link cannot be used"),
    }
    assert 'href="/"' in pages[0].text
    assert "hush" not in pages[0].text
    assert any("RuntimeError failed in the connect flow's" in line for line in logged)


async def test_a_redirect_of_the_application_passes_through(make_service, alice):
    """Such as to its own sign-in."""

    async def to_sign_in(_):
        raise web.HTTPFound("/sign-in")

    service = await make_service(session_ref=to_sign_in)
    page = await alice.open(service.url("begin"), "POST")

    assert (page.status, page.location) == (302, "/sign-in")


async def test_every_page_leads_back(make_service, alice, make_browser, emulator):
    """To the flow's return_to, or to the application's home; for phones and in a language that is named."""
    service = await make_service(home="/data?tab=1")
    service.return_to = "/settings"
    nobody = make_browser()
    denied = await alice.follow(await alice.open(await consented(alice, service, emulator, allow=False)))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    pages = [
        await nobody.open(service.url("begin"), "POST"),
        await alice.open(service.url("begin"), "POST", cross_site=True),
        await alice.open(service.url("return") + "?state=x&code=y"),
        await alice.open(service.url("return"), "POST", cross_site=True, data=b"code=1&state=2", headers=form),
    ]
    service.variant = None
    pages.append(await alice.open(service.url("begin"), "POST"))

    assert 'href="/settings"' in denied.text
    assert ['href="/data?tab=1"' in page.text for page in pages] == [True] * 5
    assert pages[-1].title == "This connection is not available"
    for page in [denied, *pages]:
        assert '<html lang="en">' in page.text
        assert '<meta name="viewport"' in page.text


@pytest.mark.parametrize("home", ["//evil.example", "https://evil.example/", "", None])
def test_home_is_on_this_origin(home):
    """Pages lead nowhere else."""
    with pytest.raises(ConfigurationError):
        ConnectWeb(flow=None, user_ref=None, connect_request=None, secret=SECRET, home=home)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_return_at_another_url(make_service, alice, emulator, kind):
    """A redirect comes to the URL that its flow named, and to no other handler of this service."""
    service = await make_service(kind)
    redirect = await consented(alice, service, emulator)
    at_forward = await alice.open(redirect.replace("/return?", "/forward?"))
    service.variant = "forward"
    forwarded = await consented(alice, service, emulator)
    at_return = await alice.open(forwarded.replace("/forward?", "/return?"))

    assert (at_forward.status, at_return.status) == (403, 403)
    assert [code.presented for code in emulator.codes] == [0, 0]
    assert (await alice.open(redirect)).status == 303


async def test_a_proxy_that_rewrites_paths(make_service, alice, emulator):
    """The check of the URL can be switched off."""
    service = await make_service(check_redirect_url=False)
    service.url = lambda action: f"{service.origin}/{'elsewhere' if action == 'return' else 'connect'}/{action}"
    redirect = (await consented(alice, service, emulator)).replace("/elsewhere/", "/connect/")

    assert (await alice.open(redirect)).status == 303


async def test_the_user_is_known_before_a_body_is_read():
    """Who is not signed in and posts from here has nothing read."""

    async def nobody(_):
        return None

    async def read(_):
        pytest.fail("the body was read")

    flow = SimpleNamespace(trace_of=lambda *_, **__: contextlib.nullcontext())
    connect = ConnectWeb(flow=flow, user_ref=nobody, connect_request=None, secret=SECRET)
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    incoming = Incoming(method="POST", raw_query=b"", headers=headers, read=read)

    assert (await connect.handle("return", incoming, None)).status == 401


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, inner):
        self.inner, self.asked = inner, []

    def __getattr__(self, name):
        async def call(*arguments, **options):
            self.asked.append(name)
            return await getattr(self.inner, name)(*arguments, **options)

        return call


async def test_a_return_is_read_once_and_loaded_once(make_service, alice, emulator, monkeypatch):
    """Before the claim there is one load, and one parse of the query."""
    store = Counting(MemoryStore())
    service = await make_service(store=store)
    redirect = await consented(alice, service, emulator)
    store.asked.clear()
    parsed = []
    monkeypatch.setattr(return_module, "parse_qsl", lambda *a, **k: parsed.append(a) or parse_qsl(*a, **k))
    await alice.open(redirect)

    assert store.asked[: store.asked.index("swap")] == ["get"]
    assert len(parsed) == 1
