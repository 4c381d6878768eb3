"""What a job of a queue does with a flow, however often it is delivered."""

from __future__ import annotations

import asyncio

import pytest

from peaka_async import (
    AuthorizationDenied,
    ConfigurationError,
    ConnectError,
    OutcomeUnknownError,
    PeakaClient,
    Replayed,
    RetryPolicy,
    StateMismatch,
    Timeouts,
    WorkFailedError,
)
from peaka_async.emulator import Fault, Moment
from peaka_async.oauth2 import ForwardedRedirect, GiveUp, MemoryStore, NotSavedError, RedisStore, Settled, TryAgain

ALICE, MALLORY = "user-1", "user-2"
REDIRECT = "https://app.example/connect/return"
DONE = "https://app.example/done"


@pytest.fixture
def encrypted(make_redis):
    """A store that may keep a query."""
    fernet = pytest.importorskip("cryptography.fernet")
    return RedisStore(make_redis(), encryption_keys=[fernet.Fernet.generate_key()])


async def test_a_job_completes_a_flow(make_flow, make_request, consent, posted, store):
    """And a second delivery of it gets the same connection."""
    flow = make_flow(store)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)

    first, second = await flow.settle(query, user_ref=ALICE), await flow.settle(query.encode(), user_ref=ALICE)

    assert isinstance(first, Settled)
    assert (first, first.connection.id, posted()) == (second, pending.connection_id, (1, [1]))
    assert await flow.settle(pending.id) == first
    assert await flow.settle(pending.id.encode()) == first


async def test_a_job_of_another_user_gives_up(make_flow, make_request, consent, posted, store):
    """And so does one of a flow that nobody knows, or whose return nobody delivered."""
    flow = make_flow(store)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    given_up = [
        await flow.settle(query, user_ref=MALLORY),
        await flow.settle("f" * 40),
        await flow.settle(query, user_ref=ALICE, project_id="other"),
        await flow.settle(query, user_ref=ALICE, connector="other"),
        await flow.settle(pending.id),
        await flow.settle(query, user_ref=""),
    ]

    assert [type(each) for each in given_up[:4]] == [GiveUp] * 4
    assert [type(each.error) for each in given_up] == [StateMismatch] * 4 + [WorkFailedError, ConfigurationError]
    assert posted() == (0, [0])


async def test_a_redirect_that_is_to_be_forwarded_is_no_job(make_flow, make_request, consent, encrypted):
    """The browser takes it to Peaka."""
    flow = make_flow(encrypted)
    request = make_request(ForwardedRedirect("app", "s3cret", REDIRECT, DONE))
    query = await consent(await flow.start(request, user_ref=ALICE))

    assert isinstance((await flow.settle(query, user_ref=ALICE)).error, StateMismatch)
    with pytest.raises(StateMismatch, match="forwarded"):
        await flow.accept(query, user_ref=ALICE)


async def test_a_refusal_is_given_up(make_flow, make_request, consent, store):
    """Running the job again does not change it."""
    flow = make_flow(store)
    query = await consent(await flow.start(make_request(), user_ref=ALICE), allow=False)
    ended = [await flow.settle(query, user_ref=ALICE) for _ in range(2)]

    assert [(type(each), type(each.error)) for each in ended] == [(GiveUp, AuthorizationDenied)] * 2


async def test_a_job_without_peaka_runs_again(make_flow, make_request, consent, emulator, posted, store):
    """Nothing was sent: the next delivery posts the code, after as long as Peaka asked for."""
    options = {"retry": RetryPolicy(attempts=1), "timeout": Timeouts(total=1)}
    async with PeakaClient(emulator.api_key, base_url="http://127.0.0.1:1/api/v1", **options) as offline:
        flow, cut_off = make_flow(store), make_flow(store, peaka=offline)
        query = await consent(await flow.start(make_request(), user_ref=ALICE))
        first = await cut_off.settle(query, user_ref=ALICE)
    emulator.faults.add("connections.oauth2_callback", Fault.rate_limited(30))
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url, **options) as hasty:
        second = await make_flow(store, peaka=hasty).settle(query, user_ref=ALICE)

    assert (first.seconds, type(first.error), second.seconds) == (5.0, ConnectError, 30.0)
    assert isinstance(await flow.settle(query, user_ref=ALICE), Settled)
    assert posted()[1] == [1]


async def test_a_lost_answer_is_resolved_at_once(make_flow, make_request, consent, emulator, posted, store):
    """The job asks Peaka itself, and is done."""
    flow = make_flow(store)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))

    assert isinstance(await flow.settle(query, user_ref=ALICE), Settled)
    assert posted() == (1, [1])


async def test_what_peaka_never_completed_is_given_up(make_flow, make_request, consent, emulator, posted, move_time):
    """A code that was posted is not posted again: Peaka is asked for a minute, and no longer."""
    flow = make_flow()
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.BEFORE_WORK))
    first = await flow.settle(query, user_ref=ALICE)
    move_time(59)
    second = await flow.settle(query, user_ref=ALICE)
    move_time(2)
    third = await flow.settle(query, user_ref=ALICE)

    assert [type(each) for each in (first, second, third)] == [TryAgain, TryAgain, GiveUp]
    assert (first.seconds, third.error.state, posted()) == (5.0, "INCOMPLETE", (1, [0]))


async def test_an_application_that_cannot_save_runs_again(make_flow, make_request, consent, posted, store):
    """The connection is made; the next delivery saves it."""
    told = []

    async def on_connected(_, connection):
        told.append(connection.id)
        if len(told) < 3:
            raise RuntimeError

    flow = make_flow(store, on_connected=on_connected)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    ended = [await flow.settle(query, user_ref=ALICE) for _ in range(3)]

    assert [type(each) for each in ended] == [TryAgain, TryAgain, Settled]
    assert isinstance(ended[0].error, NotSavedError)
    assert (len(told), posted()) == (3, (1, [1]))


async def test_the_query_waits_encrypted(make_flow, make_request, consent, posted, encrypted):
    """The web handler accepts, and a worker settles: only the flow's id goes through the queue."""
    flow, worker = make_flow(encrypted), make_flow(encrypted)
    started = await flow.start(make_request(remember={"tenant": "7"}), user_ref=ALICE)
    query = await consent(started)
    with pytest.raises(StateMismatch):
        await flow.accept(query, user_ref=MALLORY)
    accepted = [await flow.accept(query, user_ref=ALICE) for _ in range(2)]
    with pytest.raises(Replayed):
        await flow.accept(query.replace("code=", "code=x"), user_ref=ALICE)
    kept = b"".join([await encrypted._redis.get(key) or b"" for key in await encrypted._redis.keys("*flow:*")])
    before = posted()
    settled = [await worker.settle(accepted[0].id) for _ in range(2)]

    assert (accepted[0], accepted[0].remember["tenant"], accepted[0].id) == (accepted[1], "7", started.id)
    assert [part for part in query.split("&") if part.partition("=")[2].encode() in kept] == []
    assert (before, posted()) == ((0, [0]), (1, [1]))
    assert isinstance(settled[0], Settled)
    assert settled[0] == settled[1]
    assert (await flow.accept(query, user_ref=ALICE)).id == started.id


async def test_what_was_accepted_leaves_the_store_before_it_goes(make_flow, make_request, consent, encrypted, posted):
    """A worker that is killed on the way leaves no code to post again."""
    flow, killed = make_flow(encrypted), make_flow(encrypted, lease_seconds=0.3)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    pending = await flow.accept(query, user_ref=ALICE)
    seen = []

    async def post(*_):
        seen.append((await flow._records.load(pending.id)).accepted)
        raise asyncio.CancelledError

    killed._peaka = type("Peaka", (), {"connections": type("Connections", (), {"oauth2_callback": post})()})()
    with pytest.raises(asyncio.CancelledError):
        await killed.settle(pending.id)
    again = await make_flow(encrypted, lease_seconds=0.3).settle(pending.id)

    assert (seen, type(again), posted()) == ([None], TryAgain, (0, [0]))


async def test_what_was_accepted_and_not_sent_is_sent_later(make_flow, make_request, consent, emulator, encrypted):
    """Without Peaka the query goes back into the store; the page says that it is being checked."""
    options = {"retry": RetryPolicy(attempts=1), "timeout": Timeouts(total=1)}
    async with PeakaClient(emulator.api_key, base_url="http://127.0.0.1:1/api/v1", **options) as offline:
        flow, cut_off = make_flow(encrypted), make_flow(encrypted, peaka=offline)
        query = await consent(await flow.start(make_request(), user_ref=ALICE))
        pending = await flow.accept(query, user_ref=ALICE)
        first = await cut_off.settle(pending.id)
    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)
    with pytest.raises(WorkFailedError, match="not posted yet"):
        await flow.resolve(pending)

    assert isinstance(first, TryAgain)
    assert isinstance(await flow.settle(pending.id), Settled)


async def test_two_workers_at_once(make_flow, make_request, consent, encrypted, posted):
    """One takes the query out; both get the connection."""
    flow, workers = make_flow(encrypted), [make_flow(encrypted) for _ in range(5)]
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    pending = await flow.accept(query, user_ref=ALICE)

    settled = await asyncio.gather(*(worker.settle(pending.id) for worker in workers))

    assert ([type(each) for each in settled], posted()) == ([Settled] * 5, (1, [1]))


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_store_without_keys_accepts_nothing(make_flow, make_request, consent, make_redis, posted, kind):
    """A code in plain text in a database is what nobody asked for."""
    flow = make_flow(MemoryStore() if kind == "memory" else RedisStore(make_redis()))
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    with pytest.raises(ConfigurationError, match="encryption_keys"):
        await flow.accept(query, user_ref=ALICE)

    assert await flow.complete(query, user_ref=ALICE)


async def test_a_dead_process_is_noticed_by_its_silence(make_flow, make_request, consent, emulator, posted, store):
    """The next delivery does not wait for as long as it would for one that works."""
    dead, alive = make_flow(store, lease_seconds=0.3), make_flow(store, lease_seconds=0.3, wait_seconds=600)
    query = await consent(await dead.start(make_request(), user_ref=ALICE))
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.5))
    task = asyncio.create_task(dead.settle(query, user_ref=ALICE))
    while posted()[0] == 0:
        await asyncio.sleep(0.01)
    for running in list(dead._running):
        running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not emulator.connections()[0].active:
        await asyncio.sleep(0.01)

    async with asyncio.timeout(60):
        assert isinstance(await alive.settle(query, user_ref=ALICE), Settled)
    assert posted() == (1, [1])


async def test_a_slow_process_is_waited_for(make_flow, make_request, consent, emulator, posted, store):
    """Its beats go on for much longer than the lease."""
    told = []

    async def on_connected(_, connection):
        await asyncio.sleep(2)
        told.append(connection.id)

    slow, other = [make_flow(store, lease_seconds=1, on_connected=on_connected) for _ in range(2)]
    query = await consent(await slow.start(make_request(), user_ref=ALICE))

    first, second = await asyncio.gather(slow.settle(query, user_ref=ALICE), other.settle(query, user_ref=ALICE))

    assert (first, len(told), posted()) == (second, 1, (1, [1]))


async def test_many_reloads_of_an_unknown_flow(make_flow, make_request, consent, emulator, store):
    """One of them asks Peaka and tells the application, on whatever replica; the others get what it got."""
    told = []

    async def on_connected(_, connection):
        await asyncio.sleep(0)
        told.append(connection.id)

    replicas = [make_flow(store, on_connected=on_connected) for _ in range(3)]
    pending = await replicas[0].start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))
    with pytest.raises(OutcomeUnknownError):
        await replicas[0].complete(query, user_ref=ALICE)

    resolved = await asyncio.gather(*(replicas[number % 3].resolve(pending, max_told=2) for number in range(12)))

    assert ({each.id for each in resolved}, told) == ({pending.connection_id}, [pending.connection_id])
