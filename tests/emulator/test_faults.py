"""Each kind of fault: the bytes on the wire, and whether the work was done."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from peaka_async import ConfigurationError
from peaka_async.emulator import Fault, Faults, Moment

CREATE = "connections.create"
BODY = b'{"name":"n","type":"stripe","credential":{"token":"sk"}}'


async def raw(emulator, *, body=BODY, patience=5.0, size=-1):
    """Send one create over a plain socket; return the bytes of the answer, or the way it ended."""
    host, port = emulator.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/v1/connections/{emulator.project_id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {emulator.api_key}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        return await asyncio.wait_for(reader.read(size), patience)
    except (ConnectionResetError, TimeoutError) as error:
        return type(error)
    finally:
        writer.close()


async def answered(emulator, *faults):
    """The status, headers and body of a create with these faults."""
    emulator.faults.add(CREATE, *faults)
    got = await raw(emulator)
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def made(emulator):
    return len(emulator.connections())


@pytest.mark.parametrize(("moment", "done"), [(Moment.ON_ARRIVAL, 0), (Moment.BEFORE_WORK, 0), (Moment.AFTER_WORK, 1)])
@pytest.mark.parametrize(
    ("make", "outcome"), [(Fault.cut, b""), (Fault.reset, ConnectionResetError), (Fault.silence, TimeoutError)]
)
async def test_no_answer(emulator, make, outcome, moment, done):
    """A closed, a reset and a silent connection, before the body is read, before the work and after it."""
    emulator.faults.add(CREATE, make(moment))
    got = await raw(emulator, patience=0.3)

    # Closing with unread bytes in the socket resets the connection, as it does at any server.
    assert got == outcome or (moment is Moment.ON_ARRIVAL and make == Fault.cut and got is ConnectionResetError)
    assert made(emulator) == done


async def test_on_arrival_strikes_without_the_body(emulator):
    """The answer is sent although the body is never sent."""
    emulator.faults.add(CREATE, Fault.answer(413, moment=Moment.ON_ARRIVAL))
    got = await raw(emulator, body=b"", size=12)

    assert got == b"HTTP/1.1 413"


@pytest.mark.parametrize(("moment", "done"), [(Moment.BEFORE_WORK, 0), (Moment.AFTER_WORK, 1)])
async def test_any_status_with_headers_and_body(emulator, moment, done):
    """The answer is the scripted one, and the work is done or not, by the moment."""
    fault = Fault.answer(418, b"tea", headers={"X-Pot": "7"}, content_type="text/plain", moment=moment)
    status, headers, body = await answered(emulator, fault)

    assert (status, headers["X-Pot"], headers["Content-Type"], body) == (418, "7", "text/plain", b"tea")
    assert made(emulator) == done


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        (Fault.rate_limited(3), 429, "3"),
        (Fault.rate_limited(0.25), 429, "0.25"),
        (Fault.rate_limited("Fri, 31 Dec 1999 23:59:59 GMT"), 429, "Fri, 31 Dec 1999 23:59:59 GMT"),
        (Fault.unavailable("soon"), 503, "soon"),
        (Fault.unavailable(), 503, None),
    ],
)
async def test_retry_after(emulator, fault, status, retry_after):
    """429 and 503 have the scripted hint, even if it is invalid."""
    got, headers, _ = await answered(emulator, fault)

    assert (got, headers.get("Retry-After"), made(emulator)) == (status, retry_after, 0)


async def test_bad_gateway(emulator):
    """A gateway's page is HTML."""
    status, headers, body = await answered(emulator, Fault.bad_gateway())

    assert (status, headers["Content-Type"], body[:6]) == (502, "text/html", b"<html>")


async def test_redirect(emulator):
    """The Location is what the script says."""
    status, headers, _ = await answered(emulator, Fault.redirect("https://elsewhere.example/api"))

    assert (status, headers["Location"], made(emulator)) == (307, "https://elsewhere.example/api", 0)


async def test_not_json(emulator):
    """The work is done, and a complete but invalid body is sent."""
    status, headers, body = await answered(emulator, Fault.not_json())

    assert (status, body, int(headers["Content-Length"])) == (200, b'{"id": "62', 10)
    assert made(emulator) == 1


async def test_truncated(emulator):
    """The work is done, and the connection ends before the length that was announced."""
    status, headers, body = await answered(emulator, Fault.truncated())

    assert status == 200
    assert 0 < len(body) < int(headers["Content-Length"])
    assert made(emulator) == 1


async def test_oversize(emulator):
    """The body has exactly the size of the script, and is JSON."""
    size = 3_000_001
    status, headers, body = await answered(emulator, Fault.oversize(size))

    assert (status, int(headers["Content-Length"]), len(body), body[:2], body[-1:]) == (200, size, size, b"{ ", b"}")


async def test_drip(emulator):
    """The normal answer is sent byte by byte."""
    began = time.monotonic()
    status, headers, body = await answered(emulator, Fault.drip(0.002))
    took = time.monotonic() - began

    assert (status, made(emulator)) == (200, 1)
    assert took >= 0.002 * len(body) == 0.002 * int(headers["Content-Length"])


async def test_slow(emulator):
    """The normal answer is sent late."""
    began = time.monotonic()
    status, _, _ = await answered(emulator, Fault.slow(0.1))

    assert (status, made(emulator), time.monotonic() - began >= 0.1) == (200, 1, True)


async def test_slow_work_is_done_for_a_client_that_left(emulator):
    """Giving up on an answer does not undo the request."""
    emulator.faults.add(CREATE, Fault.slow(0.2))
    got = await raw(emulator, patience=0.05)
    before = made(emulator)
    await asyncio.sleep(0.4)

    assert (got, before, made(emulator)) == (TimeoutError, 0, 1)


async def test_silence_ends_with_the_client(emulator):
    """No work remains in the server after the client has given up."""
    at_rest = len(asyncio.all_tasks())
    emulator.faults.add(CREATE, Fault.silence())
    await raw(emulator, patience=0.05)
    await asyncio.sleep(0.2)

    assert len(asyncio.all_tasks()) == at_rest


async def test_a_client_that_leaves_a_dripping_answer_is_no_error(emulator, caplog):
    """Writing to a client that has left causes no log message."""
    emulator.faults.add(CREATE, Fault.drip(0.01), Fault.oversize(50_000_000))
    outcomes = [await raw(emulator, patience=0.05) for _ in range(2)]
    await asyncio.sleep(0.2)

    assert outcomes[0] is TimeoutError
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_faults_are_taken_in_turn(api, emulator):
    """Faults of the operation come first, then those for any operation; afterwards there are no faults."""
    emulator.faults.add("info", Fault.answer(500), Fault.answer(501), times=2)
    emulator.faults.add("*", Fault.answer(599))
    statuses = [(await api.call("GET", "/info"))[0] for _ in range(6)]
    other, _ = await api.on_connections("GET")

    assert (statuses, other) == ([500, 501, 500, 501, 599, 200], 200)


async def test_clear_ends_the_script(api, emulator):
    """No queued and no random faults remain."""
    emulator.faults.add("info", Fault.answer(500))
    emulator.faults.random(1.0)
    emulator.faults.clear()

    assert (await api.call("GET", "/info"))[0] == 200


def test_chance_is_the_same_for_the_same_seed():
    """The seed decides which calls get which fault; their share is near the rate."""

    def drawn(seed):
        faults = Faults({"info"})
        faults.random(0.3, seed=seed)
        return [faults.take("info") for _ in range(1000)]

    struck = [fault for fault in drawn(1) if fault is not None]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 250 < len(struck) < 350
    assert len({fault.kind for fault in struck}) == 9
    assert "silence" not in {fault.kind for fault in struck}


def test_chance_can_be_of_one_operation():
    """Other operations get no faults, and the faults can be chosen."""
    fault = Fault.silence()
    faults = Faults({"info", CREATE})
    faults.random(1.0, fault, operation=CREATE)

    assert (faults.take("info"), faults.take(CREATE)) == (None, fault)


@pytest.mark.parametrize("script", [lambda f: f.add("inof", Fault.cut()), lambda f: f.random(1, operation="inof")])
def test_an_unknown_operation_is_a_typed_error(script):
    """A fault for an unknown operation could never happen, so it is an error."""
    with pytest.raises(ConfigurationError, match="inof"):
        script(Faults({"info"}))


async def test_the_answer_of_a_fault_is_usable_again(api, emulator):
    """A fault is a value, which can be scripted several times."""
    fault = Fault.not_json(b"[")
    emulator.faults.add("info", fault, times=3)
    bodies = []
    for _ in range(3):
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        async with api.session.get(f"{emulator.base_url}/info", headers=headers) as answer:
            bodies.append(await answer.read())

    assert bodies == [b"["] * 3


async def test_an_aiohttp_client_sees_the_disconnect(emulator):
    """An aiohttp client reports a cut as a disconnected server."""
    emulator.faults.add("info", Fault.cut(), times=2)  # aiohttp asks once more by itself
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get(f"{emulator.base_url}/info")
