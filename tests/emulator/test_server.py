"""The emulator's server: keys, error bodies, received requests, start and stop."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import aiohttp
import pytest

from peaka_async import ConfigurationError
from peaka_async.emulator import Emulator, Fault, Moment

FRAMEWORK = {"timestamp", "path", "status", "error", "requestId"}


@pytest.mark.parametrize("authorization", [None, "Bearer nobody's", "Bearer ", "Basic {key}", "{key}"])
async def test_without_a_known_key_it_is_401(emulator, authorization):
    """A missing, empty or unknown key, or another scheme, is the gateway's 401."""
    headers = {} if authorization is None else {"Authorization": authorization.format(key=emulator.api_key)}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{emulator.base_url}/info", headers=headers) as answer:
            got = answer.status, set(await answer.json())

    assert got == (401, {"code", "message"})


async def test_a_project_key_reaches_its_project_only(emulator, api):
    """Its own project answers; any other is the gateway's 403, whether it exists or not."""
    other = emulator.add_project("Another")
    own, _ = await api.on_connections("GET", key=emulator.project_key)
    elsewhere = [await api.call("GET", f"/connections/{p}", key=emulator.project_key) for p in (other.id, "nowhere")]
    with_its_key = await api.call("GET", f"/connections/{other.id}", key=other.key)

    assert own == 200
    assert [(status, set(body)) for status, body in elsewhere] == [(403, {"code", "message"})] * 2
    assert with_its_key == (200, [])


async def test_info_tells_a_keys_project(emulator, api):
    """A Project key's answer names its project, a Partner key's does not."""
    _, partner = await api.call("GET", "/info")
    _, project = await api.call("GET", "/info", key=emulator.project_key)

    assert set(partner) == {"userId", "email"}
    assert project == {**partner, "projectId": emulator.project_id, "projectName": "Emulated project"}


async def test_an_unknown_project_is_404(api):
    """A Partner key can access all existing projects."""
    status, body = await api.call("GET", "/connections/nowhere")

    assert (status, body["error"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("PATCH", "/connections/p", 405, "Method Not Allowed"),
        ("GET", "/connections/p/c/detail/more", 404, "Not Found"),
    ],
)
async def test_the_frameworks_errors(api, method, path, status, error):
    """If a request reaches no operation, the body is the framework's."""
    got, body = await api.call(method, path)

    assert (got, body["status"], body["error"], body["path"]) == (status, status, error, f"/api/v1{path}")
    assert set(body) == FRAMEWORK


async def test_it_records_what_it_saw(emulator, api):
    """Method, target, operation, headers, body, time and fault of each request, the newest last."""
    fault = Fault.answer(418)
    emulator.faults.add("connections.create", fault)
    await api.on_connections("POST", "?a=%2Fb%20c", data=b"{", headers={"X-Mark": "7"})
    await api.call("GET", "/nowhere")
    first, second = emulator.requests

    assert (first.operation, first.method, first.body, first.fault) == (
        "connections.create",
        "POST",
        b"{",
        fault,
    )
    assert (first.target, first.headers["X-Mark"]) == ("/api/v1/connections/mtKDhe1U?a=%2Fb%20c", "7")
    assert (second.operation, second.target, second.fault) == (None, "/api/v1/nowhere", None)
    assert first.at <= second.at


async def test_the_ledger_is_bounded(emulator, api, monkeypatch):
    """It keeps the beginning of a large body, and a limited number of requests."""
    await api.on_connections("POST", data=b"x" * 1_000_000)

    assert len(emulator.requests[0].body) == 65_536
    assert emulator._requests.maxlen == 10_000


async def test_no_key_is_shown(emulator, api, caplog):
    """No repr and no log holds a key, and requests are not logged."""
    caplog.set_level(logging.DEBUG)
    await api.call("GET", "/info")
    project = emulator.add_project("Another")
    shown = repr((emulator, emulator.requests, project, emulator.connections())) + caplog.text

    assert [key for key in (emulator.api_key, emulator.project_key, project.key) if key in shown] == []
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com", ""])  # noqa: S104 - the point of the test
def test_it_listens_on_loopback_only(host):
    """It gives connections to everyone who asks, so it listens only on loopback."""
    with pytest.raises(ConfigurationError, match="loopback"):
        Emulator(host=host)


@pytest.mark.parametrize(("host", "bound"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")])
async def test_other_names_of_loopback(host, bound):
    """Other loopback addresses work too, and the base URL has the address."""
    async with Emulator(host=host) as emulator, aiohttp.ClientSession() as session:
        async with session.get(emulator.origin) as answer:
            status = answer.status

    assert (status, emulator._host) == (200, bound)


async def test_the_port_can_be_chosen():
    """The base URL has the requested port, and ends in /api/v1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with Emulator(port=port) as emulator:
        base_url = emulator.base_url

    assert base_url == f"http://127.0.0.1:{port}/api/v1"


async def test_a_taken_port_is_an_oserror_and_leaves_nothing_behind():
    """The same emulator can be started once the port is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        emulator = Emulator(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await emulator.start()
    async with emulator as started:
        assert started.base_url.endswith("/api/v1")


async def test_it_stops_at_once_and_keeps_what_was_stored(emulator, api):
    """With a call that hangs and a connection kept alive it still stops at once; both are closed."""
    made = await api.begin()
    emulator.faults.add("info", Fault.silence(), Fault.silence(Moment.ON_ARRIVAL))
    hung = [asyncio.ensure_future(api.call("GET", "/info")) for _ in range(2)]
    while sum(each.operation == "info" for each in emulator.requests) < 2:
        await asyncio.sleep(0.005)
    port = int(emulator.origin.rpartition(":")[2])
    began = time.monotonic()
    await emulator.stop()
    took = time.monotonic() - began
    outcomes = await asyncio.gather(*hung, return_exceptions=True)

    assert took < 10  # the server that it runs on would wait a minute
    assert all(isinstance(outcome, aiohttp.ClientConnectionError) for outcome in outcomes)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match="not started"):
        _ = emulator.base_url
    assert [each.id for each in emulator.connections()] == [made["id"]]


async def test_it_starts_once(emulator):
    """A second start raises an error."""
    with pytest.raises(ConfigurationError, match="already"):
        await emulator.start()


async def test_two_emulators_share_nothing(api, make_api):
    """An emulator does not know the keys and connections of another."""
    await api.begin()
    async with Emulator() as other, aiohttp.ClientSession() as session:
        its_own = await make_api(session, other).made()
        status, _ = await make_api(session, other).on_connections("GET", key=api.emulator.api_key)

    assert (its_own, status) == ([], 401)


async def test_the_front_page_says_where_the_api_is(emulator, api):
    """The page at the origin shows the base URL."""
    async with api.session.get(emulator.origin) as answer:
        page = await answer.text()

    assert emulator.base_url in page
