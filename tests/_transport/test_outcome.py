"""Each error says what is known of the outcome: whether anything left, and whether a second call could do harm."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from scripted_server import ScriptedServer, answer, close_after_body, drip, hang, html_502, redirect
from test_send import SWIFT, client, failure_of, idempotent, once, safe

from peaka_async import (
    AuthorizationDenied,
    CancelledCall,
    ConfigurationError,
    ConnectError,
    DecodeError,
    InvalidRedirect,
    OutcomeUnknownError,
    PeakaError,
    PeakaTimeoutError,
    RateLimitError,
    Replayed,
    RetryPolicy,
    StateMismatch,
    Timeouts,
    WorkFailedError,
    cancelled_call,
)

pytestmark = pytest.mark.usefixtures("lane")

CALLS = [safe, idempotent, once]
SHORT = Timeouts(total=0.3, attempt=0.1)


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def peaka(server):
    async with client(server) as peaka:
        yield peaka


def known(error):
    return error.nothing_sent, error.outcome_unknown


@pytest.mark.parametrize("call", CALLS)
async def test_not_sent(server, peaka, call):
    """Nobody was reached: it is safe to call again."""
    server.refuse()

    assert known(await failure_of(call(peaka))) == (True, False)


@pytest.mark.parametrize("call", CALLS)
async def test_the_pool_is_full(server, call):
    """A call that found no connection before its deadline left nothing behind."""
    server.default = hang(after="body")
    async with client(server, timeout=Timeouts(total=5, attempt=None), max_connections=1) as peaka:
        holding = asyncio.create_task(peaka.with_options(timeout=Timeouts(total=1)).info())
        await server.seen()
        error = await failure_of(call(peaka.with_options(timeout=0.1)))
        await failure_of(holding)

    assert (error.phase, known(error)) == ("pool", (True, False))


@pytest.mark.parametrize("behaviour", [hang(after="body"), close_after_body()], ids=["hang", "close"])
@pytest.mark.parametrize("call", CALLS)
async def test_maybe_sent(server, peaka, call, behaviour):
    """It was sent and no answer came: only an operation that is sent once has an outcome that must be looked up."""
    server.default = behaviour

    error = await failure_of(call(peaka.with_options(timeout=SHORT)))

    assert known(error) == (False, call is once)
    assert isinstance(error, OutcomeUnknownError) == (call is once)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 520])
@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_can_follow_the_work(server, peaka, call, status):
    """A gateway's 5xx says nothing of the work behind it; the message says so, and what to do."""
    server.default = answer(status, {"message": "no"}, {"X-Request-Id": "r1"})

    error = await failure_of(call(peaka))

    assert (error.status, known(error), error.request_id) == (status, (False, call is once), "r1")
    assert ("check whether it took effect" in str(error)) == (call is once)
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (known(twin), str(twin), twin.request_id) == (known(error), str(error), "r1")


@pytest.mark.parametrize("call", CALLS)
async def test_429_to_the_end(server, peaka, call):
    """The server answered and did not look at the request: something left, and the outcome is known."""
    server.default = answer(429, {}, {"X-Request-Id": "r2"})

    error = await failure_of(call(peaka.with_options(timeout=0.3)))

    assert (type(error), known(error), error.request_id) == (RateLimitError, (False, False), "r2")


@pytest.mark.parametrize("call", CALLS)
async def test_429_and_then_nobody(server, peaka, call):
    """What was turned away with 429 does not count as sent if the rest never left."""

    async def turned_away(exchange):
        server.refuse()
        return await answer(429, {}, {"Connection": "close"})(exchange) or False

    server.script(turned_away)

    error = await failure_of(call(peaka))

    assert (type(error), error.attempts[0].status, known(error)) == (ConnectError, 429, (True, False))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_is_the_outcome(server, peaka, call, status):
    """Other statuses say what happened."""
    server.default = answer(status, {"message": "no", "requestId": "r3"})

    error = await failure_of(call(peaka))

    assert (known(error), error.request_id) == ((False, False), "r3")


@pytest.mark.parametrize("call", CALLS)
async def test_a_success_that_does_not_decode(server, peaka, call):
    """The work was done; the answer's id is there for the support case although its attempt did not fail."""
    server.default = answer(200, b"{", {"X-Request-Id": "r4"})

    error = await failure_of(call(peaka))

    assert (type(error), known(error), error.request_id) == (DecodeError, (False, False), "r4")
    assert [(line.number, line.status) for line in error.attempts] == [(1, 200)]


async def test_a_redirect(server, peaka):
    """A redirect that is not followed is an answer."""
    server.default = redirect(307, "http://elsewhere.example/")

    assert known(await failure_of(once(peaka))) == (False, False)


async def test_bad_input(peaka):
    """What is refused before it is sent was not sent."""
    assert known(await failure_of(peaka.connections.get("", "c"))) == (True, False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PeakaError("m"), (False, False)),
        (ConfigurationError("m"), (True, False)),
        (InvalidRedirect("m"), (True, False)),
        (StateMismatch("m"), (True, False)),
        (Replayed("m"), (True, False)),
        (AuthorizationDenied("m", error="access_denied"), (True, False)),
        (OutcomeUnknownError("m"), (False, True)),
        (PeakaTimeoutError("m"), (False, False)),
        (WorkFailedError("m"), (False, False)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PeakaError) else "",
)
def test_an_error_without_a_call(error, expected):
    """An error that no request led to says what its class knows."""
    assert (known(error), error.request_id) == (expected, None)


@pytest.mark.parametrize("behaviour", [hang(after="body"), drip(0.02)], ids=["before the answer", "in the answer"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_is_cancelled_after_it_was_sent(server, peaka, call, behaviour):
    """The cancellation carries what is known of the call."""
    server.script(behaviour)
    task = asyncio.create_task(call(peaka))
    await server.seen()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task

    found = cancelled_call(raised.value)
    assert known(found) == (False, call is once)
    assert found.operation.startswith("connections.")
    assert [line.number for line in found.attempts] == [1]


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_is_cancelled_before_it_was_sent(server, call):
    """While nobody is reached, a cancelled call is safe to make again."""
    server.refuse()
    waiting = asyncio.Event()

    def jitter(_):
        waiting.set()
        return 5.0

    async with client(server, retry=RetryPolicy(jitter=jitter)) as peaka:
        task = asyncio.create_task(call(peaka))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task

    assert known(cancelled_call(raised.value)) == (True, False)


async def test_a_limit_of_asyncio(server, peaka):
    """Whoever limits a call by `asyncio.timeout` finds what is known of it behind the TimeoutError."""
    server.script(hang(after="body"))

    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0.1):
            await once(peaka)

    assert known(cancelled_call(raised.value)) == (False, True)


def test_what_no_call_was_cancelled_for():
    """A cancellation of something else carries nothing."""
    assert cancelled_call(asyncio.CancelledError()) is None
    assert known(CancelledCall(operation="info")) == (True, False)


async def test_a_gateways_page(server, peaka):
    """The 502 of a gateway keeps its title and says that the outcome is not known."""
    server.script(html_502())

    error = await failure_of(once(peaka.with_options(retry=SWIFT)))

    assert str(error).startswith(
        "connections.oauth2_callback: HTTP 502: an HTML page titled '502 Bad Gateway'. It may have"
    )
