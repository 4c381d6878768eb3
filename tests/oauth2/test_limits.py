"""How many flows a user may have open, and what is left of flows that nobody ended."""

from __future__ import annotations

import asyncio

import pytest

from peaka_async import NotFoundError, PeakaError, StateMismatch, WorkFailedError
from peaka_async.emulator import Fault, Moment
from peaka_async.oauth2 import ForwardedRedirect, MemoryStore, OwnRedirect, PeakaApp, TooManyFlowsError

ALICE, BOB = "user-1", "user-2"
REDIRECT = "https://app.example/connect/return"
DONE = "https://app.example/done"


async def test_a_user_cannot_begin_without_end(make_flow, make_request, emulator, store):
    """Beyond the limit nothing is created at Peaka; others begin as before."""
    flow = make_flow(store, flows_per_user=3)
    for _ in range(3):
        await flow.start(make_request(), user_ref=ALICE)
    with pytest.raises(TooManyFlowsError) as raised:
        await flow.start(make_request(), user_ref=ALICE)
    await flow.start(make_request(), user_ref=BOB)

    assert (raised.value.retry_after, raised.value.nothing_sent) == (60.0, True)
    assert len(emulator.connections()) == 4


async def test_many_begins_at_once(make_flow, make_request, emulator, store):
    """Each of them takes its place before it creates anything."""
    replicas = [make_flow(store, flows_per_user=3) for _ in range(3)]
    begins = (replicas[number % 3].start(make_request(), user_ref=ALICE) for number in range(30))

    ended = await asyncio.gather(*begins, return_exceptions=True)

    assert sum(isinstance(each, TooManyFlowsError) for each in ended) == 27
    assert len(emulator.connections()) == 3


async def test_the_users_own_oldest_flow_goes(make_flow, make_request, consent, emulator, store, move_time):
    """After a minute, with the connection that it left at Peaka; nobody else's goes."""
    flow = make_flow(store, flows_per_user=2)
    others = await flow.start(make_request(), user_ref=BOB)
    first, second = [await flow.start(make_request(), user_ref=ALICE) for _ in range(2)]
    move_time(59)
    with pytest.raises(TooManyFlowsError):
        await flow.start(make_request(), user_ref=ALICE)
    move_time(2)
    third = await flow.start(make_request(), user_ref=ALICE)
    await flow.aclose()

    kept = {each.connection_id for each in (others, second, third)}
    assert {each.id for each in emulator.connections()} == kept
    with pytest.raises(StateMismatch):
        await flow.complete(f"code=x&state={first.state}", user_ref=ALICE)
    assert await flow.complete(await consent(second), user_ref=ALICE)
    assert await flow.complete(await consent(others), user_ref=BOB)


async def test_a_flow_that_came_back_is_not_open(make_flow, make_request, consent, emulator, store):
    """Who connects one thing after the other is not stopped."""
    flow = make_flow(store, flows_per_user=1)
    for allow in (True, False, True):
        query = await consent(await flow.start(make_request(), user_ref=ALICE), allow=allow)
        try:
            await flow.complete(query, user_ref=ALICE)
        except PeakaError:
            continue
    forwarded = make_request(ForwardedRedirect("app", "s3cret", REDIRECT, DONE))
    await flow.forward(await consent(await flow.start(forwarded, user_ref=ALICE)), user_ref=ALICE)

    assert await flow.start(make_request(), user_ref=ALICE)


async def test_a_begin_that_fails_takes_no_place(make_flow, make_request, emulator, store):
    """Neither does the connection stay, if the flow could not be kept."""
    flow = make_flow(store, flows_per_user=1)
    emulator.faults.add("connections.create", Fault.answer(400))
    with pytest.raises(PeakaError):
        await flow.start(make_request(), user_ref=ALICE)
    swap, flow._records.store.swap = flow._records.store.swap, no_swap
    with pytest.raises(ConnectionError):
        await flow.start(make_request(), user_ref=BOB)
    await flow.aclose()
    flow._records.store.swap = swap

    assert list(emulator.connections()) == []
    assert await flow.start(make_request(), user_ref=ALICE)


async def no_swap(*_, **__):
    raise ConnectionError


async def test_a_full_store_begins_nothing(make_flow, make_request, emulator):
    """The place is taken before the connection is created."""
    flow = make_flow(MemoryStore(max_flows=1))
    await flow.start(make_request(), user_ref=BOB)
    with pytest.raises(TooManyFlowsError, match="full"):
        await flow.start(make_request(), user_ref=ALICE)

    assert len(emulator.connections()) == 1


async def test_expired_flows_are_swept(make_flow, make_request, consent, emulator, store, move_time):
    """With the connections that they left; what was completed, or may still be, stays."""
    flow = make_flow(store, seconds=60)
    left = [await flow.start(make_request(via), user_ref=ALICE) for via in (None, PeakaApp(DONE))]
    done = await flow.start(make_request(), user_ref=ALICE)
    await flow.complete(await consent(done), user_ref=ALICE)
    denied = await flow.start(make_request(), user_ref=ALICE)
    with pytest.raises(PeakaError):
        await flow.complete(await consent(denied, allow=False), user_ref=ALICE)
    early = await flow.sweep()
    move_time(61)
    new = await flow.start(make_request(), user_ref=BOB)
    swept = [await flow.sweep(), await flow.sweep()]

    assert (early, swept) == (0, [3, 0])
    assert {each.id for each in emulator.connections()} == {done.connection_id, new.connection_id}
    with pytest.raises(StateMismatch):
        await flow.complete(f"code=x&state={left[0].state}", user_ref=ALICE)


async def test_replicas_sweep_at_once(make_flow, make_request, emulator, store, move_time):
    """Nothing is lost, and nothing fails."""
    replicas = [make_flow(store, seconds=60, flows_per_user=20) for _ in range(3)]
    for _ in range(10):
        await replicas[0].start(make_request(), user_ref=ALICE)
    move_time(61)
    await asyncio.gather(*(flow.sweep() for flow in replicas))

    assert list(emulator.connections()) == []
    assert sum([await flow.sweep() for flow in replicas]) == 0


async def test_a_sweep_that_cannot_reach_peaka(make_flow, make_request, emulator, store, move_time):
    """It tries again, a minute later."""
    flow = make_flow(store, seconds=60)
    await flow.start(make_request(), user_ref=ALICE)
    move_time(61)
    emulator.faults.add("connections.delete", Fault.answer(403))
    first = await flow.sweep()
    at_once = await flow.sweep()
    move_time(61)

    assert (first, at_once, await flow.sweep(), list(emulator.connections())) == (0, 0, 1, [])


async def test_a_sweep_resolves_what_is_not_known(make_flow, make_request, consent, emulator, store, move_time):
    """A connection that was made is saved, though nobody reloads its page."""
    told = []

    async def on_connected(pending, connection):
        told.append((pending.id, connection.id))

    flow = make_flow(store, seconds=60, on_connected=on_connected)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))
    with pytest.raises(PeakaError):
        await flow.complete(query, user_ref=ALICE)
    move_time(61)

    assert (await flow.sweep(), told) == (1, [(pending.id, pending.connection_id)])
    assert len(emulator.connections()) == 1


async def test_a_sweep_gives_up_what_peaka_never_completed(make_flow, make_request, consent, emulator, move_time):
    """After half of the time for which an unknown outcome is kept."""
    flow = make_flow(seconds=60, unknown_seconds=1000)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.BEFORE_WORK))
    with pytest.raises(PeakaError):
        await flow.complete(query, user_ref=ALICE)
    move_time(61)
    early = await flow.sweep(), len(emulator.connections())
    with pytest.raises(WorkFailedError):
        await flow.resolve(pending)
    move_time(501)

    assert (early, await flow.sweep(), list(emulator.connections())) == ((0, 1), 1, [])
    with pytest.raises(NotFoundError):
        await flow.resolve(pending)


async def test_a_sweep_has_a_limit(make_flow, make_request, emulator, move_time):
    """So that a task that calls it does not run for ever."""
    flow = make_flow(seconds=60)
    for _ in range(5):
        await flow.start(make_request(), user_ref=ALICE)
    move_time(61)

    assert [await flow.sweep(limit=2) for _ in range(4)] == [2, 2, 1, 0]


ISSUER = "https://provider.example"


@pytest.mark.parametrize(
    ("issuer", "addition", "fits"),
    [
        (None, "", True),
        (None, "&iss=https%3A%2F%2Fother.example", True),
        (ISSUER, "&iss=https%3A%2F%2Fprovider.example", True),
        (ISSUER, "", False),
        (ISSUER, "&iss=", False),
        (ISSUER, "&iss=https%3A%2F%2Fprovider.example%2F", False),
        (ISSUER, "&iss=https%3A%2F%2Fother.example", False),
    ],
)
@pytest.mark.parametrize("forwards", [False, True])
async def test_the_issuer(make_flow, make_request, consent, posted, store, issuer, addition, fits, forwards):
    """A redirect of another provider, or one that does not say which it is, is refused (RFC 9207)."""
    flow = make_flow(store)
    variant = ForwardedRedirect("app", "s3cret", REDIRECT, DONE) if forwards else OwnRedirect("app", "s", REDIRECT)
    query = await consent(await flow.start(make_request(variant, issuer=issuer), user_ref=ALICE)) + addition
    end = flow.forward if forwards else flow.complete

    if fits:
        assert await end(query, user_ref=ALICE)
        return
    with pytest.raises(StateMismatch, match="iss"):
        await end(query, user_ref=ALICE)
    assert posted() == (0, [0])


async def test_a_forwarded_flow_comes_back_without_the_issuer(
    make_flow, make_request, consent, emulator, through_peaka
):
    """Peaka's callback carries none; the provider's redirect did."""
    flow = make_flow(peaka_callback=f"{emulator.origin}/oauth2/callback")
    request = make_request(ForwardedRedirect("app", "s3cret", REDIRECT, DONE), issuer=ISSUER)
    pending = await flow.start(request, user_ref=ALICE)
    url = await flow.forward(f"{await consent(pending)}&iss=https%3A%2F%2Fprovider.example", user_ref=ALICE)

    assert (await flow.complete(await through_peaka(url), user_ref=ALICE)).id == pending.connection_id
