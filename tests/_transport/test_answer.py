"""What an answer means, and what the error that it is may show."""

from __future__ import annotations

import json
import pickle
import time
import traceback

import pytest
from scripted_server import CONNECTION, ScriptedServer, answer

from peaka_async import DecodeError, Oauth2Callback, PeakaClient, PeakaError, RetryPolicy
from peaka_async._request import Request, Safety
from peaka_async._transport.answer import Answer, error_of
from peaka_async._transport.redaction import Secrets

KEY = "pk-2f9c41d7"
CODE = "4/P7q7W91a-oMsCeLvIaQm6bTrgtp7"
CALLBACK = Oauth2Callback(f"code={CODE.replace('/', '%2F')}&state=s")


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


def client(server, key=KEY):
    return PeakaClient(key, base_url=server.base_url, retry=RetryPolicy(attempts=2, backoff=0))


def shown(error):
    """All that a log, a queue and a debugger's first line show of an error."""
    chain, link = [], error
    while link is not None:
        chain += [str(link), repr(link), repr(link.args), pickle.dumps(link, 0).decode("latin-1")]
        link = link.__cause__ or link.__context__
    return "\n".join([*chain, *traceback.format_exception(error)])


async def failure_of(coroutine):
    with pytest.raises(PeakaError) as raised:
        await coroutine
    return raised.value


@pytest.mark.parametrize("status", [200, 307, 400, 500])
async def test_each_key_of_a_callable_is_taken_out_like_a_static_one(server, status):
    """A token that lives short is as good as a key while it lives, and so is the one of the attempt before."""
    keys = iter(["first-t0ken", "second-t0ken"])

    async def credential():
        return next(keys)

    echo = {"message": "for first-t0ken and second-t0ken", "id": 5}
    headers = {"X-Echo": "Bearer second-t0ken", "Location": "/second-t0ken", "X-Request-Id": "of first-t0ken"}
    server.script(answer(429, echo, headers), answer(status, echo, headers))
    async with client(server, credential) as peaka:
        error = await failure_of(peaka.connections.oauth2_callback("p", CALLBACK))

    assert len(server.requests) == 2
    assert "t0ken" not in shown(error).replace("X-Echo", "")
    assert "t0ken" not in repr(error.attempts)


@pytest.mark.parametrize(
    "echo",
    [
        json.dumps({"message": CODE}).replace("/", "\\/"),
        json.dumps({"message": f"code={CODE}"}).replace("=", "\\u003d"),
        json.dumps({"error": CODE, "errorCode": CODE}),
        json.dumps({"message": {"posted": [CODE.replace("/", "&#x2F;")]}}),
        json.dumps({"requestId": CODE, "message": "no"}),
        f"<html><title>{CODE.replace('/', '&#47;')}</title></html>",
        f'"{CODE}"',
    ],
)
async def test_what_was_posted_is_taken_out_in_the_form_in_which_it_comes_back(server, echo):
    """Decoded or not: of the text, the names, the ids and what travels to another process."""
    media_type = "text/html" if echo.startswith("<") else "application/json"
    server.script(answer(400, echo.encode(), {"Content-Type": media_type}))
    async with client(server) as peaka:
        error = await failure_of(peaka.connections.oauth2_callback("p", CALLBACK))

    text = shown(error) + repr(error.attempts) + error.redacted_body.decode()
    assert [part for part in ("P7q7W91a", "oMsCeLvIaQm6bTrgtp7") if part in text] == []
    assert "[redacted]" in text


async def test_a_credential_in_a_plain_mapping_is_taken_out(server):
    """What a mapping names as a secret is one, quotes, backslashes and letters beyond ASCII included."""
    secret = 'pä"ss\\wörd'
    server.script(answer(400, {"message": f"cannot log in with {secret}"}))
    async with client(server) as peaka:
        body = {"name": "n", "credential": {"password": secret}}
        error = await failure_of(peaka.request("POST", "/connections/p", body=body))

    assert error.message == "cannot log in with [redacted]"
    assert "wörd" not in shown(error)


async def test_a_decode_error_shows_nothing_that_was_sent(server):
    """Neither in its headers nor in the place in the answer that it names."""
    server.script(answer(200, {"metadata": {CODE: 5}}, {"X-Echo": CODE}))
    async with client(server) as peaka:
        error = await failure_of(
            peaka._transport.send(
                Request("x", "POST", "/x", returns=dict[str, dict[str, str]], safety=Safety.ONCE, body=CALLBACK)
            )
        )

    assert (type(error), error.headers["x-echo"], error.path) == (DecodeError, "[redacted]", "$.metadata.[redacted]")
    assert CODE not in shown(error)
    assert CODE in error.body.decode()


async def test_the_raw_body_is_in_no_pickle(server):
    """What travels is the beginning of the body, without what was sent; the live error has all of it."""
    body = json.dumps({"message": CODE, "more": "x" * 100_000}).encode()
    server.script(answer(400, body))
    async with client(server) as peaka:
        error = await failure_of(peaka.connections.oauth2_callback("p", CALLBACK))
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert error.body == body
    assert twin.body == error.redacted_body
    assert twin.body.startswith(b'{"message": "[redacted]", "more": "xxx')
    assert len(twin.body) < 20_000


def test_an_error_costs_no_more_than_its_size():
    """A megabyte posted and a megabyte answered are done in the time of a few kilobytes: what is kept is bounded."""
    posted = "&".join(f"k{number}=" + "aB3%2F" * 5 for number in range(30_000))
    body = json.dumps({"message": posted}).encode()
    started = time.process_time()
    request = Request("x", "POST", "/x", returns=object, safety=Safety.ONCE, body=Oauth2Callback(posted))
    error = error_of(request, Answer(400, {}, body), Secrets([posted]))

    assert time.process_time() - started < 10  # it was half a minute
    assert "aB3" not in f"{error} {error.redacted_body.decode()}"


@pytest.mark.parametrize(
    "page",
    [
        "<title>" + " " * 200_000,
        "<title" * 40_000,
        "<title>" * 40_000,
        "<title>x</title" * 20_000,
        "there is no " * 20_000,
        "there is no " + "x" * 250_000,
    ],
)
def test_no_page_takes_long_to_read(page):
    """The title is found in linear time; a pattern that backtracks would take minutes on these."""
    request = Request("x", "GET", "/x", returns=object, safety=Safety.SAFE)
    started = time.process_time()
    for media_type in ("text/html", "text/plain"):
        error_of(request, Answer(400, {"Content-Type": media_type}, page.encode()), Secrets())

    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<html><head><TITLE lang=en>\n 502 Bad &amp; Gateway </TITLE>", "an HTML page titled '502 Bad & Gateway'"),
        ("<titles>no</titles>", "an HTML page"),
        ("<title>never closed", "an HTML page"),
        ("<title></title>", "an HTML page"),
        ("", "an HTML page"),
    ],
)
def test_a_page_is_named_by_its_title(page, message):
    """In any case and with attributes; a page without is told as one."""
    request = Request("x", "GET", "/x", returns=object, safety=Safety.SAFE)

    assert error_of(request, Answer(400, {"Content-Type": "text/html"}, page.encode()), Secrets()).message == message


def test_a_text_that_no_log_can_carry_is_made_one():
    """A lone surrogate in an error's text is replaced."""
    request = Request("x", "GET", "/x", returns=object, safety=Safety.SAFE)
    error = error_of(request, Answer(400, {}, b'{"message": "a\\ud800b", "error": "\\udfff"}'), Secrets())

    assert str(error) == "x: HTTP 400 ?: a?b"


def test_reprs_show_neither_links_nor_bodies():
    """What a debugger or a failed assertion prints of the transport's own values."""
    request = Request(
        "exports.download", "GET", "/", url="https://b.example/f?X-Sig=s3cret", body={"a": "s3cret"},
        headers={"Cookie": "s3cret"}, returns=bytes, safety=Safety.SAFE,
    )  # fmt: skip
    received = Answer(200, {"Set-Cookie": "s3cret"}, b"s3cret")

    assert "s3cret" not in f"{request!r} {received!r}"


@pytest.mark.parametrize(
    ("method", "behaviour"),
    [("GET", answer(204)), ("DELETE", answer(204)), ("GET", answer(200, b"")), ("POST", answer(202, b" \n")),
     ("HEAD", answer()), ("HEAD", answer(204))],
)  # fmt: skip
async def test_no_body_is_none_where_nothing_is_expected(server, method, behaviour):
    """204, an empty 200 and the answer to HEAD are no error, and the next call gets its own answer."""
    server.script(behaviour)
    async with client(server) as peaka:
        assert await peaka.request(method, "/x") is None
        assert await peaka.request("GET", "/x") == CONNECTION


@pytest.mark.parametrize("behaviour", [answer(204), answer(200, b"")])
async def test_no_body_is_an_error_where_something_is_expected(server, behaviour):
    """A connection without a body is none; that nothing was expected is said by the operation alone."""
    server.script(behaviour, behaviour)
    async with client(server) as peaka:
        error = await failure_of(peaka.connections.get("p", "c"))
        deleted = await peaka.api_keys.delete("p", "k")

    assert (type(error), "the body is empty" in str(error), deleted) == (DecodeError, True, None)


async def test_bytes_come_as_they_are(server):
    """What is no JSON, such as an image, is not decoded."""
    image = b"\x89PNG\r\n\x00\xff"
    server.script(answer(200, image, content_type="image/png"))
    async with client(server) as peaka:
        found = await peaka._transport.send(Request("x", "GET", "/x", returns=bytes, safety=Safety.SAFE))

    assert found == image
