"""Which redirects are followed, and where they lead."""

from __future__ import annotations

import pytest
from scripted_server import CONNECTION, ScriptedServer, answer, redirect

from peaka_async import PeakaClient, PeakaError, RedirectBlockedError, RetryPolicy
from peaka_async._request import Request, Safety
from peaka_async._transport import pool

ONCE = RetryPolicy(attempts=1)


@pytest.fixture(params=["direct", "session"], autouse=True)
def lane(request, monkeypatch):
    """Both ways to the server follow the same rule."""
    if request.param == "session":
        monkeypatch.setattr(pool, "DirectLane", None)


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def peaka(server):
    async with PeakaClient("the-key", base_url=server.base_url, retry=ONCE) as peaka:
        yield peaka


async def blocked(coroutine):
    with pytest.raises(PeakaError) as raised:
        await coroutine
    assert type(raised.value) is RedirectBlockedError
    return raised.value


def request(method="GET", safety=Safety.SAFE, **more):
    return Request("x", method, "/a/b", returns=object, safety=safety, **more)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/api/v1/c?d=e%2Ff&g=#h", "/api/v1/c?d=e%2Ff&g="),
        ("c", "/api/v1/a/c"),
        ("../c/", "/api/v1/c/"),
        ("?d=e", "/api/v1/a/b?d=e"),
        ("{origin}/api/v1/c%2F%C3%A9", "/api/v1/c%2F%C3%A9"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_read_goes_to_the_very_path_that_is_named(server, peaka, method, location, target):
    """Relative references are resolved, escapes stay, and the fragment is no part of it."""
    server.script(redirect(302, location.format(origin=server.origin)), answer(200, CONNECTION))

    await peaka._transport.send(request(method))

    assert [seen.target for seen in server.requests] == ["/api/v1/a/b", target]
    assert {seen.method for seen in server.requests} == {method}


@pytest.mark.parametrize(
    "location",
    [
        "/other/c",
        "/api/v10/c",
        "/",
        "/api/v1/../v2/c",
        "//127.0.0.2/api/v1/c",
        "https://127.0.0.1/api/v1/c",
        "ftp://127.0.0.1/api/v1/c",
        "http://127.0.0.1:0/api/v1/c",
        "http://127.0.0.1:x/api/v1/c",
        "http://[::1/api/v1/c",
        "http://user:p4ss@{authority}/api/v1/c",
        "http:\\\\elsewhere\\c",
        "/api/v1/é",
        "/api/v1/a b",
        "",
    ],
)
async def test_no_request_goes_where_the_client_was_not_sent(server, peaka, location):
    """Another origin, another path than base_url's, or what is no address: one request, and an error."""
    authority = server.origin.removeprefix("http://")
    server.script(redirect(302, location.format(authority=authority)))

    error = await blocked(peaka._transport.send(request()))

    assert [seen.target for seen in server.requests] == ["/api/v1/a/b"]
    assert "p4ss" not in f"{error} {error.location}"


@pytest.mark.parametrize(
    "refused",
    [
        request(safety=Safety.ONCE),
        request("PUT", Safety.IDEMPOTENT),
        request("DELETE", Safety.IDEMPOTENT),
        request("POST", Safety.SAFE, body={"a": 1}),
        request("GET", Safety.SAFE, body={"a": 1}),
    ],
    ids=lambda each: f"{each.method} {each.safety.value}",
)
async def test_only_reads_that_can_be_repeated_follow(server, peaka, refused):
    """What is sent once is sent to one place."""
    server.script(redirect(307, "/api/v1/c"))

    error = await blocked(peaka._transport.send(refused))

    assert (len(server.requests), error.location) == (1, f"{server.base_url}/c")


async def test_a_redirect_of_another_host_stays_there(server, peaka):
    """A relative redirect of a file's host is relative to it, and its file comes without the key."""
    async with ScriptedServer() as host:
        host.script(redirect(307, "/bucket/moved?X-Sig=2"), answer(200, b"content"))
        link = f"{host.origin}/bucket/file?X-Sig=1"
        content = await peaka._transport.send(Request("x", "GET", "/", url=link, returns=bytes, safety=Safety.SAFE))

    assert (content, server.requests) == (b"content", [])
    assert [seen.target for seen in host.requests] == ["/bucket/file?X-Sig=1", "/bucket/moved?X-Sig=2"]
    assert {"authorization"} & {name for seen in host.requests for name in seen.headers} == set()


async def test_a_redirect_from_another_host_to_the_api_is_blocked(server, peaka):
    """What a file's host names is asked of nobody else, and its signature is shown to nobody."""
    async with ScriptedServer() as host:
        host.script(redirect(307, f"{server.base_url}/c?X-Sig=s3cret"))
        link = f"{host.origin}/bucket/file?X-Sig=s3cret"
        error = await blocked(
            peaka._transport.send(Request("x", "GET", "/", url=link, returns=bytes, safety=Safety.SAFE))
        )

    assert server.requests == []
    assert "s3cret" not in f"{error!r} {error.location}"
