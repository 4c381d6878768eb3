"""The main job from end to end: a connection is created, consented to, and completed, through everything that fails."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest

from peaka_async import (
    AuthorizationDenied,
    BadRequestError,
    Connection,
    ConnectionRequest,
    NotFoundError,
    Oauth2Callback,
    OAuth2Credential,
    OutcomeUnknownError,
    PeakaClient,
    PeakaError,
    RetryPolicy,
    Timeouts,
)
from peaka_async.emulator import Fault, Moment

REDIRECT = "https://app.example/oauth2/mycallback"
POSTGRES = {
    "url": "db",
    "port": 5432,
    "user": "u",
    "password": "p",
    "databaseName": "d",
    "useSsl": True,
}
OWN_APP = OAuth2Credential(client_id="app", client_secret="s3cret", redirect_url=REDIRECT)


async def begun(peaka, emulator, credential=OWN_APP, **options):
    request = ConnectionRequest("crm", "hubspot", credential, **options)
    return await peaka.connections.create(emulator.project_id, request)


async def returned(peaka, emulator):
    """The redirect of a flow whose consent was given."""
    pending = await begun(peaka, emulator)
    return pending, await emulator.consent(pending.url)


async def test_own_redirect_handled_fully(peaka, emulator):
    """After create, consent, redirect and callback the connection works; its code was sent once, byte for byte."""
    pending, redirect = await returned(peaka, emulator)
    before = [each.active for each in emulator.connections()]
    callback = Oauth2Callback.from_redirect(redirect)

    connection = await peaka.connections.oauth2_callback(emulator.project_id, callback)

    assert connection == Connection(pending.id, "crm", "hubspot")
    assert (before, [each.active for each in emulator.connections()]) == ([False], [True])
    assert callback.query_parameters == urlsplit(redirect).query
    assert "%2F" in callback.query_parameters
    assert [code.presented for code in emulator.provider.codes.values()] == [1]


@pytest.mark.parametrize("credential", [None, OAuth2Credential(client_id="app", client_secret="s3cret")])
async def test_peakas_own_callback(peaka, emulator, credential):
    """With connectionCallback, Peaka itself takes the redirect, and sends the browser on with the outcome."""
    pending = await begun(peaka, emulator, credential, connection_callback="https://app.example/done?tenant=7")
    redirect = await emulator.consent(pending.url)
    async with aiohttp.ClientSession() as browser, browser.get(redirect, allow_redirects=False) as answer:
        target = answer.headers["Location"]

    assert target == f"https://app.example/done?tenant=7&connectionId={pending.id}&status=success"
    assert [each.active for each in emulator.connections()] == [True]


async def test_own_redirect_that_forwards(peaka, emulator):
    """If the partner's endpoint redirects (307) to Peaka's callback with the raw query, the flow completes there."""
    request = OAuth2Credential(client_id="app", client_secret="s3cret", redirect_url=REDIRECT)
    pending = await begun(peaka, emulator, request, connection_callback="https://app.example/done")
    query = urlsplit(await emulator.consent(pending.url)).query
    async with aiohttp.ClientSession() as browser:
        forwarded = f"{emulator.origin}/oauth2/callback?{query}"
        async with browser.get(forwarded, allow_redirects=False) as answer:
            target = answer.headers["Location"]

    assert parse_qs(urlsplit(target).query)["status"] == ["success"]


async def test_a_refusal_comes_back_as_an_error(peaka, emulator):
    """A person who denies is sent back with error=access_denied and the state."""
    pending = await begun(peaka, emulator)
    redirect = await emulator.consent(pending.url, allow=False)

    with pytest.raises(AuthorizationDenied) as raised:
        Oauth2Callback.from_redirect(redirect)
    assert raised.value.error == "access_denied"
    assert parse_qs(urlsplit(redirect).query)["state"] == parse_qs(urlsplit(pending.url).query)["state"]


async def test_a_second_use_of_a_code_destroys_the_connection(peaka, emulator):
    """A replayed code has the effect that it has at real providers: the connection of the first use is gone."""
    pending, redirect = await returned(peaka, emulator)
    callback = Oauth2Callback.from_redirect(redirect)
    await peaka.connections.oauth2_callback(emulator.project_id, callback)

    with pytest.raises(BadRequestError):
        await peaka.connections.oauth2_callback(emulator.project_id, callback)

    with pytest.raises(NotFoundError):
        await peaka.connections.get(emulator.project_id, pending.id)
    assert emulator.connections() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda query: query.replace("state=", "state=x"), "oa001"),
        (lambda query: query.replace("code=", "code=x"), "oa002"),
        (lambda query: query.partition("&")[2], "oa002"),
    ],
)
async def test_a_wrong_state_or_code_is_refused(peaka, emulator, change, code):
    """No such redirect completes the connection."""
    _, redirect = await returned(peaka, emulator)
    query = change(urlsplit(redirect).query)

    with pytest.raises(BadRequestError) as raised:
        await peaka.connections.oauth2_callback(emulator.project_id, Oauth2Callback(query))
    assert raised.value.error_code == code
    assert [each.active for each in emulator.connections()] == [False]


async def test_the_group_keeps_state(peaka, emulator):
    """A connection can be created, listed, read, changed and deleted; an unknown connection is a 400 that means 404."""
    project = emulator.project_id
    request = ConnectionRequest("pg", "POSTGRES", POSTGRES)
    made = await peaka.connections.create(project, request)
    await peaka.connections.update(project, made.id, ConnectionRequest(name="pg2"))

    assert (await peaka.connections.list(project))[-1] == Connection(made.id, "pg2", "POSTGRES")
    assert await peaka.connections.get_view(project, made.id) == {
        "type": "POSTGRES",
        "url": "db",
        "port": 5432,
        "user": "u",
        "databaseName": "d",
        "useSsl": True,
    }
    await peaka.connections.delete(project, made.id)
    with pytest.raises(NotFoundError) as raised:
        await peaka.connections.get(project, made.id)
    assert (raised.value.status, raised.value.error_code) == (400, "cn004")


async def test_an_answer_lost_after_the_work(peaka, emulator):
    """If the connection was made and the answer was lost, the outcome is unknown, and the code was sent once."""
    _, redirect = await returned(peaka, emulator)
    emulator.faults.add("connections.oauth2_callback", Fault.cut(Moment.AFTER_WORK))

    with pytest.raises(OutcomeUnknownError):
        await peaka.connections.oauth2_callback(emulator.project_id, Oauth2Callback.from_redirect(redirect))

    assert [each.active for each in emulator.connections()] == [True]
    assert [code.presented for code in emulator.provider.codes.values()] == [1]


FAULTS = {
    "cut on arrival": Fault.cut(Moment.ON_ARRIVAL),
    "cut before the work": Fault.cut(Moment.BEFORE_WORK),
    "cut after the work": Fault.cut(Moment.AFTER_WORK),
    "silence": Fault.silence(),
    "silence after the work": Fault.silence(Moment.AFTER_WORK),
    "bad gateway": Fault.bad_gateway(),
    "bad gateway after the work": Fault.bad_gateway(Moment.AFTER_WORK),
    "rate limited": Fault.rate_limited(0.01),
    "not json": Fault.not_json(),
    "drip": Fault.drip(0.001),
    "slow": Fault.slow(0.05),
    "status": Fault.answer(503),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_no_fault_sends_a_code_twice(peaka, emulator, fault):
    """With any fault, a code is presented at most once and no connection is destroyed."""
    _, redirect = await returned(peaka, emulator)
    emulator.faults.add("connections.oauth2_callback", fault)
    impatient = peaka.with_options(timeout=Timeouts(total=20, attempt=1))
    try:
        await impatient.connections.oauth2_callback(emulator.project_id, Oauth2Callback.from_redirect(redirect))
    except PeakaError as error:
        outcome = type(error).__name__
    else:
        outcome = "Connection"

    assert outcome in {"Connection", "OutcomeUnknownError", "ServerError", "DecodeError"}
    assert [code.presented for code in emulator.provider.codes.values()] in ([0], [1])
    assert len(emulator.connections()) == 1


async def test_a_thousand_flows_through_random_faults(emulator):
    """Each of 1,000 flows ends in a Connection or a typed error, and no code is used twice."""
    credential = OAuth2Credential(client_id="app", client_secret="s3cret", redirect_url=REDIRECT)
    stored = []
    provider = emulator.provider
    options = {"retry": RetryPolicy(backoff=0.001), "timeout": Timeouts(total=60, attempt=10)}
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url, max_connections=20, **options) as peaka:
        for number in range(1000):
            pending = await peaka.connections.create(
                emulator.project_id, ConnectionRequest(f"c{number}", "hubspot", credential)
            )
            state = parse_qs(urlsplit(pending.url).query)["state"][0]
            code = provider._issue("app", REDIRECT)
            stored.append(Oauth2Callback(urlencode({"code": code.value, "state": state})))
        emulator.faults.random(0.4, *(fault for fault in FAULTS.values() if fault.kind != "silence"), seed=7)
        outcomes = await asyncio.gather(
            *(peaka.connections.oauth2_callback(emulator.project_id, callback) for callback in stored),
            return_exceptions=True,
        )

    kinds = {type(outcome).__name__ for outcome in outcomes}
    assert kinds <= {"Connection", "OutcomeUnknownError", "ServerError", "DecodeError"}
    assert {code.presented for code in provider.codes.values()} == {0, 1}
    assert len(emulator.connections()) == 1000
    done = sum(isinstance(outcome, Connection) for outcome in outcomes)
    assert 600 < done <= sum(each.active for each in emulator.connections())
