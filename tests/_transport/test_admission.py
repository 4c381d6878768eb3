"""What a call waits for before it is sent: throttle, key and limiter, with a real server behind them."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from scripted_server import ScriptedServer, answer
from test_send import DONE, KEY, SWIFT, client, failure_of, once, safe
from test_tracing import Recorded

from peaka_async import ConfigurationError, PeakaClient, PeakaTimeoutError, RateLimitError, Request, RetryPolicy, Safety
from peaka_async._transport import admission

pytestmark = pytest.mark.usefixtures("lane")

LATER = answer(429, {}, {"Retry-After": "30"})
tenant = contextvars.ContextVar("tenant", default="a")


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


class Gate:
    """A limiter that writes down what it is asked, and lets a request pass when the test says so."""

    def __init__(self):
        self.asked, self.told = [], []
        self.open = asyncio.Event()
        self.open.set()

    async def acquire(self, request):
        self.asked.append(request.operation)
        await self.open.wait()

    async def throttled(self, request, seconds):
        self.told.append((request.operation, seconds))


# ── The limiter ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_limiter_is_asked_before_each_attempt(server):
    """Attempts after a failure ask again; a 429 is told with the seconds that the server asks for."""
    server.script(answer(429, {}, {"Retry-After-Ms": "20"}), answer(503, {}))
    gate = Gate()
    async with client(server, limiter=gate) as peaka:
        assert await safe(peaka) == DONE

    assert gate.asked == ["connections.get"] * 3
    assert gate.told == [("connections.get", 0.02)]


async def test_a_429_without_a_hint_is_told_too(server):
    """The limiter hears of each 429, if the call is repeated or not."""
    server.script(answer(429, {}))
    gate = Gate()
    async with client(server, limiter=gate, retry=RetryPolicy(attempts=1)) as peaka:
        await failure_of(safe(peaka))

    assert gate.told == [("connections.get", 1.0)]


async def test_a_limiter_that_does_not_let_go_is_cancelled_at_the_deadline(server):
    """The wait is inside the deadline, and nothing was sent."""
    gate = Gate()
    gate.open.clear()
    async with client(server, limiter=gate, timeout=0.05) as peaka:
        error = await failure_of(once(peaka))

    assert (type(error), error.phase, error.nothing_sent, server.requests) == (PeakaTimeoutError, "limiter", True, [])


@pytest.mark.parametrize("method", ["acquire", "throttled"])
@pytest.mark.parametrize("kind", [LookupError, TimeoutError])
async def test_what_a_limiter_raises_is_the_applications_own(server, method, kind):
    """Errors of the limiter pass through."""

    async def broken(*_):
        raise kind("redis")

    server.script(answer(429, {}))
    gate = Gate()
    setattr(gate, method, broken)
    async with client(server, limiter=gate) as peaka:
        with pytest.raises(kind, match="redis"):
            await once(peaka)

    assert len(server.requests) == (0 if method == "acquire" else 1)


async def test_the_wait_is_seen(server):
    """A wait for the limiter is an event on the call's span, and a metric."""
    recorded, gate = Recorded(), Gate()
    gate.open.clear()
    asyncio.get_running_loop().call_later(0.05, gate.open.set)
    providers = {"tracer_provider": recorded.tracer_provider, "meter_provider": recorded.meter_provider}
    async with client(server, limiter=gate, **providers) as peaka:
        await once(peaka)

    (event,) = recorded.operation.events
    (point,) = recorded.points()["peaka.client.wait.duration"]
    assert (event.name, event.attributes["peaka.wait.for"]) == ("peaka.wait", "limiter")
    assert event.attributes["peaka.wait.duration"] >= 0.04
    assert (point.count, point.attributes["peaka.wait.for"]) == (1, "limiter")


@pytest.mark.parametrize("arguments", [{"limiter": object()}, {"throttle_key": "tenant"}])
def test_what_cannot_be_a_limiter_is_refused(arguments):
    """A wrong argument is told when the client is made."""
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        PeakaClient(KEY, **arguments)


# ── The throttle ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_call_that_was_told_429_and_comes_too_late_fails_of_429(server):
    """The error of a call that was refused is the server's answer, though its last wait was for its turn."""
    server.script(answer(429, {}, {"Retry-After-Ms": "50"}), LATER, LATER)
    async with client(server) as peaka:
        first, second = await asyncio.gather(failure_of(once(peaka)), failure_of(once(peaka)))

    assert {type(first), type(second)} == {RateLimitError}


async def test_a_call_that_was_never_sent_says_so(server):
    """A call that comes while everybody waits, and cannot wait, left nothing behind."""
    server.script(LATER)
    async with client(server) as peaka:
        await failure_of(once(peaka))
        error = await failure_of(once(peaka))

    assert (type(error), error.phase, error.nothing_sent) == (PeakaTimeoutError, "rate-limit", True)
    assert error.retry_after > 20


async def test_a_429_of_one_tenant_does_not_pause_another(server):
    """Where a callable gives several tenants' keys, each key has its own throttle."""

    async def key():
        return f"key-of-{tenant.get()}"

    server.script(LATER)
    async with PeakaClient(key, base_url=server.base_url, retry=SWIFT, timeout=5) as peaka:
        await failure_of(once(peaka))
        held_up = await failure_of(once(peaka))
        tenant.set("b")
        assert await once(peaka) == DONE

    assert held_up.phase == "rate-limit"
    assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer key-of-a", "Bearer key-of-b"]


async def test_what_a_rate_limit_belongs_to_can_be_named(server):
    """Tokens that are new for each attempt share the throttle of the tenant that they were made for."""
    number = iter(range(100))

    async def token():
        return f"token-{next(number)}"

    server.script(LATER)
    options = {"retry": SWIFT, "timeout": 5, "throttle_key": tenant.get}
    async with PeakaClient(token, base_url=server.base_url, **options) as peaka:
        await failure_of(once(peaka))
        held_up = await failure_of(once(peaka))

    assert (held_up.phase, len(server.requests)) == ("rate-limit", 1)


async def test_a_key_is_fetched_again_after_a_long_wait(server, monkeypatch):
    """A key that lives short may have run out while its attempt waited."""
    monkeypatch.setattr(admission, "_KEY_KEEPS_SECONDS", 0.01)
    keys, gate = iter(["first", "second"]), Gate()
    gate.open.clear()
    asyncio.get_running_loop().call_later(0.05, gate.open.set)

    async def key():
        return next(keys)

    async with PeakaClient(key, base_url=server.base_url, limiter=gate) as peaka:
        await once(peaka)

    assert [seen.headers["authorization"] for seen in server.requests] == ["Bearer second"]


async def test_other_hosts_touch_neither_throttle_nor_budget_nor_limiter(server):
    """The storage behind a download has its own limits: it slows down no call to the API, and pays for none."""
    gate = Gate()
    async with ScriptedServer() as storage, client(server, limiter=gate) as peaka:
        storage.default = LATER
        request = Request(
            "exports.download", "GET", "/", returns=bytes, safety=Safety.SAFE, url=f"{storage.base_url}/file"
        )
        limited = await failure_of(peaka._transport.send(request))
        storage.default = answer(503, {})
        await failure_of(peaka._transport.send(request))

        assert await once(peaka) == DONE
        assert peaka._transport.shared.budget.tokens == 500

    assert isinstance(limited, RateLimitError)
    assert len(storage.requests) == 4
    assert (gate.asked, gate.told) == (["connections.oauth2_callback"], [])
