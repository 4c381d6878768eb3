"""Flows from end to end: the attacks first, then the four variants, then what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from urllib.parse import urlsplit

import aiohttp
import pytest

from peaka_async import (
    AuthorizationDenied,
    BadRequestError,
    ConfigurationError,
    ConnectError,
    Connection,
    DecodeError,
    InvalidRedirect,
    NotFoundError,
    OutcomeUnknownError,
    PeakaClient,
    PeakaError,
    Replayed,
    RetryPolicy,
    StateMismatch,
    Timeouts,
    WorkFailedError,
)
from peaka_async.emulator import Fault, Moment
from peaka_async.oauth2 import (
    ConnectFlow,
    ConnectRequest,
    ForwardedRedirect,
    MemoryStore,
    NotSavedError,
    OwnApp,
    OwnRedirect,
    PeakaApp,
    RedisStore,
    is_local_path,
)

ALICE, MALLORY = "user-1", "user-2"
REDIRECT = "https://app.example/connect/return"
DONE = "https://app.example/done"
CALLBACK_VARIANTS = {
    "peaka's app": PeakaApp(DONE),
    "own app": OwnApp("app", "s3cret", f"{DONE}?tenant=7"),
    "forwarded": ForwardedRedirect("app", "s3cret", REDIRECT, DONE),
}


async def through_peaka(url):
    """Where Peaka's own callback sends the browser, as a raw query."""
    async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
        return urlsplit(answer.headers["Location"]).query


async def test_another_user_cannot_complete_a_flow(make_flow, make_request, consent, posted, store):
    """An attacker's consent URL, consented to by a victim: the victim's session adopts nothing, the code stays here."""
    flow = make_flow(store)
    pending = await flow.start(make_request(), user_ref=MALLORY)
    query = await consent(pending)

    with pytest.raises(StateMismatch, match="another user"):
        await flow.complete(query, user_ref=ALICE)

    assert posted() == (0, [0])


async def test_a_refusal_does_not_use_the_flow_up(make_flow, make_request, consent, posted, store):
    """What a stranger delivers takes nothing from the user who began."""
    flow = make_flow(store)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    with pytest.raises(StateMismatch):
        await flow.complete(query, user_ref=MALLORY)

    connection = await flow.complete(query, user_ref=ALICE)

    assert (connection, posted()) == (Connection(pending.connection_id, "crm", "hubspot"), (1, [1]))


async def test_a_replay_by_another_session_is_refused(make_flow, make_request, consent, posted, store):
    """The result belongs to the user who began; who else delivers the same return gets a refusal."""
    flow = make_flow(store)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    await flow.complete(query, user_ref=ALICE)

    with pytest.raises(StateMismatch):
        await flow.complete(query, user_ref=MALLORY)

    assert posted() == (1, [1])


async def test_another_code_for_a_used_state_is_refused(make_flow, make_request, consent, posted, store):
    """A second delivery is the same return, byte for byte; with another code it is a replay."""
    flow = make_flow(store)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    await flow.complete(query, user_ref=ALICE)

    with pytest.raises(Replayed):
        await flow.complete(query.replace("code=", "code=x"), user_ref=ALICE)

    assert posted() == (1, [1])


class Lagging:
    """A store whose answers take their time, so that what happens at once meets between its steps."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        async def call(*arguments, **options):
            answer = await getattr(self.inner, name)(*arguments, **options)
            await asyncio.sleep(0.02)
            return answer

        return call


async def test_concurrent_deliveries_share_one_result(make_flow, make_request, consent, posted, emulator, store):
    """Of ten deliveries at the same moment one is sent, and all get its connection."""
    flow = make_flow(Lagging(store))
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.1))

    connections = await asyncio.gather(*(flow.complete(query, user_ref=ALICE) for _ in range(10)))

    assert (len(set(connections)), posted()) == (1, (1, [1]))


@pytest.mark.parametrize(("encrypted", "count"), [(False, 400), (True, 100)])
async def test_two_replicas_post_each_code_once(
    make_flow, make_request, consent, emulator, make_redis, encrypted, count
):
    """Many flows over two replicas behind one Redis, each return delivered twice to random replicas."""
    fernet = pytest.importorskip("cryptography.fernet")
    keys = [fernet.Fernet.generate_key()] if encrypted else []
    replicas = [make_flow(RedisStore(make_redis(), encryption_keys=keys)) for _ in range(2)]
    chance = random.Random(7)
    at_a_time = asyncio.Semaphore(50)  # so that a slow machine does not let the last ones wait too long

    async def one(number):
        async with at_a_time:
            return await ended_twice(number)

    async def ended_twice(number):
        pending = await chance.choice(replicas).start(make_request(name=f"c{number}"), user_ref=f"u{number}")
        query = await consent(pending)
        twice = [chance.choice(replicas).complete(query, user_ref=f"u{number}") for _ in range(2)]
        first, second = await asyncio.gather(*twice)
        with pytest.raises(StateMismatch):
            await chance.choice(replicas).complete(query, user_ref=f"u{number + 1}")
        return pending, first, second

    ended = await asyncio.gather(*(one(number) for number in range(count)))

    assert all(first == second and first.id == pending.connection_id for pending, first, second in ended)
    assert [each.active for each in emulator.connections()] == [True] * count
    assert [code.presented for code in emulator.codes] == [1] * count


async def test_a_return_after_a_restart(make_flow, make_request, consent, make_redis):
    """What one process began, another completes, and gives the result again."""
    query = await consent(await make_flow(RedisStore(make_redis())).start(make_request(), user_ref=ALICE))

    first = await make_flow(RedisStore(make_redis())).complete(query, user_ref=ALICE)
    again = await make_flow(RedisStore(make_redis())).complete(query, user_ref=ALICE)

    assert first == again


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda query: query.replace("state=", "state=x"), StateMismatch),
        (lambda query: f"{query}&code=other", InvalidRedirect),
        (lambda query: f"{query}&co%64e=other", InvalidRedirect),
        (lambda query: f"{query}&state=other", InvalidRedirect),
        (lambda query: f"{query}&error=a&error=b", InvalidRedirect),
        (lambda query: f"{query}&iss=a&iss=b", InvalidRedirect),
        (lambda query: query.partition("&state=")[0], InvalidRedirect),
        (lambda query: f"{query}&x=1" * 300, InvalidRedirect),
        (lambda _: "", InvalidRedirect),
        (lambda query: f"{query}&x=\r\n", InvalidRedirect),
        (lambda query: query.encode() + b"&x=\xff", InvalidRedirect),
        (lambda query: f"{query}&x={'y' * 70_000}", InvalidRedirect),
    ],
)
async def test_what_is_refused_before_the_wire(make_flow, make_request, consent, posted, change, error):
    """An unknown state, a repeated parameter, and what is no query: nothing is sent, the flow stays open."""
    flow = make_flow()
    query = await consent(await flow.start(make_request(), user_ref=ALICE))

    with pytest.raises(error) as raised:
        await flow.complete(change(query), user_ref=ALICE)

    assert posted() == (0, [0])
    assert query not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert await flow.complete(query, user_ref=ALICE)


@pytest.mark.parametrize("expected", [{"project_id": "other"}, {"connector": "salesforce"}])
async def test_another_project_or_connector_is_refused(make_flow, make_request, consent, posted, expected):
    """Where the application says what it expects, nothing else is completed."""
    flow = make_flow()
    query = await consent(await flow.start(make_request(), user_ref=ALICE))

    with pytest.raises(StateMismatch):
        await flow.complete(query, user_ref=ALICE, **expected)

    assert posted() == (0, [0])


@pytest.mark.parametrize("user", ["", None, 7])
async def test_who_the_user_is_must_be_said(make_flow, make_request, emulator, user):
    """There is no flow without a user, neither at the start nor at the end."""
    flow = make_flow()
    with pytest.raises(ConfigurationError):
        await flow.start(make_request(), user_ref=user)
    with pytest.raises(ConfigurationError):
        await flow.complete("state=x&code=y", user_ref=user)
    with pytest.raises(TypeError):
        await flow.complete("state=x&code=y")

    assert emulator.requests == ()


async def test_an_expired_flow_is_refused(make_flow, make_request, consent, posted, move_time, store):
    """By its own time, whatever the store keeps."""
    flow = make_flow(store, seconds=60)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    move_time(59)
    assert await flow.find(query, user_ref=ALICE)
    move_time(2)

    with pytest.raises(StateMismatch, match="expired"):
        await flow.complete(query, user_ref=ALICE)

    assert posted() == (0, [0])


async def test_a_return_before_the_end_has_its_time(make_flow, make_request, consent, move_time, store):
    """What was delivered in time is given again later."""
    flow = make_flow(store, seconds=60)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    connection = await flow.complete(query, user_ref=ALICE)
    move_time(61)

    assert await flow.complete(query, user_ref=ALICE) == connection


async def test_a_store_forgets_flows(make_flow, make_request, consent, posted, store):
    """After the time in which they could be swept."""
    flow = make_flow(store, seconds=0.2, unknown_seconds=0.2)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    while await store.get(pending.id) is not None:
        await asyncio.sleep(0.05)

    with pytest.raises(StateMismatch, match="unknown or has expired"):
        await flow.complete(query, user_ref=ALICE)
    with pytest.raises(StateMismatch, match="unknown or has expired"):
        await flow.get(pending.id, user_ref=ALICE)
    assert posted() == (0, [0])


async def test_unknown_parameters_reach_peaka_byte_for_byte(make_flow, make_request, consent, emulator):
    """Whatever a provider adds is passed on as it came."""
    flow = make_flow()
    redirect = await consent(await flow.start(make_request(), user_ref=ALICE))
    query = f"scope=a+b%2Fc&{redirect}&realm%49d=%7e~&x&=y&connectionId=1?2"
    await flow.complete(query.encode(), user_ref=ALICE)

    assert json.loads(emulator.requests[-1].body) == {"queryParameters": query}


async def test_what_the_application_remembers(make_flow, make_request, consent, store):
    """Tenant and return_to come from what was begun, whatever the return says."""
    flow = make_flow(store)
    request = make_request(remember={"tenant": "7"}, return_to="/settings?tab=data")
    started = await flow.start(request, user_ref=ALICE)
    query = f"{await consent(started)}&return_to=https%3A%2F%2Fevil.example"

    found = await flow.find(query, user_ref=ALICE)
    await flow.complete(query, user_ref=ALICE)
    after = await flow.find(query, user_ref=ALICE)

    assert (found.remember, found.return_to, found.connection_id) == (
        {"tenant": "7"},
        "/settings?tab=data",
        started.connection_id,
    )
    assert (after, found.consent_url, found.state) == (found, None, None)


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/a\\..",
        "settings",
        "",
        "/a\nb",
        "/\t/evil",
        "/a b",
        "/設定",
        "/\ud800",
    ],
)
def test_return_to_stays_on_the_origin(make_request, path):
    """What a browser could take for another origin is no return_to."""
    assert not is_local_path(path)
    with pytest.raises(ConfigurationError):
        make_request(return_to=path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PeakaApp("/done"),
        lambda: PeakaApp("javascript:alert(1)"),
        lambda: OwnApp("", "s", DONE),
        lambda: OwnRedirect("a", "s", "https://app.example/#x"),
        lambda: OwnRedirect("a", "s", "https://app.example/a b"),
        lambda: OwnRedirect("a", "s", "https://[app"),
        lambda: ForwardedRedirect("a", "", REDIRECT, DONE),
        lambda: ConnectRequest(project_id="", connector="c", name="n", via=PeakaApp(DONE)),
        lambda: ConnectRequest(project_id="p", connector="c", name="n", via=PeakaApp(DONE), return_to=5),
        lambda: MemoryStore(max_flows=0),
        lambda: ConnectFlow(None, seconds=0),
    ],
)
def test_what_cannot_work_is_said_at_once(make):
    """Before anything is sent."""
    with pytest.raises(ConfigurationError):
        make()


async def test_a_refusal_is_an_answer(make_flow, make_request, consent, posted, store):
    """error=access_denied has a type, ends the flow, and is given to a second delivery too; nothing is sent."""
    flow = make_flow(store)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending, allow=False)
    for _ in range(2):
        with pytest.raises(AuthorizationDenied) as raised:
            await flow.complete(query, user_ref=ALICE)
        assert (raised.value.error, raised.value.description) == ("access_denied", "The user denied the request")
    with pytest.raises(StateMismatch):
        await flow.complete(query, user_ref=MALLORY)
    with pytest.raises(AuthorizationDenied):
        await flow.result(pending.id, user_ref=ALICE)

    assert posted() == (0, [])


@pytest.mark.parametrize("via", list(CALLBACK_VARIANTS.values())[:2], ids=list(CALLBACK_VARIANTS)[:2])
async def test_peaka_takes_the_redirect(make_flow, make_request, emulator, via, posted):
    """Peaka's callback ends a flow in the connection that Peaka shows, for the user who began it, twice too."""
    flow = make_flow()
    pending = await flow.start(make_request(via), user_ref=ALICE)
    query = await through_peaka(await emulator.consent(pending.consent_url))
    with pytest.raises(StateMismatch):
        await flow.complete(query, user_ref=MALLORY)

    connections = [await flow.complete(query, user_ref=ALICE) for _ in range(2)]

    assert connections == [Connection(pending.connection_id, "crm", "hubspot")] * 2
    assert posted() == (0, [1])


@pytest.mark.parametrize("via", CALLBACK_VARIANTS.values(), ids=CALLBACK_VARIANTS)
async def test_a_callback_with_question_marks(make_flow, make_request, emulator, via):
    """The guide prints the callback as ?connectionId=…?status=…: it is read the same."""
    flow = make_flow(peaka_callback=f"{emulator.origin}/oauth2/callback")
    pending = await flow.start(make_request(via), user_ref=ALICE)
    redirect = await emulator.consent(pending.consent_url)
    if isinstance(via, ForwardedRedirect):
        redirect = await flow.forward(redirect, user_ref=ALICE)
    query = (await through_peaka(redirect)).replace("&", "?")

    assert (await flow.complete(query, user_ref=ALICE)).id == pending.connection_id


async def test_a_callback_cannot_be_made_up(make_flow, make_request, emulator):
    """Who began a flow and sent a victim to its consent page cannot adopt what the victim's consent made.

    The connection's id is no secret. The callback's own parameter is: only the browser that consented learns it.
    """
    flow = make_flow()
    pending = await flow.start(make_request(PeakaApp(DONE)), user_ref=MALLORY)
    await through_peaka(await emulator.consent(pending.consent_url))
    made_up = f"connectionId={pending.connection_id}&status=success"

    for query in (made_up, f"{made_up}&peaka_flow=guess", f"{made_up}&state={pending.state}"):
        with pytest.raises((StateMismatch, InvalidRedirect)):
            await flow.complete(query, user_ref=MALLORY)
    with pytest.raises(WorkFailedError) as raised:
        await flow.resolve(pending)
    assert raised.value.state == "INCOMPLETE"


async def test_a_callback_names_the_connection_that_was_begun(make_flow, make_request, emulator):
    """Not another one, not two, and none at all is none."""
    flow = make_flow()
    pending = await flow.start(make_request(PeakaApp(DONE)), user_ref=ALICE)
    query = await through_peaka(await emulator.consent(pending.consent_url))

    with pytest.raises(StateMismatch):
        await flow.complete(query.replace(pending.connection_id, "other"), user_ref=ALICE)
    with pytest.raises(StateMismatch):
        await flow.complete(query.replace("connectionId", "x"), user_ref=ALICE)
    with pytest.raises(InvalidRedirect):
        await flow.complete(f"{query}&connectionId={pending.connection_id}", user_ref=ALICE)
    assert await flow.complete(query, user_ref=ALICE)


async def test_peaka_could_not_complete_it(make_flow, make_request, emulator):
    """status=fail is an error with a type, the same for a second delivery."""
    flow = make_flow()
    pending = await flow.start(make_request(PeakaApp(DONE)), user_ref=ALICE)
    query = await through_peaka(await emulator.consent(pending.consent_url, allow=False))
    for _ in range(2):
        with pytest.raises(WorkFailedError) as raised:
            await flow.complete(query, user_ref=ALICE)
        assert raised.value.state == "FAILED"


async def test_success_is_what_peaka_says(make_flow, make_request, emulator):
    """A status=success that Peaka does not confirm completes nothing, until Peaka does."""
    flow = make_flow()
    pending = await flow.start(make_request(PeakaApp(DONE)), user_ref=ALICE)
    redirect = await emulator.consent(pending.consent_url)
    callback = json.loads(emulator.requests[0].body)["connectionCallback"]
    query = f"{urlsplit(callback).query}&connectionId={pending.connection_id}&status=success"

    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)
    with pytest.raises(WorkFailedError):
        await flow.resolve(pending)
    await through_peaka(redirect)
    assert (await flow.resolve(pending)).id == pending.connection_id


async def test_a_redirect_is_forwarded_once_and_to_its_user(make_flow, make_request, consent, emulator, store, posted):
    """The user is checked before Peaka gets the code, the query stays byte for byte, and goes once."""
    flow = make_flow(store, peaka_callback=f"{emulator.origin}/oauth2/callback")
    pending = await flow.start(make_request(CALLBACK_VARIANTS["forwarded"]), user_ref=ALICE)
    query = f"{await consent(pending)}&scope=a+b%2fc"

    with pytest.raises(StateMismatch):
        await flow.forward(query, user_ref=MALLORY)
    with pytest.raises(StateMismatch, match="forwarded"):
        await flow.complete(query, user_ref=ALICE)
    with pytest.raises(InvalidRedirect):
        await flow.forward(f"{query}&x=ü", user_ref=ALICE)
    url = await flow.forward(query, user_ref=ALICE)
    with pytest.raises(Replayed):
        await flow.forward(query, user_ref=ALICE)

    assert url == f"{emulator.origin}/oauth2/callback?{query}"
    assert posted() == (0, [0])
    connection = await flow.complete(await through_peaka(url), user_ref=ALICE)
    assert (connection.id, posted()) == (pending.connection_id, (0, [1]))


async def test_a_forwarded_flow_whose_browser_got_lost(make_flow, make_request, consent, emulator):
    """Its user went on to Peaka and never came back: Peaka can be asked."""
    flow = make_flow(peaka_callback=f"{emulator.origin}/oauth2/callback")
    pending = await flow.start(make_request(CALLBACK_VARIANTS["forwarded"]), user_ref=ALICE)
    await through_peaka(await flow.forward(await consent(pending), user_ref=ALICE))

    assert (await flow.resolve(pending)).id == pending.connection_id


async def test_only_forwarded_redirects_are_forwarded(make_flow, make_request, consent):
    """A redirect that is handled here does not leave."""
    flow = make_flow()
    query = await consent(await flow.start(make_request(), user_ref=ALICE))

    with pytest.raises(StateMismatch):
        await flow.forward(query, user_ref=ALICE)


async def test_a_lost_answer_is_kept_as_unknown_and_resolved(make_flow, make_request, consent, emulator, store, posted):
    """The work was done, the answer lost: nobody knows, a second delivery neither, until Peaka is asked."""
    flow = make_flow(store)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError):
            await flow.complete(query, user_ref=ALICE)

    resolved = await flow.resolve(pending)
    again = await flow.complete(query, user_ref=ALICE)

    assert resolved == again == Connection(pending.connection_id, "crm", "hubspot")
    assert await flow.result(pending.id, user_ref=ALICE) == resolved
    assert posted() == (1, [1])


@pytest.mark.parametrize(
    "fault",
    [Fault.cut(Moment.BEFORE_WORK), Fault.bad_gateway(), Fault.answer(408)],
    ids=["cut", "bad gateway", "timeout"],
)
async def test_an_unknown_outcome_that_was_none(make_flow, make_request, consent, emulator, posted, fault):
    """Where Peaka still waits, resolving says so, and the code is not sent again."""
    flow = make_flow()
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", fault)
    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)

    with pytest.raises(WorkFailedError) as raised:
        await flow.resolve(pending)
    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)

    assert (raised.value.state, posted()) == ("INCOMPLETE", (1, [0]))


async def test_an_answer_that_cannot_be_read_is_resolved(make_flow, make_request, consent, emulator):
    """Not-JSON on 200: it was completed, and Peaka tells so."""
    flow = make_flow()
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.not_json())
    with pytest.raises(OutcomeUnknownError) as raised:
        await flow.complete(query, user_ref=ALICE)

    assert isinstance(raised.value.__cause__, DecodeError)
    assert (await flow.resolve(pending)).id == pending.connection_id


async def test_resolving_what_is_gone(make_flow, make_request, consent, emulator, peaka):
    """A connection that does not exist was not completed; a flow that nobody knows cannot be resolved."""
    flow = make_flow()
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))
    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)
    await peaka.connections.delete(emulator.project_id, pending.connection_id)

    with pytest.raises(NotFoundError):
        await flow.resolve(pending)
    with pytest.raises(StateMismatch):
        await make_flow().resolve(pending)


async def test_peakas_refusal_is_given_again(make_flow, make_request, consent, posted, store):
    """A code that Peaka does not take is an error with a type, also for a second delivery, and sent once."""
    flow = make_flow(store)
    query = (await consent(await flow.start(make_request(), user_ref=ALICE))).replace("code=", "code=x")
    for _ in range(2):
        with pytest.raises(BadRequestError) as raised:
            await flow.complete(query, user_ref=ALICE)
        assert (raised.value.status, raised.value.error_code) == (400, "oa002")

    assert posted()[0] == 1


async def test_what_was_not_sent_can_be_delivered_again(make_request, consent, emulator, make_flow, store, posted):
    """Without a connection to Peaka the flow stays open, and the same return completes it later."""
    options = {"retry": RetryPolicy(attempts=1), "timeout": Timeouts(total=1)}
    async with PeakaClient(emulator.api_key, base_url="http://127.0.0.1:1/api/v1", **options) as offline:
        flow, cut_off = make_flow(store), make_flow(store, peaka=offline)
        query = await consent(await flow.start(make_request(), user_ref=ALICE))
        with pytest.raises(ConnectError):
            await cut_off.complete(query, user_ref=ALICE)

        await flow.complete(query, user_ref=ALICE)

    assert posted() == (1, [1])


async def test_a_browser_that_goes_away_stops_nothing(make_flow, make_request, consent, emulator, posted):
    """The caller is cancelled, the work goes on, the application is told, and a reload gets the result."""
    told = []

    async def on_connected(flow, connection):
        told.append((flow.remember["tenant"], connection.id))

    flow = make_flow(on_connected=on_connected)
    pending = await flow.start(make_request(remember={"tenant": "7"}), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.2))
    first = asyncio.create_task(flow.complete(query, user_ref=ALICE))
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    connection = await flow.complete(query, user_ref=ALICE)

    assert (told, posted()) == ([("7", connection.id)], (1, [1]))


async def test_resolving_waits_for_what_is_completed(make_flow, make_request, consent, emulator):
    """So that the application is told once."""
    told = []

    async def on_connected(_, connection):
        told.append(connection.id)

    flow = make_flow(on_connected=on_connected)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.1))
    first = asyncio.create_task(flow.complete(query, user_ref=ALICE))
    await asyncio.sleep(0.05)

    assert await flow.resolve(pending) == await first
    assert told == [pending.connection_id]


async def test_closing_waits_for_what_is_completed(make_flow, make_request, consent, emulator):
    """An orderly end of the process leaves no flow in the middle."""
    async with make_flow() as flow:
        query = await consent(await flow.start(make_request(), user_ref=ALICE))
        emulator.faults.add("connections.oauth2_callback", Fault.slow(0.1))
        task = asyncio.create_task(flow.complete(query, user_ref=ALICE))
        await asyncio.sleep(0.03)
        task.cancel()
    assert [each.active for each in emulator.connections()] == [True]


async def test_an_application_that_cannot_store_the_connection(make_flow, make_request, consent, posted, caplog):
    """The caller learns that it is not saved, and resolving tells it again, without asking Peaka."""
    told = []

    async def on_connected(_, connection):
        told.append(connection.id)
        if len(told) == 1:
            raise RuntimeError("hush")

    flow = make_flow(on_connected=on_connected)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    with pytest.raises(NotSavedError) as raised:
        await flow.complete(query, user_ref=ALICE)
    assert (raised.value.connection.id, type(raised.value.__cause__)) == (pending.connection_id, RuntimeError)
    for again in (flow.complete(query, user_ref=ALICE), flow.result(pending.id, user_ref=ALICE)):
        with pytest.raises(NotSavedError):
            await again
    await flow.resolve(pending)
    await flow.complete(query, user_ref=ALICE)
    await flow.resolve(pending)

    assert (told, posted()) == ([pending.connection_id] * 2, (1, [1]))
    assert ("RuntimeError" in caplog.text, "hush" in caplog.text) == (True, False)


class Failing:
    """A store whose method fails once the switch is on."""

    def __init__(self, method):
        self.inner, self.method, self.on = MemoryStore(), method, False

    def __getattr__(self, name):
        async def call(*arguments, **options):
            if self.on and name == self.method:
                raise ConnectionError
            return await getattr(self.inner, name)(*arguments, **options)

        return call


@pytest.mark.parametrize("method", ["get", "swap"])
async def test_a_store_that_fails_before_the_claim(make_flow, make_request, consent, posted, method):
    """What cannot be claimed is not sent."""
    store = Failing(method)
    flow = make_flow(store)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    store.on = True
    with pytest.raises(ConnectionError):
        await flow.complete(query, user_ref=ALICE)
    store.on = False

    assert posted() == (0, [0])
    assert await flow.complete(query, user_ref=ALICE)


class LosingAnswers:
    """A store that does what it is asked once more, and then loses the answer."""

    def __init__(self, inner):
        self.inner, self.on, self.fails_after = inner, False, False

    async def swap(self, *arguments, **options):
        if self.fails_after:
            raise ConnectionError
        done = await self.inner.swap(*arguments, **options)
        if self.on:
            self.on = False
            raise ConnectionError
        return done

    def __getattr__(self, name):
        return getattr(self.inner, name)


async def test_a_claim_whose_answer_was_lost(make_flow, make_request, consent, posted, store):
    """It may have been kept, and nothing was sent: the flow is open again."""
    store = LosingAnswers(store)
    flow = make_flow(store)
    query = await consent(await flow.start(make_request(), user_ref=ALICE))
    store.on = True
    with pytest.raises(ConnectionError):
        await flow.complete(query, user_ref=ALICE)

    assert posted() == (0, [0])
    assert await flow.complete(query, user_ref=ALICE)
    assert posted() == (1, [1])


async def test_a_claim_that_cannot_be_given_back(make_flow, make_request, consent, posted, caplog):
    """The store lost the answer and then failed: the code stays here, and the flow is unknown, not lost."""
    store = LosingAnswers(MemoryStore())
    flow = make_flow(store, lease_seconds=0.2)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    inner = store.inner.swap

    async def swap(*arguments, **options):
        store.fails_after = True
        return await inner(*arguments, **options)

    store.inner.swap, store.on = swap, True
    with pytest.raises(ConnectionError):
        await flow.complete(query, user_ref=ALICE)
    store.fails_after, store.inner.swap = False, inner

    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)
    with pytest.raises(WorkFailedError, match="waits"):
        await flow.resolve(pending)
    assert (posted(), "could not be opened again: ConnectionError" in caplog.text) == ((0, [0]), True)


async def test_a_store_that_fails_in_forwarding(make_flow, make_request, consent):
    """Nothing was forwarded, so the next delivery is."""
    store = Failing("swap")
    flow = make_flow(store)
    request = make_request(ForwardedRedirect("app", "s3cret", REDIRECT, DONE))
    query = await consent(await flow.start(request, user_ref=ALICE))
    store.on = True
    with pytest.raises(ConnectionError):
        await flow.forward(query, user_ref=ALICE)
    store.on = False

    assert await flow.forward(query, user_ref=ALICE)
    with pytest.raises(Replayed):
        await flow.forward(query, user_ref=ALICE)


async def test_a_redirect_that_is_forwarded_twice_at_once(make_flow, make_request, consent, store):
    """One of them goes to Peaka."""
    flow = make_flow(Lagging(store))
    request = make_request(ForwardedRedirect("app", "s3cret", REDIRECT, DONE))
    query = await consent(await flow.start(request, user_ref=ALICE))

    ended = await asyncio.gather(*(flow.forward(query, user_ref=ALICE) for _ in range(5)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in ended) == ["Replayed"] * 4 + ["str"]


async def test_a_store_that_was_emptied_on_the_way(make_flow, make_request, consent, emulator, store):
    """Redis was restarted while the code was posted: the outcome is kept again, and given again."""
    flow, told = make_flow(store), []

    async def on_connected(pending, _):
        told.append(pending.id)
        await forget(store, pending.id)

    flow = make_flow(store, on_connected=on_connected)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    connection = await flow.complete(query, user_ref=ALICE)

    assert await flow.complete(query, user_ref=ALICE) == connection
    assert told == [pending.id]


async def forget(store, flow_id):
    if isinstance(store, MemoryStore):
        store._kept.pop(flow_id)
    else:
        await store._redis.flushall()


@pytest.mark.parametrize("via", [PeakaApp(DONE), OwnApp("app", "s3cret", DONE)])
async def test_that_peaka_does_not_say_is_no_outcome(make_flow, make_request, emulator, via):
    """The connection is complete; a refusal to show it for now does not undo that."""
    flow = make_flow()
    pending = await flow.start(make_request(via), user_ref=ALICE)
    query = await through_peaka(await emulator.consent(pending.consent_url))
    emulator.faults.add("connections.get", Fault.answer(403, b'{"message":"not now"}'))
    with pytest.raises(OutcomeUnknownError):
        await flow.complete(query, user_ref=ALICE)

    assert (await flow.resolve(pending)).id == pending.connection_id


async def test_a_callback_before_its_redirect_was_forwarded(make_flow, make_request, emulator):
    """Who learned the callback's parameter from an earlier try cannot adopt what another browser consents to."""
    flow = make_flow()
    request = make_request(ForwardedRedirect("app", "s3cret", REDIRECT, DONE))
    pending = await flow.start(request, user_ref=MALLORY)
    redirect = await emulator.consent(pending.consent_url)
    query = await through_peaka(f"{emulator.origin}/oauth2/callback?{urlsplit(redirect).query}")

    with pytest.raises(StateMismatch, match="not forwarded"):
        await flow.complete(query, user_ref=MALLORY)
    with pytest.raises(WorkFailedError):
        await flow.resolve(pending)


async def test_a_store_that_fails_after_the_work(make_flow, make_request, consent, emulator, posted, caplog):
    """The connection is there and the caller gets it; a second delivery is not sent."""
    store = Failing("swap")

    async def on_connected(*_):
        store.on = True

    flow = make_flow(store, on_connected=on_connected, lease_seconds=0.2)
    pending = await flow.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    connection = await flow.complete(query, user_ref=ALICE)
    with pytest.raises(NotSavedError):
        await flow.complete(query, user_ref=ALICE)

    assert (connection.id, posted()) == (pending.connection_id, (1, [1]))
    store.on = False
    async with asyncio.timeout(30):
        flow._on_connected = None
        assert (await flow.resolve(pending)) == connection
    assert "could not be stored: ConnectionError" in caplog.text


async def kill(flow):
    """End what a process is doing, and its beats with it."""
    for running in list(flow._running):
        running.cancel()
    await flow.aclose()


async def test_a_process_that_died_in_the_middle(make_flow, make_request, consent, emulator, posted, store):
    """Its silence shows that it is gone: another replica says that nobody knows, and resolves it."""
    dead, alive = make_flow(store, lease_seconds=0.3), make_flow(store, lease_seconds=0.3)
    pending = await dead.start(make_request(), user_ref=ALICE)
    query = await consent(pending)
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.3))
    task = asyncio.create_task(dead.complete(query, user_ref=ALICE))
    while posted()[0] == 0:
        await asyncio.sleep(0.01)
    await kill(dead)
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(OutcomeUnknownError):
        await alive.complete(query, user_ref=ALICE)
    while not emulator.connections()[0].active:
        await asyncio.sleep(0.01)
    assert (await alive.resolve(pending)).id == pending.connection_id
    assert posted() == (1, [1])


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({"id": "c1", "name": "crm", "type": "hubspot"}, "$.url"),
        ({"id": "c1", "url": "https://provider.example/?client_id=a"}, "$.url"),
        ({"id": "c1", "url": "https://provider.example/?state=a&state=b"}, "$.url"),
        ({"id": "c1", "url": "javascript:alert(1)//?state=a"}, "$.url"),
        ({"id": "c1", "url": "https://provider.example/?state=a\r\nSet-Cookie: x"}, "$.url"),
        ({"id": "", "url": "https://provider.example/?state=a"}, "$.id"),
    ],
)
async def test_a_consent_url_that_cannot_be_used(make_flow, make_request, emulator, answer, path, monkeypatch):
    """Without a state to know the return by there is no flow."""
    flow = make_flow()

    async def create(*_):
        return Connection(**answer)

    monkeypatch.setattr(flow._peaka.connections, "create", create)
    with pytest.raises(DecodeError) as raised:
        await flow.start(make_request(), user_ref=ALICE)

    assert raised.value.path == path


async def test_nothing_shows_a_secret(make_flow, make_request, consent, store):
    """Neither states nor codes nor credentials are in what is shown or kept."""
    flow = make_flow(store)
    request = make_request(OwnRedirect("app-id", "hush-hush", REDIRECT), remember={"tenant": "acme"})
    pending = await flow.start(request, user_ref=ALICE)
    query = await consent(pending)
    code = query.partition("code=")[2].partition("&")[0]
    await flow.complete(query, user_ref=ALICE)
    shown = f"{request!r} {pending!r} {flow!r} {store!r}"
    kept = (await store.get(pending.id)).decode()

    assert [secret for secret in (pending.state, code, "hush-hush", "app-id", "acme") if secret in shown] == []
    assert [secret for secret in (pending.state, code, "hush-hush", "app-id", ALICE) if secret in kept] == []
    assert pickle.loads(pickle.dumps(pending)) == pending  # noqa: S301 - its own


async def test_no_fault_posts_a_code_twice(make_flow, make_request, consent, emulator):
    """200 flows through random faults, each return delivered three times: one post at most for each."""
    flow = make_flow()
    queries = [await consent(await flow.start(make_request(), user_ref=str(number))) for number in range(200)]
    faults = [Fault.cut(Moment.BEFORE_WORK), Fault.cut(Moment.AFTER_WORK), Fault.bad_gateway(), Fault.slow(0.01)]
    emulator.faults.random(0.5, *faults, seed=7)

    async def deliver(number, query):
        deliveries = (flow.complete(query, user_ref=str(number)) for _ in range(3))
        return await asyncio.gather(*deliveries, return_exceptions=True)

    ended = await asyncio.gather(*(deliver(number, query) for number, query in enumerate(queries)))

    bodies = [each.body for each in emulator.requests if each.operation == "connections.oauth2_callback"]
    assert len(bodies) == len(set(bodies)) == 200
    assert {type(each) for all_three in ended for each in all_three} == {Connection, OutcomeUnknownError}
    assert all(len({type(each) for each in all_three}) == 1 for all_three in ended)
    assert {code.presented for code in emulator.codes} <= {0, 1}
    assert issubclass(OutcomeUnknownError, PeakaError)
