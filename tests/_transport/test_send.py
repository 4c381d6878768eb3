"""What a call does on the wire, against a server that misbehaves."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import attrs
import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from scripted_server import (
    CONNECTION,
    ScriptedServer,
    answer,
    answer_then_close,
    close_after_body,
    delayed,
    drip,
    garbage,
    hang,
    html_502,
    oversize,
    redirect,
    reset,
    truncated,
)

from peaka_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    Connection,
    ConnectionRequest,
    DecodeError,
    NotFoundError,
    Oauth2Callback,
    OutcomeUnknownError,
    PeakaClient,
    PeakaError,
    PeakaTimeoutError,
    PermissionDeniedError,
    RateLimitError,
    RedirectBlockedError,
    RetryPolicy,
    ServerError,
    Timeouts,
    TransportError,
    WireProgress,
)

pytestmark = pytest.mark.usefixtures("lane")

KEY = "pk-2f9c41d7"
CALLBACK = Oauth2Callback(query_parameters="code=1234&state=xyz&param1=value1&param2=value2")
DONE = Connection(**CONNECTION)
SWIFT = RetryPolicy(backoff=0.001, rate_limit_backoff=0.001, max_backoff=0.002, unsent_seconds=0.05)


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def peaka(server):
    async with client(server) as peaka:
        yield peaka


# For servers that never answer: long enough for a busy machine, and no longer.
IMPATIENT = Timeouts(total=30, attempt=1)


def client(server, **options):
    options.setdefault("timeout", Timeouts(total=20, attempt=5, connect=5))
    options.setdefault("retry", SWIFT)
    return PeakaClient(KEY, base_url=server.base_url, **options)


async def once(peaka):
    return await peaka.connections.oauth2_callback("mtKDhe1U", CALLBACK)


async def safe(peaka):
    return await peaka.connections.get("mtKDhe1U", "c1")


async def idempotent(peaka):
    return await peaka.connections.update("mtKDhe1U", "c1", ConnectionRequest(name="n"))


async def failure_of(coroutine):
    with pytest.raises(PeakaError) as raised:
        await coroutine
    return raised.value


# ── The call ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_callback_is_one_post_of_the_query_as_it_came(server, peaka):
    """The main job is one POST with the key, whose JSON body holds the query unchanged."""
    connection = await once(peaka)

    (seen,) = server.requests
    assert connection == DONE
    assert (seen.method, seen.target) == ("POST", "/api/v1/connections/mtKDhe1U/oauth2")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.body == b'{"queryParameters":"code=1234&state=xyz&param1=value1&param2=value2"}'


@pytest.mark.parametrize(
    ("project", "segment"), [("a/b", "a%2Fb"), ("../x", "..%2Fx"), ("a?b#c", "a%3Fb%23c"), ("é %", "%C3%A9%20%25")]
)
async def test_a_path_parameter_stays_one_segment(server, peaka, project, segment):
    """Whatever a path parameter holds, it cannot reach another path."""
    await peaka.connections.oauth2_callback(project, CALLBACK)

    assert [seen.target for seen in server.requests] == [f"/api/v1/connections/{segment}/oauth2"]


@pytest.mark.parametrize("project", ["", "  ", ".", "..", "a\r\nb", "a\x00", 5, None, "x" * 3000])
async def test_a_wrong_path_parameter_never_reaches_the_wire(server, peaka, project):
    """A path parameter that cannot be one segment is refused with a typed error."""
    error = await failure_of(peaka.connections.oauth2_callback(project, CALLBACK))

    assert (type(error), error.operation, server.connections) == (
        ConfigurationError,
        "connections.oauth2_callback",
        0,
    )


async def test_an_async_callable_gives_the_key_of_each_attempt(server):
    """A credential that lives short is fetched again before every attempt."""
    keys = iter(["first", "second"])

    async def credential():
        return next(keys)

    server.script(answer(429))
    async with PeakaClient(credential, base_url=server.base_url, retry=SWIFT) as peaka:
        await once(peaka)

    assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer first", "Bearer second"]


async def test_what_the_credential_callable_raises_is_the_applications_own(server):
    """Errors of the application's callable pass through, and nothing is sent."""

    async def credential():
        raise LookupError("vault")

    async with PeakaClient(credential, base_url=server.base_url) as peaka:
        with pytest.raises(LookupError):
            await once(peaka)

    assert server.requests == []


async def test_a_credential_callable_is_bounded_by_the_deadline(server):
    """A callable that hangs ends with the phase that says so, and nothing is sent."""

    async def credential():
        await asyncio.sleep(60)

    async with PeakaClient(credential, base_url=server.base_url, timeout=0.05) as peaka:
        error = await failure_of(once(peaka))

    assert (type(error), error.phase, error.progress) == (PeakaTimeoutError, "credential", WireProgress.NOT_SENT)


# ── The retry table: rows by columns, counted in requests that the server saw ────────────────────────────────────────

MAYBE_SENT = {
    "hang before reading": hang(after="head"),
    "hang after reading": hang(after="body"),
    "reset before reading": reset(after="head"),
    "reset after reading": reset(after="body"),
    "close after reading": close_after_body(),
    "broken body": truncated(),
    "garbage head": garbage(),
    "dripping body": drip(0.05),
}


@pytest.mark.parametrize("behaviour", MAYBE_SENT.values(), ids=MAYBE_SENT)
@pytest.mark.parametrize("call", [safe, idempotent])
async def test_maybe_sent_is_retried_where_that_does_no_harm(server, peaka, behaviour, call):
    """SAFE and IDEMPOTENT operations are sent again after a failure on the wire."""
    server.script(behaviour)

    assert await call(peaka.with_options(timeout=IMPATIENT)) == DONE
    assert len(server.requests) == 2


@pytest.mark.parametrize("behaviour", MAYBE_SENT.values(), ids=MAYBE_SENT)
async def test_maybe_sent_is_never_repeated_for_once(server, peaka, behaviour):
    """A ONCE operation that may have been sent ends at once, in an error that says nobody knows."""
    server.script(behaviour)

    error = await failure_of(once(peaka.with_options(timeout=IMPATIENT)))

    assert (type(error), error.progress, len(server.requests)) == (OutcomeUnknownError, WireProgress.MAYBE_SENT, 1)
    assert "not sent again" in str(error)


@pytest.mark.parametrize("behaviour", MAYBE_SENT.values(), ids=MAYBE_SENT)
@pytest.mark.parametrize("call", [safe, once])
async def test_a_warm_connection_changes_nothing(server, peaka, behaviour, call):
    """On a connection that was used before, one attempt is still one request, and ONCE is still sent once."""
    await safe(peaka)
    server.requests.clear()
    server.script(behaviour)
    impatient = peaka.with_options(timeout=IMPATIENT)

    if call is safe:
        await safe(impatient)
    else:
        await failure_of(once(impatient))

    assert len(server.requests) == (2 if call is safe else 1)


@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_not_sent_is_retried_for_all(server, peaka, call):
    """A refused connection is tried again, whatever the operation: nothing had left."""
    server.refuse()
    failed = asyncio.Event()

    def until_reopened(_):
        failed.set()
        return 0.01

    policy = RetryPolicy(jitter=until_reopened)

    async def reopen():
        await failed.wait()
        await server.listen()

    reopening = asyncio.create_task(reopen())
    raw = await peaka.with_options(retry=policy).with_raw_response(
        *{
            safe: (peaka.with_options(retry=policy).connections.get, "p", "c"),
            idempotent: (
                peaka.with_options(retry=policy).connections.update,
                "p",
                "c",
                ConnectionRequest(name="n"),
            ),
            once: (peaka.with_options(retry=policy).connections.oauth2_callback, "p", CALLBACK),
        }[call]
    )
    await reopening

    *unsent, last = [(line.progress, line.error) for line in raw.attempts]
    assert set(unsent) == {(WireProgress.NOT_SENT, "ConnectError")}
    assert last == (WireProgress.ANSWERED, None)
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_a_server_that_stays_away_ends_in_connect_error(server, peaka, call):
    """After `unsent_seconds` the error says that nothing was sent; the attempts are not counted."""
    server.refuse()

    error = await failure_of(call(peaka.with_options(retry=attrs.evolve(SWIFT, unsent_seconds=3.0))))

    assert (type(error), error.progress, error.problem) == (ConnectError, WireProgress.NOT_SENT, "connection")
    assert len(error.attempts) > 3
    assert "Nothing was sent" in str(error)


@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_a_name_that_does_not_resolve_counts(call):
    """Another attempt hardly helps: three are made, and the typed error comes at once."""
    async with PeakaClient(KEY, base_url="https://peaka.invalid/api/v1") as peaka:
        error = await failure_of(call(peaka))

    assert (type(error), error.problem, error.nothing_sent, len(error.attempts)) == (ConnectError, "name", True, 3)


@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_one_attempt_is_never_repeated(server, peaka, call):
    """`attempts=1` repeats nothing: not what was never sent, and not what was told 429."""
    single = peaka.with_options(retry=RetryPolicy(attempts=1))
    server.script(answer(429, {}, {"Connection": "close"}))
    limited = await failure_of(call(single))
    server.refuse()
    refused = await failure_of(call(single))

    assert (type(limited), len(limited.attempts), len(server.requests)) == (RateLimitError, 1, 1)
    assert (type(refused), len(refused.attempts)) == (ConnectError, 1)


@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_429_is_retried_for_all(server, peaka, call):
    """A server that refuses to look at the request is asked again and again, whatever the operation."""
    server.script(*[answer(429, {})] * 7)

    assert await call(peaka) == DONE
    assert len(server.requests) == 8


TRANSIENT = [408, 425, 500, 502, 503, 504]


@pytest.mark.parametrize("status", TRANSIENT)
@pytest.mark.parametrize("call", [safe, idempotent])
async def test_transient_statuses_are_retried_where_that_does_no_harm(server, peaka, status, call):
    """SAFE and IDEMPOTENT operations are sent again after a temporary error."""
    server.script(answer(status, {}))

    assert await call(peaka) == DONE
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", TRANSIENT)
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
async def test_transient_statuses_end_a_once_call(server, peaka, status, headers):
    """A ONCE operation is not repeated after them, Retry-After or not: a gateway can answer after forwarding."""
    server.script(answer(status, {}, headers))

    error = await failure_of(once(peaka))

    assert (isinstance(error, APIError), error.status, len(server.requests)) == (True, status, 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (418, APIError),
        (422, BadRequestError),
        (501, ServerError),
    ],
)
@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_other_statuses_are_final(server, peaka, status, kind, call):
    """An answer that another attempt would get again ends the call."""
    server.script(answer(status, {"message": "no"}))

    error = await failure_of(call(peaka))

    assert (type(error), error.status, error.message, len(server.requests)) == (kind, status, "no", 1)


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"id":5}', b"", b"\xff", b"nope"])
@pytest.mark.parametrize("call", [safe, idempotent, once])
async def test_2xx_that_does_not_decode_is_final(server, peaka, body, call):
    """A success whose answer cannot be read is not repeated, and says that the call succeeded."""
    server.script(answer(200, body))

    error = await failure_of(call(peaka))

    assert (type(error), error.status, error.body, len(server.requests)) == (DecodeError, 200, body, 1)
    assert "the call succeeded" in str(error)


async def test_attempts_end(server, peaka):
    """Three attempts are made, and the last error is the call's, with the ledger."""
    server.script(*[answer(503, {})] * 5)

    error = await failure_of(safe(peaka))

    assert [(line.number, line.status, line.error) for line in error.attempts] == [
        (1, 503, "ServerError"),
        (2, 503, "ServerError"),
        (3, 503, "ServerError"),
    ]
    assert len(server.requests) == 3


# ── Retry-After ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({"Retry-After": "0.05"}, "retry-after"),
        ({"Retry-After-Ms": "50"}, "retry-after-ms"),
        ({"Retry-After-Ms": "50", "Retry-After": "40"}, "retry-after-ms"),
        ({"Retry-After": "junk"}, "backoff"),
        ({"Retry-After": "-5"}, "backoff"),
        ({"Retry-After": "nan"}, "backoff"),
        ({"Retry-After": "1e999"}, "backoff"),
        ({"Retry-After-Ms": ""}, "backoff"),
    ],
)
async def test_the_ledger_says_where_a_delay_came_from(server, peaka, headers, source):
    """A server's hint sets the delay; junk leaves the backoff in place."""
    server.script(answer(429, {}, headers))

    raw = await peaka.with_raw_response(peaka.connections.oauth2_callback, "p", CALLBACK)

    assert raw.attempts[0].delay_source == source
    assert (0.05 <= raw.attempts[0].delay <= 0.051) == (source != "backoff")


async def test_retry_after_as_a_date_counts_from_the_servers_clock(server, peaka):
    """A date is compared with the answer's own Date, so that a skewed local clock does not matter."""
    then = datetime(2020, 1, 1, tzinfo=UTC)
    dates = {"Date": format_datetime(then, usegmt=True)}
    dates["Retry-After"] = format_datetime(then + timedelta(seconds=1), usegmt=True)
    server.script(answer(429, {}, dates))

    raw = await peaka.with_raw_response(peaka.connections.oauth2_callback, "p", CALLBACK)

    assert (raw.attempts[0].delay, raw.attempts[0].delay_source) == (pytest.approx(1, abs=0.001), "retry-after-date")


async def test_a_hint_longer_than_the_call_may_take_fails_now(server, peaka):
    """A server that asks for an hour is believed: the call ends at once and says when to come back."""
    server.script(answer(429, {}, {"Retry-After": "3600"}))

    error = await failure_of(once(peaka))

    assert (type(error), error.retry_after, len(server.requests)) == (RateLimitError, 3600.0, 1)


async def test_one_429_pauses_the_other_callers(server, peaka):
    """While one caller was told to wait, the others do not go and find out by themselves."""
    server.script(answer(429, {}, {"Retry-After": "0.2"}))
    first = asyncio.create_task(once(peaka))
    while not server.requests:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)

    others = [asyncio.create_task(safe(peaka)) for _ in range(5)]
    await asyncio.sleep(0.1)
    during = len(server.requests)
    await asyncio.gather(first, *others)

    assert (during, len(server.requests)) == (1, 7)


async def test_a_pause_longer_than_the_deadline_fails_unsent(server, peaka):
    """A caller that cannot wait for the end of the pause is told so, and nothing is sent."""
    server.script(answer(429, {}, {"Retry-After": "30"}))
    await failure_of(once(peaka))

    error = await failure_of(once(peaka))

    assert (type(error), error.phase, error.progress, len(server.requests)) == (
        PeakaTimeoutError,
        "rate-limit",
        WireProgress.NOT_SENT,
        1,
    )


async def test_the_budget_stops_a_storm(server):
    """While everything fails, retries end when the shared budget is spent."""
    server.default = answer(503, {})
    async with client(server) as peaka:
        for _ in range(80):
            await failure_of(safe(peaka))

        # 500 tokens pay for 35 retries; without the budget 80 calls make 240 requests.
        assert len(server.requests) == 115

        server.default = answer()
        for _ in range(490):
            await safe(peaka)
        assert peaka._transport.shared.budget.tokens == 500


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_one_deadline_bounds_the_whole_call(server):
    """Attempts and waits together never pass the deadline, however many the policy allows."""
    server.default = hang(after="body")
    policy = RetryPolicy(attempts=50, backoff=0.01, max_backoff=0.01)
    async with client(server, timeout=Timeouts(total=1, attempt=0.1), retry=policy) as peaka:
        started = asyncio.get_running_loop().time()
        error = await failure_of(safe(peaka))
        took = asyncio.get_running_loop().time() - started

    assert (type(error), error.phase) == (PeakaTimeoutError, "response")
    assert 2 <= len(server.requests) <= 10
    assert 0.9 < took < 5  # 50 attempts would take longer


async def test_the_attempts_limit_bounds_a_dripping_body(server):
    """A body that never stops coming is an attempt that took too long."""
    server.script(drip(0.05))
    async with client(server, timeout=Timeouts(total=5, attempt=0.2), retry=RetryPolicy(attempts=1)) as peaka:
        error = await failure_of(safe(peaka))

    assert (type(error), error.phase, error.progress) == (PeakaTimeoutError, "body", WireProgress.MAYBE_SENT)


async def test_waiting_for_a_connection_is_bounded_by_the_deadline_alone(server):
    """A wait for the pool longer than an attempt may take does not fail: the attempt has not begun."""
    server.default = delayed(0.15, answer())
    async with client(server, timeout=Timeouts(total=20, attempt=0.5), max_connections=1) as peaka:
        done = await asyncio.gather(*(once(peaka) for _ in range(5)))

    assert done == [DONE] * 5
    assert (len(server.requests), server.connections) == (5, 1)


async def test_a_pool_wait_that_passes_the_deadline_was_not_sent(server):
    """The phase says that the pool was full; nothing was sent, so the call is safe to repeat."""
    server.default = hang(after="body")
    async with client(server, timeout=Timeouts(total=0.3, attempt=None), max_connections=1) as peaka:
        holding = asyncio.create_task(failure_of(safe(peaka)))
        await asyncio.sleep(0.1)
        error = await failure_of(once(peaka.with_options(timeout=0.1)))
        await holding

    assert (type(error), error.phase, error.progress) == (PeakaTimeoutError, "pool", WireProgress.NOT_SENT)


async def test_an_error_status_is_known_even_where_its_body_hangs(server, peaka):
    """The status of a 400 is the outcome; its body is only its explanation."""
    server.script(drip(0.05, b'{"message":"state is unknown to us"}', status=400))

    error = await failure_of(once(peaka))

    assert (type(error), error.status, len(server.requests)) == (BadRequestError, 400, 1)


async def test_a_server_that_does_not_accept_was_not_sent():
    """A connect that hangs ends after the connect limit, as unsent, whatever the operation."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        options = {
            "timeout": Timeouts(total=5, attempt=3, connect=0.1),
            "retry": RetryPolicy(backoff=0, unsent_seconds=0.15),
        }
        async with PeakaClient(KEY, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", **options) as waiting:
            error = await failure_of(once(waiting))
        for filler in fillers:
            filler.close()

    assert (type(error), error.phase, error.progress) == (PeakaTimeoutError, "connect", WireProgress.NOT_SENT)
    assert len(error.attempts) >= 2


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def private():
    """A server whose certificate no public CA signed."""
    async with ScriptedServer(tls=True) as server:
        yield server


async def test_a_private_ca_is_trusted_where_it_is_given(private):
    """An installation of one's own is reached over TLS, warm connections included."""
    async with client(private, ssl=private.ssl_context) as peaka:
        done = [await once(peaka) for _ in range(3)]

    assert (done, private.connections) == ([DONE] * 3, 1)


async def test_a_stale_tls_connection_is_noticed_too(private):
    """Session tickets in the socket's buffer do not look like an end, and an end is seen behind them."""
    async with client(private, ssl=private.ssl_context) as peaka:
        for _ in range(5):
            await once(peaka)
            await private.close_connections()

    assert (len(private.requests), private.connections) == (5, 5)


async def test_an_untrusted_certificate_is_told(private):
    """Nothing is sent to a server that cannot prove who it is, and the error says what to do."""
    async with client(private) as peaka:
        error = await failure_of(once(peaka))

    assert (type(error), error.problem, error.nothing_sent, private.requests) == (ConnectError, "tls", True, [])
    assert len(error.attempts) == 3
    assert "certificate" in str(error)


# ── Redirects, sizes, stale connections ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_with_a_body(server, peaka, status):
    """Neither the code nor the key travels on to where a redirect points."""
    async with ScriptedServer() as elsewhere:
        server.script(redirect(status, f"{elsewhere.base_url}/steal?code=1"))
        error = await failure_of(once(peaka))

    assert (type(error), error.status, error.location, elsewhere.connections) == (
        RedirectBlockedError,
        status,
        f"{elsewhere.base_url}/steal",
        0,
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_across_origins(server, peaka, status):
    """A GET does not carry the key to another host either."""
    async with ScriptedServer() as elsewhere:
        server.script(redirect(status, elsewhere.base_url))
        error = await failure_of(safe(peaka))

    assert (type(error), elsewhere.connections, len(server.requests)) == (RedirectBlockedError, 0, 1)


async def test_a_redirect_of_a_get_within_the_origin_is_followed(server, peaka):
    """A gateway that normalises paths does not break reads."""
    server.script(redirect(308, "/api/v1/connections/mtKDhe1U/c1/"))

    assert await safe(peaka) == DONE
    assert [seen.target for seen in server.requests] == [
        "/api/v1/connections/mtKDhe1U/c1",
        "/api/v1/connections/mtKDhe1U/c1/",
    ]


async def test_redirects_end(server, peaka):
    """A loop of redirects is an error, not a hang."""
    server.default = redirect(302, "/api/v1/again")

    error = await failure_of(safe(peaka))

    assert (type(error), len(server.requests)) == (RedirectBlockedError, 6)


@pytest.mark.parametrize("form", [{}, {"chunked": True}, {"zipped": True}])
async def test_an_answer_has_a_size_limit(server, form):
    """An answer larger than the limit ends in a DecodeError, since the call itself succeeded."""
    server.script(oversize(200_000, **form))
    async with client(server, max_response_bytes=100_000) as peaka:
        error = await failure_of(once(peaka))

    assert (type(error), len(server.requests)) == (DecodeError, 1)
    assert "max_response_bytes" in str(error)


async def test_a_stale_connection_does_not_cost_a_once_call_its_safety(server, peaka):
    """A connection that the server closed while it was idle is noticed before anything is written."""
    server.script(*[answer_then_close()] * 20)

    done = [await once(peaka) for _ in range(20)]

    assert done == [DONE] * 20
    assert (len(server.requests), server.connections) == (20, 20)


async def test_a_server_restart_between_calls_is_not_noticed(server, peaka):
    """All pooled connections die, in the same turn of the loop as the next call: it succeeds, sent once."""
    await asyncio.gather(*(safe(peaka) for _ in range(10)))
    server.requests.clear()
    await server.close_connections()

    assert await once(peaka) == DONE
    assert len(server.requests) == 1


# ── Error bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"errorCode": 100, "message": "m"}, (None, 100, "m")),
        ({"error": "INVALID", "message": "m", "errorCode": "xx1"}, ("INVALID", "xx1", "m")),
        ({"error": "WrongRequestException", "message": "m", "errorCode": None}, ("WrongRequestException", None, "m")),
        ({"error": "INVALID_CREDENTIALS"}, ("INVALID_CREDENTIALS", None, "Bad Request")),
        ({"code": 7, "message": "m", "reason": "r"}, (None, 7, "m")),
        ({"errorCode": "TABLE_NOT_CACHEABLE"}, (None, "TABLE_NOT_CACHEABLE", "Bad Request")),
        (b"", (None, None, "Bad Request")),
        (b'"a catalog of this name exists"', (None, None, "a catalog of this name exists")),
        (b"[1, 2]", (None, None, "[1, 2]")),
    ],
)
async def test_every_form_of_error_body_is_read(server, peaka, body, expected):
    """The service has several forms of error; each gives its name, code and text."""
    server.script(answer(400, body))

    error = await failure_of(once(peaka))

    assert (error.error, error.error_code, error.message) == expected


async def test_an_html_error_page_is_named_not_quoted(server, peaka):
    """A gateway's page is told by its title."""
    server.script(html_502())

    error = await failure_of(once(peaka))

    assert (type(error), error.message) == (ServerError, "an HTML page titled '502 Bad Gateway'")


@pytest.mark.parametrize(
    "body",
    [
        {"error": "X", "message": "There is no query with id 5", "errorCode": "cn004"},
        {"error": "INVALID_CONNECTION_ID", "message": "no such", "errorCode": "cn004"},
        {"error": "WrongRequestException", "message": "Cache settings not found", "errorCode": None},
    ],
)
async def test_a_400_that_means_not_found_is_not_found(server, peaka, body):
    """The live service says 400 where it means 404."""
    server.script(answer(400, body))

    assert type(await failure_of(safe(peaka))) is NotFoundError


async def test_the_request_id_is_in_the_ledger(server, peaka):
    """A support case needs the id that the service gave the request."""
    server.script(answer(500, {"timestamp": 1, "path": "/x", "status": 500, "error": "E", "requestId": "ab12"}))

    error = await failure_of(once(peaka))

    assert [line.request_id for line in error.attempts] == ["ab12"]


# ── Cancellation and storms ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("behaviour", [hang(after="body"), drip(0.02)], ids=["before the answer", "in the answer"])
async def test_cancellation_passes_and_says_that_it_was_sent(server, peaka, behaviour):
    """A cancelled call is cancelled, carries a note, and its connection is not used again."""
    server.script(behaviour)
    task = asyncio.create_task(once(peaka))
    while not server.requests or not server.requests[0].complete:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task

    assert await once(peaka) == DONE
    assert (len(server.requests), server.connections) == (2, 2)
    assert "after it was sent" in raised.value.__notes__[0]


class OpenSpans(SpanProcessor):
    def __init__(self):
        self.begun = self.open = 0

    def on_start(self, span, parent_context=None):
        self.begun += 1
        self.open += 1

    def on_end(self, span):
        self.open -= 1


async def test_a_thousand_calls_through_faults_each_end_once(server):
    """Whatever the wire does, a callback is sent once and ends in one outcome; nothing stays open."""
    chance = random.Random(20)
    faults = [
        reset(after="head"),
        reset(after="body"),
        close_after_body(),
        truncated(),
        garbage(),
        html_502(),
        answer(200, b"{"),
        answer(400, {"message": "no"}),
        answer_then_close(),
        delayed(0.3, answer()),
    ]
    server.script(*[chance.choice(faults) if chance.random() < 0.3 else answer() for _ in range(1000)])
    before = set(asyncio.all_tasks())
    spans = OpenSpans()
    provider = TracerProvider()
    provider.add_span_processor(spans)

    options = {"timeout": Timeouts(total=300, attempt=0.15), "max_connections": 20, "tracer_provider": provider}
    async with client(server, **options) as peaka:
        outcomes = await asyncio.gather(
            *(
                peaka.connections.oauth2_callback("p", Oauth2Callback(f"code=c{number}&state=s"))
                for number in range(1000)
            ),
            return_exceptions=True,
        )
    await server.until(lambda: not server.open_connections)
    gc.collect()

    # A busy machine can take longer than an attempt may, before anything was sent.
    sent = [outcome for outcome in outcomes if not (isinstance(outcome, PeakaError) and outcome.nothing_sent)]
    assert {type(outcome) for outcome in sent} == {
        Connection,
        OutcomeUnknownError,
        ServerError,
        DecodeError,
        BadRequestError,
    }
    bodies = [seen.body for seen in server.requests if seen.complete]
    assert len(bodies) == len(set(bodies))
    assert len(server.requests) <= 1000
    assert server.open_connections == 0
    assert spans.begun >= 2000
    assert spans.open == 0
    assert {task for task in asyncio.all_tasks() - before if "_accept" not in repr(task)} == set()


# ── Configuration ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unsafe_address_is_refused():
    """The key is not sent unencrypted, unless the caller allows it."""
    with pytest.raises(ConfigurationError, match="unencrypted"):
        PeakaClient(KEY, base_url="http://peaka.example/api/v1")
    assert "peaka.example" in repr(PeakaClient(KEY, base_url="http://peaka.example/api/v1", allow_http=True))


@pytest.mark.parametrize("key", ["", " ", "a\nb", "é", "a b", 5])
async def test_a_key_that_no_header_can_carry_is_refused(key):
    """A pasted line end is told before anything is sent, without showing the key."""
    with pytest.raises(ConfigurationError) as raised:
        PeakaClient(key)
    assert "Nothing was sent" in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ({}, "https://partner.peaka.studio/api/v1"),
        ({"zone": "eu"}, "https://partner.eu.peaka.studio/api/v1"),
        ({"base_url": "https://peaka.corp:8443/partner/api/v1/"}, "https://peaka.corp:8443/partner/api/v1"),
    ],
)
async def test_a_zone_or_a_base_url_says_where(monkeypatch, arguments, address):
    """A zone has its address; a base URL keeps its prefix, with or without a trailing slash."""
    monkeypatch.delenv("PEAKA_BASE_URL", raising=False)

    assert repr(PeakaClient(KEY, **arguments)) == f"<PeakaClient {address}>"


async def test_a_path_prefix_is_kept(server):
    """An installation behind a prefix is reached there."""
    async with PeakaClient(KEY, base_url=server.base_url.replace("/api/v1", "/partner/api/v1/")) as peaka:
        await once(peaka)

    assert [seen.target for seen in server.requests] == ["/partner/api/v1/connections/mtKDhe1U/oauth2"]


async def test_a_body_that_is_not_json_is_refused_unsent(server, peaka):
    """Bad input gets a typed error before anything goes on the wire."""
    request = ConnectionRequest("n", "t", {"port": float("nan")})

    error = await failure_of(peaka.connections.create("p", request))

    assert (type(error), server.connections) == (ConfigurationError, 0)
    assert "$.credential.port" in str(error)


async def test_what_is_not_modelled_can_be_requested(server, peaka):
    """The way around the models has the same retries, and a method's safety."""
    server.script(answer(503, {}), answer(200, {"userId": "u"}))

    assert await peaka.request("get", "/info", query={"limit": 5, "deep": True, "none": None}) == {"userId": "u"}
    assert [seen.target for seen in server.requests] == ["/api/v1/info?limit=5&deep=true"] * 2


@pytest.mark.parametrize("path", ["info", "/a?b=c", "/../x", "/a/%2e%2E/b", "/a b", "/é", "/{x}"])
async def test_a_wrong_path_is_refused(peaka, path):
    """The way around the models leaves the base URL for no other path."""
    assert type(await failure_of(peaka.request("GET", path))) is ConfigurationError


@pytest.mark.parametrize("method", ["", "GET /other HTTP/1.1\r\nX:", "G T", "GÉT"])
async def test_a_wrong_method_is_refused(peaka, method):
    """The way around the models makes one request, and no other than it was asked to."""
    assert type(await failure_of(peaka.request(method, "/info"))) is ConfigurationError


async def test_transport_errors_hold_nothing_foreign(server, peaka):
    """Nothing of aiohttp is the cause or context of an error: its requests hold the key."""
    server.script(reset(after="body"))

    error = await failure_of(once(peaka))
    chain = []
    link = error
    while link is not None:
        chain.append(type(link))
        link = link.__cause__ or link.__context__

    assert set(chain) <= {OutcomeUnknownError, TransportError, PeakaTimeoutError}
