"""The client's arguments: invalid ones are refused at once, and missing ones are read from the environment."""

from __future__ import annotations

import ssl

import pytest
from scripted_server import CONNECTION, ScriptedServer, answer

from peaka_async import ConfigurationError, Oauth2Callback, PeakaClient, PeakaError, RetryPolicy, Timeouts
from peaka_async._transport import pool

KEY = "pk-2f9c41d7"
ENVIRONMENT = ["PEAKA_API_KEY", "PEAKA_BASE_URL", "PARTNER_API_BASE_URL", "PEAKA_ZONE", "PEAKA_PROJECT_ID"]
EU = "https://partner.eu.peaka.studio/api/v1"
US = "https://partner.peaka.studio/api/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


WRONG = [
    ({"api_key": "Bearer pk-s3cret"}, 'without "Bearer "'),
    ({"api_key": "bearer pk-s3cret"}, 'without "Bearer "'),
    ({"api_key": b"pk-s3cret"}, "api_key must be a str"),
    ({"api_key": "pk-s3cret\n"}, "a character that is not allowed in a header"),
    ({"timeout": "5"}, "timeout must be a number of seconds"),
    ({"timeout": True}, "timeout must be a number of seconds"),
    ({"timeout": 0}, "more than 0 seconds"),
    ({"timeout": float("nan")}, "more than 0 seconds"),
    ({"timeout": (1, 2)}, "timeout must be a number of seconds"),
    ({"retry": 3}, "retry must be a RetryPolicy"),
    ({"retry": False}, "retry must be a RetryPolicy"),
    ({"max_connections": 0}, "max_connections must be a whole number"),
    ({"max_connections": "10"}, "max_connections must be a whole number"),
    ({"max_response_bytes": 1.5}, "max_response_bytes must be a whole number"),
    ({"zone": "mars"}, "zone .* must be one of us, eu"),
    ({"zone": 5}, "zone .* must be one of us, eu"),
    ({"zone": "eu", "base_url": EU}, "cannot be used together"),
    ({"base_url": b"https://a.example"}, "base_url must be an http:// or https:// URL"),
    ({"base_url": "https://[::1"}, "base_url must be an http:// or https:// URL"),
    ({"base_url": "https://a.example:x"}, "base_url must be an http:// or https:// URL"),
    ({"base_url": "https://a:s3cret@a.example"}, "no query, fragment or credential"),
    ({"base_url": "https://@a.example"}, "no query, fragment or credential"),
    ({"trust_env": "no"}, "trust_env must be True or False"),
    ({"allow_http": 1}, "allow_http must be True or False"),
    ({"ssl": False}, "ssl must be an ssl.SSLContext"),
    ({"proxy": "proxy.example:3128"}, "proxy must be"),
    ({"proxy": "http://user:s3cret@:3128"}, "proxy must be"),
    ({"proxy": "http://user:s3cret@proxy.example:70000"}, "proxy must be"),
    ({"proxy": "http://user:s3cret@[proxy"}, "proxy must be"),
    ({"proxy": "socks5://s3cret.example"}, "proxy must be"),
    ({"proxy": 3128}, "proxy must be"),
    ({"project_id": 5}, "project_id must be a str"),
    ({"project_id": " "}, "project_id must be a str"),
    ({"headers": ["a"]}, "headers must be a mapping"),
    ({"headers": {"X-Key": "s3cret\r\nHost: x"}}, "the value of X-Key must be printable"),
    ({"headers": {"X-Key": "s3cr\u00e9t"}}, "the value of X-Key must be printable"),
    ({"headers": {"X-Key": ""}}, "the value of X-Key must be printable"),
    ({"headers": {"X-Key": 5}}, "the value of X-Key must be printable"),
    ({"headers": {"X Key": "s3cret"}}, "a name is not valid for a header"),
    ({"headers": {"X-Key\r\nHost": "s3cret"}}, "a name is not valid for a header"),
    ({"headers": {5: "s3cret"}}, "a name is not valid for a header"),
]


@pytest.mark.parametrize(("arguments", "problem"), WRONG, ids=[f"{each}" for each, _ in WRONG])
def test_a_wrong_argument_is_refused_at_once(arguments, problem):
    """The error says what the argument must be and that nothing was sent, and does not show the value."""
    with pytest.raises(ConfigurationError, match=problem) as raised:
        PeakaClient(**{"api_key": KEY, **arguments})
    assert "s3cret" not in f"{raised.value!r} {raised.value.__context__!r} {raised.value.__cause__!r}"


@pytest.mark.parametrize("arguments", [{"timeout": "5"}, {"retry": 3}, {"headers": {"Host": "x"}}])
def test_a_view_refuses_the_same(arguments):
    """`with_options` refuses the same values as the client."""
    with pytest.raises(ConfigurationError):
        PeakaClient(KEY).with_options(**arguments)


@pytest.mark.parametrize("name", ["total", "attempt", "connect"])
@pytest.mark.parametrize("value", ["5", True, 0, -1, [1]])
def test_wrong_timeouts_are_refused(name, value):
    """Each limit is a number of seconds, or None."""
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: value})


def test_what_is_right_is_taken():
    """The limits of the allowed range are allowed."""
    peaka = PeakaClient(
        KEY,
        timeout=Timeouts(total=None, attempt=None, connect=None),
        retry=RetryPolicy(attempts=1),
        max_connections=1,
        max_response_bytes=1,
        ssl=ssl.create_default_context(),
        proxy="http://user:pass@proxy.example",
        headers={"X-Gateway": "a b\tc"},
        project_id="p",
    )

    assert (repr(peaka), peaka.project_id) == (f"<PeakaClient {US}>", "p")


@pytest.mark.parametrize(
    ("variables", "arguments", "address"),
    [
        ({}, {}, US),
        ({"PEAKA_ZONE": "eu"}, {}, EU),
        ({"PEAKA_ZONE": "eu"}, {"zone": "us"}, US),
        ({"PARTNER_API_BASE_URL": "https://b.example/x/"}, {}, "https://b.example/x"),
        ({"PARTNER_API_BASE_URL": "https://b.example", "PEAKA_ZONE": "eu"}, {}, "https://b.example"),
        ({"PEAKA_BASE_URL": "https://a.example", "PARTNER_API_BASE_URL": "https://b.example"}, {}, "https://a.example"),
        ({"PEAKA_BASE_URL": "https://a.example"}, {"zone": "eu"}, EU),
        ({"PEAKA_BASE_URL": "https://a.example"}, {"base_url": "https://c.example"}, "https://c.example"),
        ({"PEAKA_BASE_URL": "", "PARTNER_API_BASE_URL": "", "PEAKA_ZONE": ""}, {}, US),
    ],
)
def test_the_environment_says_where(environment, variables, arguments, address):
    """Arguments are used first, then addresses from the environment, then the zone."""
    for name, value in variables.items():
        environment.setenv(name, value)

    assert repr(PeakaClient(KEY, **arguments)) == f"<PeakaClient {address}>"


@pytest.mark.parametrize("name", ["PEAKA_BASE_URL", "PARTNER_API_BASE_URL", "PEAKA_ZONE"])
def test_a_wrong_variable_is_named(environment, name):
    """The error names the environment variable."""
    environment.setenv(name, "nowhere")

    with pytest.raises(ConfigurationError, match=name):
        PeakaClient(KEY)


def test_the_key_and_the_project_come_from_the_environment(environment):
    """A view has the same project. If it is missing, the property's error says what to do."""
    environment.setenv("PEAKA_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="PEAKA_PROJECT_ID"):
        _ = PeakaClient().project_id
    environment.setenv("PEAKA_PROJECT_ID", "mtKDhe1U")

    assert PeakaClient().with_options(timeout=5).project_id == "mtKDhe1U"
    assert PeakaClient(project_id="other").project_id == "other"


@pytest.mark.parametrize("returned", [None, "", 5, "a\nb", "Bearer x"])
async def test_a_callable_that_returns_no_key_says_so(returned):
    """This is not a timeout, and nothing was sent."""

    async def credential():
        return returned

    async with ScriptedServer() as server, PeakaClient(credential, base_url=server.base_url) as peaka:
        with pytest.raises(ConfigurationError, match="api_key"):
            await peaka.connections.get("p", "c")
        assert server.connections == 0


async def test_a_callable_that_is_not_async_is_refused():
    """The result of a plain function is not awaitable, and the error says what it must be."""
    async with ScriptedServer() as server, PeakaClient(lambda: KEY, base_url=server.base_url) as peaka:
        with pytest.raises(ConfigurationError, match="must be async"):
            await peaka.connections.get("p", "c")
        assert server.connections == 0


@pytest.mark.parametrize("value", ["\ud800", ["a", "\udfff"]])
async def test_a_query_that_no_url_can_carry_is_refused(value):
    """A lone surrogate has no UTF-8 form."""
    async with ScriptedServer() as server, PeakaClient(KEY, base_url=server.base_url) as peaka:
        with pytest.raises(ConfigurationError, match="q holds a lone surrogate"):
            await peaka.request("GET", "/x", query={"q": value})
        assert server.connections == 0


# ── The caller's headers ─────────────────────────────────────────────────────────────────────────────────────────────


RESERVED = [
    "Authorization",
    "authorization",
    "Host",
    "Content-Length",
    "Content-Type",
    "Transfer-Encoding",
    "Connection",
    "Accept-Encoding",
    "TE",
    "Upgrade",
    "Expect",
    "traceparent",
    "Range",
    "Proxy-Authorization",
]


@pytest.mark.parametrize("name", RESERVED)
def test_what_the_client_sets_cannot_be_replaced(name):
    """The name is compared in any case."""
    with pytest.raises(ConfigurationError, match="set by the client itself"):
        PeakaClient(KEY, headers={name: "s3cret"})


@pytest.mark.parametrize("session", [False, True])
async def test_headers_go_with_each_request_to_the_api(session, monkeypatch):
    """A view adds its headers and replaces those of the same name; the client's other headers stay."""
    if session:
        monkeypatch.setattr(pool, "DirectLane", None)
    async with ScriptedServer() as server:
        async with PeakaClient(KEY, base_url=server.base_url, headers={"X-Gate": "1", "User-Agent": "mine"}) as peaka:
            await peaka.connections.get("p", "c")
            await peaka.with_options(headers={"x-gate": "2", "X-More": "3"}).connections.get("p", "c")
            await peaka.connections.get("p", "c")

    assert [(seen.headers["x-gate"], seen.headers.get("x-more")) for seen in server.requests] == [
        ("1", None),
        ("2", "3"),
        ("1", None),
    ]
    assert {seen.headers["user-agent"] for seen in server.requests} == {"mine"}
    assert {seen.headers["authorization"] for seen in server.requests} == {f"Bearer {KEY}"}
    assert all(len({name.lower() for name, _ in seen.raw_headers}) == len(seen.raw_headers) for seen in server.requests)


async def test_headers_are_shown_nowhere_and_stay_with_the_api():
    """Headers can hold a gateway's key: they are in no repr or error, and are sent to no other host."""
    secret = "gateway-s3cret"
    async with ScriptedServer() as server, ScriptedServer() as host:
        link = f"{host.origin}/part-0.csv"
        server.script(
            answer(200, {"id": "e", "status": "SUCCEEDED", "files": [{"name": "part-0.csv", "url": link}]}),
            answer(400, {"message": f"who is {secret}?"}),
        )
        host.script(answer(200, CONNECTION))
        async with PeakaClient(KEY, base_url=server.base_url, headers={"X-Gate": secret}) as peaka:
            async with peaka.exports.download("p", "e") as download:
                assert [piece async for piece in download]
            with pytest.raises(PeakaError) as raised:
                await peaka.connections.oauth2_callback("p", Oauth2Callback("code=1234&state=xyz"))
            shown = f"{peaka!r} {peaka._transport.settings!r} {raised.value!r} {raised.value.redacted_body!r}"

    assert secret not in shown
    assert "who is [redacted]?" in shown
    assert "x-gate" not in host.requests[0].headers


@pytest.mark.parametrize("callback", ["code=1234&state=xyz", b"code=1234", {"queryParameters": "code=1234"}, None])
async def test_a_callback_of_another_type_is_refused(callback):
    """The code is not taken out of the query, and the error says how to make a callback of it."""
    async with ScriptedServer() as server, PeakaClient(KEY, base_url=server.base_url) as peaka:
        with pytest.raises(ConfigurationError, match=r"Oauth2Callback\.from_redirect") as raised:
            await peaka.connections.oauth2_callback("p", callback)
        assert server.connections == 0
    assert "1234" not in str(raised.value)
