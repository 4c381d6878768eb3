"""The connections group, over plain HTTP: its state, its error bodies, and the OAuth2 flows."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from peaka_async.emulator import Emulator

POSTGRES = {"url": "db", "port": 5432, "user": "u", "password": "p4ss", "databaseName": "d", "useSsl": True}
TOKENS = {"clientId": "app", "clientSecret": "hush", "accessToken": "at", "refreshToken": "rt"}
APP = {"clientId": "app", "clientSecret": "hush"}
DONE = "https://app.example/done?tenant=7"


async def consented(api, **options):
    """A connection after consent, and the raw query of the return."""
    made = await api.begin(**options)
    redirect = await api.emulator.consent(made["url"])
    return made, urlsplit(redirect).query


def active(emulator):
    return [each.active for each in emulator.connections()]


async def test_connectors_say_what_they_need(api):
    """The list is an array, one connector is an object of it, and both have the document's properties."""
    _, listed = await api.call("GET", "/connections/config")
    _, postgres = await api.call("GET", "/connections/config/POSTGRES")
    redirect = {each["connectionType"] for each in listed if each["redirectRequired"]}

    assert redirect == {"hubspot", "salesforce", "google_ads", "google_analytics", "google_sheets", "slack"}
    assert len(listed) >= 10
    assert postgres in listed
    assert postgres["configuration"][1] == {
        "fieldName": "port",
        "fieldType": "number",
        "required": True,
        "description": "Port",
    }
    assert postgres["documentationUrl"] == "https://docs.peaka.com/integrations/postgresql"


async def test_an_unknown_connector_is_404(api):
    """There is no configuration of what does not exist."""
    status, body = await api.call("GET", "/connections/config/nope")

    assert (status, body["error"]) == (404, "NOT_FOUND")


async def test_the_group_keeps_state(api, emulator):
    """A connection can be created, listed, read, changed and deleted; the list is an array even for one."""
    made = await api.begin(POSTGRES, kind="POSTGRES")
    path = f"/{made['id']}"
    changed = {**made, "name": "pg2"}

    assert made == {"id": made["id"], "name": "crm", "type": "POSTGRES"}
    assert await api.on_connections("PUT", path, json={"name": "pg2", "credential": POSTGRES}) == (200, changed)
    assert await api.made() == [changed]
    assert await api.on_connections("GET", path) == (200, changed)
    assert await api.on_connections("DELETE", path) == (200, None)
    assert await api.made() == []
    assert emulator.connections() == []


async def test_the_detail_holds_nothing_confidential(api):
    """Only fields that the connector knows and calls public are shown."""
    made = await api.begin({**POSTGRES, "undeclared": "x"}, kind="POSTGRES")
    own_app = await api.begin()

    assert await api.on_connections("GET", f"/{made['id']}/detail") == (
        200,
        {"type": "POSTGRES", "url": "db", "port": 5432, "user": "u", "databaseName": "d", "useSsl": True},
    )
    _, detail = await api.on_connections("GET", f"/{own_app['id']}/detail")
    assert set(detail) == {"type", "clientId", "redirectUrl"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_connection_is_400(api, method):
    """The service says 400 and means 404."""
    answer = await api.on_connections(method, "/no-such-id", json={})

    assert answer == (
        400,
        {
            "error": "INVALID_CONNECTION_ID",
            "message": "There is no connection with id no-such-id",
            "errorCode": "cn004",
        },
    )


async def test_a_connection_is_not_reached_through_another_project(api, emulator):
    """Even with a Partner key, it is unknown in another project."""
    made = await api.begin(POSTGRES, kind="POSTGRES")
    other = emulator.add_project("Another")
    status, body = await api.call("GET", f"/connections/{other.id}/{made['id']}")

    assert (status, body["errorCode"]) == (400, "cn004")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", {"error": "Bad Request", "message": "The body is not a JSON object"}),
        (b"[]", {"error": "Bad Request", "message": "The body is not a JSON object"}),
        (b"", {"error": "Bad Request", "message": "The body is not a JSON object"}),
        (b"\xff", {"error": "Bad Request", "message": "The body is not a JSON object"}),
        (b'{"type":"stripe"}', {"error": "Bad Request", "message": "Missing property 'name'"}),
        (b'{"name":"n"}', {"error": "Bad Request", "message": "Missing property 'type'"}),
        (b'{"name":"n","type":"stripe"}', {"error": "Bad Request", "message": "Missing property 'credential'"}),
        (b'{"name":"n","type":"hubspot"}', {"error": "Bad Request", "message": "Missing property 'credential'"}),
        (
            b'{"name":"n","type":"nope"}',
            {"error": "WrongRequestException", "message": "Unknown connection type", "errorCode": None},
        ),
        (
            b'{"name":7,"type":"stripe","credential":{"token":"t"}}',
            {"errorCode": 100, "message": "Cannot deserialize property 'name' from 7"},
        ),
        (
            b'{"name":"n","type":"stripe","credential":"sk"}',
            {"errorCode": 100, "message": "Cannot deserialize property 'credential' from \"sk\""},
        ),
        (
            b'{"name":"n","type":"stripe","credential":{"tok":"sk"}}',
            {"error": "INVALID_CREDENTIALS", "message": 'Missing \'token\' in credential {"tok": "sk"}'},
        ),
        (
            b'{"name":"n","type":"stripe","credential":{"token":""}}',
            {"error": "INVALID_CREDENTIALS", "message": 'Missing \'token\' in credential {"token": ""}'},
        ),
        (
            b'{"name":"n","type":"slack","credential":{"clientId":"a","clientSecret":[]}}',
            {
                "error": "INVALID_CREDENTIALS",
                "message": 'Missing \'redirectUrl\' in credential {"clientId": "a", "clientSecret": []}',
            },
        ),
    ],
)
async def test_what_create_refuses(api, emulator, body, expected):
    """Each refusal has the service's body, with the data that it repeats, and nothing is stored."""
    answer = await api.on_connections("POST", data=body)

    assert answer == (400, expected)
    assert emulator.connections() == []


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://", "/done", "https://a.example/\r\nX: y", "https://[/"]
)
async def test_a_browser_is_only_sent_to_the_web(api, url):
    """A connectionCallback or redirectUrl that is not a plain http(s) URL is refused."""
    as_callback = {"name": "n", "type": "slack", "connectionCallback": url}
    as_redirect = {"name": "n", "type": "slack", "credential": {**APP, "redirectUrl": url}}
    statuses = [(await api.on_connections("POST", json=body))[0] for body in (as_callback, as_redirect)]

    assert statuses == [400, 400]


async def test_a_connection_keeps_its_type(api):
    """An update of the type is refused."""
    made = await api.begin(POSTGRES, kind="POSTGRES")
    status, body = await api.on_connections("PUT", f"/{made['id']}", json={"type": "MYSQL"})

    assert (status, body["error"]) == (400, "WrongRequestException")


async def test_own_tokens_need_no_consent(api, emulator):
    """Variant 1: a credential with tokens is active at once, and there is no url."""
    made = await api.begin(TOKENS)

    assert (set(made), active(emulator)) == ({"id", "name", "type"}, [True])


@pytest.mark.parametrize(
    ("credential", "client_id"),
    [(None, "peaka"), (APP, "app")],
    ids=["2a, Peaka's app", "2b.1, own app"],
)
async def test_peakas_own_callback(api, emulator, credential, client_id):
    """Peaka takes the redirect, completes the connection and sends the browser to connectionCallback."""
    made = await api.begin(credential, connectionCallback=DONE)
    asked = parse_qs(urlsplit(made["url"]).query)
    redirect = await emulator.consent(made["url"])
    before = active(emulator)
    target = await api.follow(redirect)

    assert (asked["client_id"], asked["redirect_uri"]) == ([client_id], [f"{emulator.origin}/oauth2/callback"])
    assert target == f"{DONE}&connectionId={made['id']}&status=success"
    assert (before, active(emulator)) == ([False], [True])


async def test_own_redirect_that_forwards(api, emulator):
    """Variant 2b.2: the partner's endpoint answers 307 to Peaka's callback with the raw query."""
    made, query = await consented(api, connectionCallback=DONE)
    target = await api.follow(f"{emulator.origin}/oauth2/callback?{query}")

    assert target == f"{DONE}&connectionId={made['id']}&status=success"
    assert active(emulator) == [True]


async def test_own_redirect_handled_fully(api, emulator):
    """Variant 2b.3: the partner posts the raw query, and gets the connection that create named."""
    made, query = await consented(api)
    answer = await api.post_callback(query)

    assert answer == (200, {"id": made["id"], "name": "crm", "type": "hubspot"})
    assert (active(emulator), [code.presented for code in emulator.codes]) == ([True], [1])


async def test_until_it_is_completed_a_connection_shows_its_consent_page(api):
    """GET and the list carry the url of create while the consent is open, and none afterwards."""
    made, query = await consented(api)
    before = await api.on_connections("GET", f"/{made['id']}"), await api.made()
    _, completed = await api.post_callback(query)
    after = await api.on_connections("GET", f"/{made['id']}")

    assert before == ((200, made), [made])
    assert after == (200, completed)


async def test_what_is_unknown_to_the_flow_is_no_harm(api):
    """Further parameters of a provider are ignored."""
    _, query = await consented(api)
    status, _ = await api.post_callback(f"scope=a+b&{query}&param=&param=2")

    assert status == 200


async def test_a_refusal_fails_the_flow_and_leaves_it_open(api, emulator):
    """Peaka's callback says fail, the post says 400; the person can still change their mind."""
    made = await api.begin(None, connectionCallback=DONE)
    denied = await emulator.consent(made["url"], allow=False)
    target = await api.follow(denied)
    status, body = await api.post_callback(urlsplit(denied).query)
    allowed = await api.follow(await emulator.consent(made["url"]))

    assert target.endswith(f"connectionId={made['id']}&status=fail")
    assert (status, body["message"]) == (400, "access_denied")
    assert allowed.endswith("status=success")


async def test_a_second_use_of_a_code_destroys_the_connection(api, emulator):
    """The access of the first use is revoked, the second use is refused, and both are counted."""
    made, query = await consented(api)
    first = await api.post_callback(query)
    second, third = await api.post_callback(query), await api.post_callback(query)

    assert first[0] == 200
    assert second == third
    assert second == (
        400,
        {
            "error": "INVALID_GRANT",
            "message": "The code was used before; its access is revoked",
            "errorCode": "oa002",
        },
    )
    assert (await api.on_connections("GET", f"/{made['id']}"))[0] == 400
    assert (emulator.connections(), [code.presented for code in emulator.codes]) == ([], [3])


async def test_a_replay_at_peakas_callback_destroys_too(api, emulator):
    """A reload of the redirect is a second use, and the browser is told that it failed."""
    made = await api.begin(None, connectionCallback=DONE)
    redirect = await emulator.consent(made["url"])
    statuses = [(await api.follow(redirect)).rpartition("=")[2] for _ in range(2)]

    assert (statuses, emulator.connections()) == (["success", "fail"], [])


async def test_a_replay_harms_no_other_connection(api, emulator):
    """Only the access that the code gave is revoked."""
    kept, other_query = await consented(api)
    _, query = await consented(api)
    for each in (other_query, query, query):
        await api.post_callback(each)

    assert [each.id for each in emulator.connections()] == [kept["id"]]


async def test_a_second_consent_does_not_complete_twice(api, emulator):
    """Two clicks on Allow give two codes; the second finds its state used, and the connection lives."""
    made, query = await consented(api)
    second = urlsplit(await emulator.consent(made["url"])).query
    first_answer, second_answer = await api.post_callback(query), await api.post_callback(second)

    assert (first_answer[0], second_answer[0], second_answer[1]["error"]) == (200, 400, "INVALID_STATE")
    assert active(emulator) == [True]


def without(name):
    return lambda query: "&".join(pair for pair in query.split("&") if not pair.startswith(f"{name}="))


@pytest.mark.parametrize(
    ("change", "error", "presented"),
    [
        (lambda query: query.replace("state=", "state=x"), "INVALID_STATE", 0),
        (without("state"), "INVALID_STATE", 0),
        (lambda query: f"?{query}", "INVALID_GRANT", 0),
        (lambda query: query.replace("code=", "code=x"), "INVALID_GRANT", 0),
        (without("code"), "INVALID_GRANT", 0),
        (lambda query: query.replace("%2F", "%252F"), "INVALID_GRANT", 0),
        (lambda query: query.replace("%2B", "+"), "INVALID_GRANT", 0),
        (lambda query: f"{query}&{query}", "Bad Request", 0),
    ],
    ids=["wrong state", "no state", "?", "wrong code", "no code", "encoded twice", "raw +", "repeated"],
)
async def test_a_wrong_answer_is_refused(api, emulator, change, error, presented):
    """A wrong, missing, re-encoded or repeated parameter completes nothing and uses up no code."""
    _, query = await consented(api)
    status, body = await api.post_callback(change(query))

    assert (status, body["error"]) == (400, error)
    assert (active(emulator), [code.presented for code in emulator.codes]) == ([False], [presented])
    assert (await api.post_callback(query))[0] == 200


async def test_a_flow_is_not_completed_through_another_project(api, emulator):
    """The state is unknown in another project, and the code stays unused."""
    _, query = await consented(api)
    other = emulator.add_project("Another")
    status, body = await api.call("POST", f"/connections/{other.id}/oauth2", json={"queryParameters": query})

    assert (status, body["error"], [code.presented for code in emulator.codes]) == (400, "INVALID_STATE", [0])


async def test_a_code_is_bound_to_its_client_and_redirect(api, emulator):
    """A code of one app does not complete the flow of another."""
    _, query = await consented(api)
    other = await api.begin({**APP, "clientId": "thief", "redirectUrl": "https://thief.example"})
    state = parse_qs(urlsplit(other["url"]).query)["state"][0]
    status, body = await api.post_callback(f"{without('state')(query)}&state={state}")

    assert (status, body["message"]) == (400, "The code was issued to another client or redirect URI")
    assert active(emulator) == [False, False]


@pytest.mark.parametrize(
    ("limits", "error"),
    [({"code_seconds": 0}, "INVALID_GRANT"), ({"state_seconds": 0}, "INVALID_STATE")],
)
async def test_codes_and_states_expire(make_api, limits, error):
    """A late return is refused."""
    async with Emulator(**limits) as emulator, aiohttp.ClientSession() as session:
        api = make_api(session, emulator)
        _, query = await consented(api)
        status, body = await api.post_callback(query)

    assert (status, body["error"]) == (400, error)


async def test_a_deleted_connection_cannot_be_completed(api, emulator):
    """Its consent leads nowhere."""
    made, query = await consented(api)
    await api.on_connections("DELETE", f"/{made['id']}")
    status, body = await api.post_callback(query)

    assert (status, body["error"], emulator.connections()) == (400, "INVALID_STATE", [])


async def test_tokens_by_update_end_the_flow(api, emulator):
    """A pending connection that gets tokens is active, and has no url any more."""
    made = await api.begin()
    _, updated = await api.on_connections("PUT", f"/{made['id']}", json={"credential": TOKENS})

    assert ("url" in updated, active(emulator)) == (False, [True])


@pytest.mark.parametrize("query", ["code=a", "code=a&state=b", ""])
async def test_peakas_callback_knows_its_flows_only(api, emulator, query):
    """A stranger's redirect is a page that says so, and sends the browser nowhere."""
    async with api.session.get(f"{emulator.origin}/oauth2/callback?{query}", allow_redirects=False) as answer:
        got = answer.status, answer.headers.get("Location")

    assert got == (400, None)


async def test_peakas_callback_completes_no_flow_that_ends_elsewhere(api, emulator):
    """Without a connectionCallback there is nowhere to send the browser to, and the code stays unused."""
    _, query = await consented(api)
    async with api.session.get(f"{emulator.origin}/oauth2/callback?{query}") as answer:
        status = answer.status

    assert (status, [code.presented for code in emulator.codes]) == (400, [0])


async def test_a_head_request_completes_nothing(api, emulator):
    """Link scanners and prefetchers ask with HEAD."""
    made = await api.begin(None, connectionCallback=DONE)
    redirect = await emulator.consent(made["url"])
    async with api.session.head(redirect) as answer:
        status = answer.status

    assert (status, active(emulator)) == (405, [False])


async def test_credentials_are_in_no_repr(api, emulator):
    """Sent credentials, the code and the state of a consent page are not shown."""
    await consented(api)
    shown = repr((emulator.connections(), emulator.codes, emulator.requests))
    state = parse_qs(urlsplit(emulator.connections()[0].url).query)["state"][0]

    assert [secret for secret in ("hush", state, emulator.codes[0].value) if secret in shown] == []
