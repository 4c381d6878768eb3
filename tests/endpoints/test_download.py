"""Downloads of exported files from a host that cuts, expires and sends what it likes."""

from __future__ import annotations

import gzip
import re

import aiohttp
import pytest
from scripted_server import ScriptedServer, answer

from peaka_async import ConfigurationError, DecodeError, PeakaClient, PeakaError, RetryPolicy, TransportError
from peaka_async.endpoints import _download as download_module

CONTENT = bytes(range(256)) * 40
TAG = '"v1"'


def head(status, headers):
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "\r\n"]).encode()


def wanted(exchange):
    """The first byte that a request's Range asks for."""
    found = re.fullmatch(r"bytes=(\d+)-", exchange.seen.headers.get("range", ""))
    return int(found[1]) if found else 0


def file(content=CONTENT, *, cut=None, ranges=True, length=True, tag=TAG):
    """A host's answer; `cut` ends it after so many bytes."""

    async def behave(exchange):
        await exchange.read_body()
        start = wanted(exchange) if ranges else 0
        body = content[start:]
        headers = {"Content-Length": len(body)} if length else {"Connection": "close"}
        if tag:
            headers["ETag"] = tag
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await exchange.send(head(206 if start else 200, headers) + (body if cut is None else body[:cut]))
        return cut is None and length

    return behave


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(download_module, "_PAUSE", 0.001)


@pytest.fixture
async def host():
    async with ScriptedServer() as host:
        yield host


@pytest.fixture
async def api(host):
    async with ScriptedServer() as api:
        for number in range(12):
            link = f"{host.origin}/bucket/part-0.csv?X-Signature=s3cret{number}"
            job = {"id": "e", "status": "SUCCEEDED", "files": [{"name": "part-0.csv", "url": link}]}
            api.script(answer(200, job))
        yield api


@pytest.fixture
async def peaka(api):
    async with PeakaClient("the-key", base_url=api.base_url, retry=RetryPolicy(attempts=1)) as peaka:
        yield peaka


async def read(peaka, **options):
    async with peaka.exports.download("p", "e", "part-0.csv", **options) as download:
        return b"".join([piece async for piece in download])


async def test_a_file_is_read_without_the_key(host, peaka):
    """The host gets the link, and nothing that is meant for the API."""
    host.script(file())

    assert await read(peaka) == CONTENT
    (seen,) = host.requests
    assert seen.target == "/bucket/part-0.csv?X-Signature=s3cret0"
    assert not {"authorization", "traceparent", "baggage", "accept"} & seen.headers.keys()


async def test_an_own_sessions_headers_stay_with_the_api(host, api):
    """What the application sends with each request is for the API, and not for the file's host."""
    host.script(file())
    async with (
        aiohttp.ClientSession(headers={"X-Team": "blue"}, cookies={"session": "s3cret"}) as session,
        PeakaClient("the-key", base_url=api.base_url, session=session) as peaka,
    ):
        await read(peaka)

    assert api.requests[0].headers["x-team"] == "blue"
    assert not {"x-team", "cookie", "authorization"} & host.requests[0].headers.keys()


async def test_a_cut_is_resumed_where_it_was(host, api, peaka):
    """With a Range, under a fresh link, and only if the file is still the same."""
    host.script(file(cut=1000), file(cut=2000), file())

    assert await read(peaka) == CONTENT
    assert [seen.headers.get("range") for seen in host.requests] == [None, "bytes=1000-", "bytes=3000-"]
    assert [seen.headers.get("if-range") for seen in host.requests] == [None, TAG, TAG]
    assert len({seen.target for seen in host.requests}) == 3
    assert len(api.requests) == 3


async def test_a_host_without_ranges_is_read_from_the_start(host, peaka):
    """What is there already is skipped."""
    host.script(file(cut=1000), file(ranges=False))

    assert await read(peaka) == CONTENT


async def test_an_expired_link_is_replaced(host, api, peaka):
    """The host answers 403; the export is read again for another."""
    host.script(answer(403, b"<Error><Code>AccessDenied</Code></Error>"), file())

    assert await read(peaka) == CONTENT
    assert len(api.requests) == 2


async def test_it_ends_some_time(host, peaka):
    """A host that never gives a byte more makes the download fail."""
    host.script(*[file(cut=0)] * 10)

    with pytest.raises(TransportError):
        await read(peaka)
    assert len(host.requests) == 5


async def test_an_error_shows_no_link(host, peaka):
    """The signature in it is as good as a key."""
    host.script(*[answer(403, {})] * 10)

    with pytest.raises(PeakaError) as raised:
        await read(peaka)
    assert "s3cret" not in f"{raised.value} {raised.value!r} {raised.value.args} {raised.value.attempts}"
    assert raised.value.operation == "exports.download"


async def test_a_wrong_range_is_refused(host, peaka):
    """A file with a hole in it would be worse than none."""

    async def behave(exchange):
        await exchange.read_body()
        await exchange.send(head(206, {"Content-Length": 1, "Content-Range": "bytes 0-0/9"}) + b"x")

    host.script(file(cut=1000), behave)

    with pytest.raises(DecodeError, match="different range"):
        await read(peaka)


async def test_gzip_on_request(host, peaka):
    """Given is the file as it is, or what is in it; a file may have several members."""
    zipped = gzip.compress(CONTENT) + gzip.compress(b"more")
    host.script(file(zipped), file(zipped, cut=100), file(zipped), file())

    assert await read(peaka) == zipped
    assert await read(peaka, decompress=True) == CONTENT + b"more"
    with pytest.raises(DecodeError, match="not gzip"):
        await read(peaka, decompress=True)


async def test_save_is_all_or_nothing(host, peaka, tmp_path):
    """The file appears when it is complete; a failure leaves nothing."""
    host.script(file(cut=1000), file())
    saved = await peaka.exports.download("p", "e").save(tmp_path / "out.csv")
    content = saved.read_bytes()
    host.script(*[file(cut=0)] * 10)
    with pytest.raises(TransportError):
        await peaka.exports.download("p", "e").save(tmp_path / "other.csv")

    assert content == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


async def test_a_file_that_is_not_there(host, peaka):
    """The names of those that are there are told."""
    with pytest.raises(ConfigurationError, match=r"part-0\.csv"):
        await peaka.exports.download("p", "e", "part-9.csv").save("nowhere")
    assert host.requests == []


async def test_leaving_early_closes_the_connection(host, peaka):
    """What is not wanted is not read."""
    host.script(file(CONTENT * 100))
    async with peaka.exports.download("p", "e") as download:
        async for _ in download:
            break

    await host.until(lambda: host.open_connections == 0)
