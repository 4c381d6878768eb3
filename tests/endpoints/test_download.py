"""Downloads of exported files from a host that breaks connections, lets links expire and sends invalid answers."""

from __future__ import annotations

import asyncio
import functools
import gzip
import random
import re
import threading
import zlib
from pathlib import Path

import aiohttp
import pytest
from scripted_server import ScriptedServer, answer

from peaka_async import (
    APIError,
    ConfigurationError,
    DecodeError,
    PeakaClient,
    PeakaError,
    RetryPolicy,
    Safety,
    TransportError,
    WireProgress,
)
from peaka_async.endpoints import _download as download_module
from peaka_async.endpoints._download import Download, file_named
from peaka_async.models import ExportFile

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
    """Make a host's answer; `cut` ends it after that many bytes."""

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


@pytest.fixture
async def host(monkeypatch):
    monkeypatch.setattr(download_module, "_PAUSE", 0.001)
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
    """The host gets the request of its link, but no header that is meant for the API."""
    host.script(file())

    assert await read(peaka) == CONTENT
    (seen,) = host.requests
    assert seen.target == "/bucket/part-0.csv?X-Signature=s3cret0"
    assert not {"authorization", "traceparent", "baggage", "accept"} & seen.headers.keys()


async def test_an_own_sessions_headers_stay_with_the_api(host, api):
    """Headers of the application's session are sent to the API, but not to the file's host."""
    host.script(file())
    async with (
        aiohttp.ClientSession(headers={"X-Team": "blue"}, cookies={"session": "s3cret"}) as session,
        PeakaClient("the-key", base_url=api.base_url, session=session) as peaka,
    ):
        await read(peaka)

    assert api.requests[0].headers["x-team"] == "blue"
    assert not {"x-team", "cookie", "authorization"} & host.requests[0].headers.keys()


async def test_a_cut_is_resumed_where_it_was(host, api, peaka):
    """The next request has a Range, uses a new link, and requires that the file is unchanged."""
    host.script(file(cut=1000), file(cut=2000), file())

    assert await read(peaka) == CONTENT
    assert [seen.headers.get("range") for seen in host.requests] == [None, "bytes=1000-", "bytes=3000-"]
    assert [seen.headers.get("if-range") for seen in host.requests] == [None, TAG, TAG]
    assert len({seen.target for seen in host.requests}) == 3
    assert len(api.requests) == 3


async def test_a_host_without_ranges_is_read_from_the_start(host, peaka):
    """Bytes that were read before are skipped."""
    host.script(file(cut=1000), file(ranges=False))

    assert await read(peaka) == CONTENT


async def test_an_expired_link_is_replaced(host, api, peaka):
    """If the host answers 403, the export is read again to get a new link."""
    host.script(answer(403, b"<Error><Code>AccessDenied</Code></Error>"), file())

    assert await read(peaka) == CONTENT
    assert len(api.requests) == 2


async def test_it_ends_some_time(host, peaka):
    """The download fails if the host sends no further bytes."""
    host.script(*[file(cut=0)] * 10)

    with pytest.raises(TransportError):
        await read(peaka)
    assert len(host.requests) == 5


async def test_an_error_shows_no_link(host, peaka):
    """The link's signature gives access to the file, like a key."""
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
    """The file is given as it is or decompressed; a gzip file may have several members."""
    zipped = gzip.compress(CONTENT) + gzip.compress(b"more")
    host.script(file(zipped), file(zipped, cut=100), file(zipped), file())

    assert await read(peaka) == zipped
    assert await read(peaka, decompress=True) == CONTENT + b"more"
    with pytest.raises(DecodeError, match="not gzip"):
        await read(peaka, decompress=True)


async def test_save_is_all_or_nothing(host, peaka, tmp_path):
    """The file appears when it is complete; a failure leaves no file."""
    host.script(file(cut=1000), file())
    saved = await peaka.exports.download("p", "e").save(tmp_path / "out.csv")
    content = saved.read_bytes()
    host.script(*[file(cut=0)] * 10)
    with pytest.raises(TransportError):
        await peaka.exports.download("p", "e").save(tmp_path / "other.csv")

    assert content == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


async def test_a_file_that_is_not_there(host, peaka):
    """The error lists the names of the existing files."""
    with pytest.raises(ConfigurationError, match=r"part-0\.csv"):
        await peaka.exports.download("p", "e", "part-9.csv").save("nowhere")
    assert host.requests == []


async def test_leaving_early_closes_the_connection(host, peaka):
    """The rest of the file is not read."""
    host.script(file(CONTENT * 100))
    async with peaka.exports.download("p", "e") as download:
        async for _ in download:
            break

    await host.until(lambda: host.open_connections == 0)


# ── The behaviour of the host, piece by piece and on a clock ──────────────────────────────────────────────────────────


class Answer:
    """An answer of the host: its pieces, and the error that ends it."""

    def __init__(self, *pieces, status=200, fails=False, **headers):
        self.status, self._pieces, self._fails, self.closed = status, pieces, fails, False
        self.headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}

    async def __aiter__(self):
        for piece in self._pieces:
            yield piece
        if self._fails:
            raise cut()

    async def aclose(self):
        self.closed = True


def cut():
    return TransportError("cut", operation="exports.download", progress=WireProgress.MAYBE_SENT)


def refused(status):
    return APIError("no", status=status, operation="exports.download")


def rest(start, *pieces, **more):
    return Answer(*pieces, status=206, Content_Range=f"bytes {start}-5/6", **more)


class Host:
    """Gives scripted answers; the links are numbered."""

    def __init__(self, *script):
        self.requests, self.links, self._script = [], 0, list(script)

    async def stream(self, request):
        self.requests.append(request)
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def refresh(self):
        self.links += 1
        return ExportFile("a.csv", f"https://files.example/{self.links}")

    def download(self, **options):
        return Download(self.stream, self.refresh, **{"decompress": False, **options})

    async def read(self, **options):
        return [piece async for piece in self.download(**options)]


async def test_what_the_host_is_asked(clock):
    """The request has the unchanged link and may be repeated. It asks for the missing part of the same version."""
    host = Host(Answer(b"ab", fails=True, ETag=TAG), rest(2, b"cdef"))

    assert await host.read() == [b"ab", b"cdef"]
    assert [(each.operation, each.method, each.target()) for each in host.requests] == [
        ("exports.download", "GET", "https://files.example/1"),
        ("exports.download", "GET", "https://files.example/2"),
    ]
    assert [each.headers for each in host.requests] == [{}, {"Range": "bytes=2-", "If-Range": TAG}]
    assert {(each.safety, each.returns, each.elsewhere, each.route) for each in host.requests} == {
        (Safety.SAFE, bytes, True, "/")
    }


async def test_a_weak_tag_is_no_condition(clock):
    """If-Range allows only strong tags; only the prefix `W/` makes a tag weak."""
    weak = Host(Answer(b"ab", fails=True, ETag='W/"1"'), rest(2, b"cdef"))
    strong = Host(Answer(b"ab", fails=True, ETag='"1W/'), rest(2, b"cdef"))
    without = Host(Answer(b"ab", fails=True), rest(2, b"cdef"))
    for host in (weak, strong, without):
        await host.read()

    assert [host.requests[1].headers.get("If-Range") for host in (weak, strong, without)] == [None, '"1W/', None]


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        ([b"abcdef"], [b"cdef"]),
        ([b"a", b"b", b"c", b"def"], [b"c", b"def"]),
        ([b"a", b"bcd", b"ef"], [b"cd", b"ef"]),
        ([b"ab", b"cd", b"ef"], [b"cd", b"ef"]),
    ],
)
async def test_a_file_that_begins_again_is_skipped_to_its_place(clock, pieces, given):
    """No byte is given twice or lost, wherever the pieces end."""
    host = Host(Answer(b"a", b"b", fails=True), Answer(*pieces, Content_Length=6))

    assert await host.read() == [b"a", b"b", *given]


@pytest.mark.parametrize("length", [{}, {"Content_Length": "many"}, {"Content_Length": 6}])
async def test_a_file_without_a_length(clock, length):
    """The file ends when the host ends the answer."""
    host = Host(Answer(b"abc", b"def", **length))

    assert await host.read() == [b"abc", b"def"]
    assert len(host.requests) == 1


async def test_a_file_that_ends_early_is_resumed(clock):
    """This holds even if the host closes without an error, in the first answer or in a later part."""
    host = Host(Answer(b"ab", Content_Length=6), rest(2, b"c", Content_Length=4), rest(3, b"def", Content_Length=3))

    assert await host.read() == [b"ab", b"c", b"def"]
    assert [each.headers.get("Range") for each in host.requests] == [None, "bytes=2-", "bytes=3-"]


@pytest.mark.parametrize(
    "second",
    [
        Answer(b"ABCDEF", Content_Length=6, ETag='"v2"'),
        rest(2, b"CDEF", ETag='"v2"'),
        Answer(b"A", Content_Length=1, ETag=TAG),
    ],
)
async def test_another_version_of_the_file_is_refused(clock, second):
    """Two halves of different files would be worse than an error."""
    host = Host(Answer(b"ab", fails=True, ETag=TAG), second)
    with pytest.raises(DecodeError, match="changed during the download") as raised:
        await host.read()

    assert raised.value.operation == "exports.download"
    assert second.closed


async def test_a_version_counts_only_for_what_was_read(clock):
    """The file may change before its first byte was read; a host that stops sending versions is trusted."""
    changed = Host(Answer(fails=True, ETag=TAG), Answer(b"abcdef", ETag='"v2"'))
    unnamed = Host(Answer(b"ab", fails=True, ETag=TAG), rest(2, b"cdef"))
    named = Host(Answer(b"ab", fails=True), rest(2, b"cdef", ETag=TAG))

    assert await changed.read() == [b"abcdef"]
    assert await unnamed.read() == await named.read() == [b"ab", b"cdef"]


@pytest.mark.parametrize("headers", [{}, {"Content_Range": "bytes 1-5/6"}, {"Content_Range": "XX"}])
async def test_another_range_is_refused(clock, headers):
    """A file with a hole in it would be worse than none."""
    host = Host(Answer(b"ab", fails=True), Answer(b"cdef", status=206, **headers))
    with pytest.raises(DecodeError, match="different range") as raised:
        await host.read()
    assert raised.value.operation == "exports.download"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 500, 503])
async def test_a_link_is_replaced(clock, status):
    """Hosts answer differently for an expired link, and a server error is temporary."""
    host = Host(refused(status), Answer(b"abcdef"))

    assert await host.read() == [b"abcdef"]
    assert host.links == 2


@pytest.mark.parametrize("status", [402, 405, 409, 411, 416, 418, 499])
async def test_other_refusals_are_final(clock, status):
    """A new link would be refused too."""
    host = Host(refused(status))
    with pytest.raises(APIError) as raised:
        await host.read()
    assert (raised.value.status, host.links) == (status, 1)


@pytest.mark.parametrize("make", [cut, functools.partial(refused, 403), functools.partial(Answer, Content_Length=6)])
async def test_five_failures_in_a_row_are_the_end(clock, make):
    """The pauses between them double, and the last failure is raised."""
    host, began = Host(*[make() for _ in range(9)]), clock.now
    with pytest.raises((APIError, TransportError)) as raised:
        await host.read()

    assert (len(host.requests), host.links) == (5, 5)
    assert clock.now - began == pytest.approx(0.4 + 0.8 + 1.6 + 3.2)
    assert type(raised.value) is type(make()) or "ended after 0 of 6 bytes" in str(raised.value)
    assert raised.value.operation == "exports.download"


async def test_each_byte_begins_the_count_anew(clock):
    """A slow connection that breaks often still downloads the file."""
    steps = [rest(number, bytes([number]), fails=True) for number in range(1, 6)]
    host = Host(cut(), Answer(b"\0", fails=True), *[each for step in steps for each in (cut(), cut(), cut(), step)])
    host._script.append(rest(6))

    assert b"".join(await host.read()) == bytes(range(6))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/a", "http://localhost/a", "http://[::1]:9/a", "https://files.example:8443/a?b=c%20d"]
)
async def test_links_that_are_followed(url):
    """https:// links, and links to this machine, are followed."""
    download = Download(Host(Answer(b"abc")).stream, functools.partial(link, url), decompress=False)

    assert [piece async for piece in download] == [b"abc"]


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example/a",
        "http://127.0.0.1.evil.example/a",
        "http://127.0.0.1:9@evil.example/a",
        "http://localhost:x@evil.example/a",
        "http://localhost.evil/a",
        "http://[::2]/a",
        "https://user:s3cret@files.example/a",
        "https://@files.example/a",
        "https:///a",
        "https://files.example:x/a",
        "https://files.example:0/a",
        "https://[::1/a",
        "https://files.example/a b",
        "https://files.example/\r\nHost: x",
        "https://files.example\\@evil.example/a",
        "https://files.example/é",
        "https://files.example/a\\b",
        "https://files.example/a\x7fb",
        "//files.example/a",
        "file:///etc/passwd",
        "ftp://a",
        "",
        None,
    ],
)
async def test_links_that_are_not_followed(url):
    """Unencrypted data can be read and changed on the network; a login in a link, or what is no link, is refused."""
    host = Host(Answer(b"abc"))
    with pytest.raises(DecodeError, match="no https:// link") as raised:
        await anext(aiter(Download(host.stream, functools.partial(link, url), decompress=False)))
    assert (raised.value.operation, host.requests) == ("exports.download", [])


async def link(url):
    return ExportFile("a.csv", url)


async def test_gzip_in_pieces_of_any_size(clock):
    """Members may end anywhere in a piece, and no empty pieces are given."""
    zipped = gzip.compress(b"one") + gzip.compress(b"two" * 100)
    for size in (1, 7, len(zipped) - 1, len(zipped)):
        pieces = [zipped[start : start + size] for start in range(0, len(zipped), size)]
        given = await Host(Answer(*pieces)).read(decompress=True)

        assert b"".join(given) == b"one" + b"two" * 100
        assert b"" not in given


@pytest.mark.parametrize(
    "data",
    [b"", gzip.compress(CONTENT, mtime=0)[:-9], gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0)[:-1]],
)
async def test_gzip_that_is_cut_off_is_told(clock, data):
    """An incomplete file on the host raises an error: half a table must not look like the whole table."""
    answer = Answer(data, Content_Length=len(data))
    with pytest.raises(DecodeError, match="incomplete") as raised:
        await Host(answer).read(decompress=True)
    assert raised.value.operation == "exports.download"
    assert answer.closed


@pytest.mark.parametrize("data", [zlib.compress(CONTENT), b"a,b\n1,2\n"])
async def test_other_formats_are_not_gzip(clock, data):
    """The format is not guessed."""
    with pytest.raises(DecodeError, match="not gzip") as raised:
        await Host(Answer(data)).read(decompress=True)
    assert raised.value.operation == "exports.download"


async def test_the_largest_window_of_gzip(clock):
    """Gzip may refer back up to 32 KiB."""
    content = random.Random(1).randbytes(32_000) * 2

    assert b"".join(await Host(Answer(gzip.compress(content))).read(decompress=True)) == content


async def test_a_file_that_is_there_is_replaced_whole(clock, tmp_path):
    """The partial file is next to it, under a unique name."""
    target = tmp_path / "out.csv"
    target.write_bytes(b"old")
    seen = []

    async def stream(request):
        seen.extend(path.name for path in tmp_path.iterdir())
        return Answer(b"new")

    saved = await Download(stream, Host().refresh, decompress=False).save(str(target))

    assert (saved, target.read_bytes()) == (target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert re.fullmatch(r"\.out\.csv\.[0-9a-f]{8}\.part", next(name for name in seen if name != "out.csv"))


async def test_a_folder_that_is_missing(clock, tmp_path):
    """The export is not requested."""
    host = Host()
    with pytest.raises(FileNotFoundError):
        await host.download().save(tmp_path / "missing" / "out.csv")
    assert host.links == 0


async def test_a_piece_that_cannot_be_written(clock, tmp_path):
    """The answer is closed, and the error is the first one, even if the partial file is gone."""
    answer = Answer("no bytes")

    async def stream(request):
        next(tmp_path.iterdir()).unlink()
        return answer

    with pytest.raises(TypeError):
        await Download(stream, Host().refresh, decompress=False).save(tmp_path / "out.csv")
    assert answer.closed


@pytest.mark.parametrize("decompress", [False, True])
async def test_leaving_the_context_closes_the_answer(clock, decompress):
    """The answer is closed even in the middle of the file."""
    answer = Answer(*[gzip.compress(b"a")] * 2)
    async with Host(answer).download(decompress=decompress) as download:
        assert await anext(aiter(download))
        assert not answer.closed
    assert answer.closed


FILES = [ExportFile("a.csv"), ExportFile("b.csv")]


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [(FILES, "b.csv", FILES[1]), (FILES[:1], None, FILES[0]), (FILES[:1], "a.csv", FILES[0])],
)
def test_a_file_is_found(files, name, found):
    """A file is found by its name, or because it is the only one."""
    assert file_named(files, name) is found


@pytest.mark.parametrize(
    ("files", "name", "says"),
    [
        (FILES, None, "pass the name of one of the export's files: a.csv, b.csv."),
        (FILES, "c.csv", "there is no such file among the export's files: a.csv, b.csv."),
        ([], None, "there is no such file among the export's files: none. Only the user"),
        (None, "a.csv", "there is no such file among the export's files: none. Only the user"),
    ],
)
def test_a_file_is_not_found(files, name, says):
    """The error lists the existing files."""
    with pytest.raises(ConfigurationError) as raised:
        file_named(files, name)
    assert str(raised.value).startswith(f"exports.download: {says}")


# ── What is large, what is left behind, and who may read it ──────────────────────────────────────────────────────────


async def test_a_link_to_this_machine_is_for_an_api_on_this_machine():
    """An API elsewhere cannot make the client ask what listens here, and the error does not show the link."""
    stream = PeakaClient("the-key")._transport.stream
    with pytest.raises(DecodeError, match="not https://") as raised:
        await anext(aiter(Download(stream, functools.partial(link, "http://127.0.0.1:9/?sig=s3cret"))))
    assert "s3cret" not in str(raised.value)


async def test_a_large_file_is_inflated_in_small_pieces(clock):
    """A megabyte that inflates to a gigabyte is never in memory as such."""
    zipped = gzip.compress(bytes(32 * 1024 * 1024))
    sizes = [len(piece) async for piece in Host(Answer(zipped)).download(decompress=True)]

    assert len(zipped) < 64 * 1024
    assert sum(sizes) == 32 * 1024 * 1024
    assert max(sizes) <= 256 * 1024


async def test_only_a_large_file_is_left_to_a_thread(monkeypatch):
    """The event loop stays free while it is inflated; a small file costs no thread."""
    here, threads = threading.get_ident(), []
    step = download_module._step
    monkeypatch.setattr(download_module, "_step", lambda *a: (threads.append(threading.get_ident()), step(*a))[1])
    for size in (1024, 16 * 1024 * 1024):
        threads.clear()
        await Host(Answer(gzip.compress(bytes(size)))).read(decompress=True)
        assert (set(threads) - {here} != set()) == (size > 1024)
        assert threads[0] == here


@pytest.mark.parametrize(("ratio", "allowed"), [(2000, True), (None, True), (10, False), (0.5, False)])
async def test_a_file_may_inflate_up_to_a_ratio(clock, ratio, allowed):
    """A small file that inflates to a huge one is refused if the application says so, before it is written."""
    zipped = gzip.compress(bytes(2 * 1024 * 1024))
    host = Host(Answer(*[zipped[at : at + 500] for at in range(0, len(zipped), 500)]))
    if allowed:
        assert len(b"".join(await host.read(decompress=True, max_ratio=ratio))) == 2 * 1024 * 1024
        return
    with pytest.raises(DecodeError, match="max_ratio") as raised:
        await host.read(decompress=True, max_ratio=ratio)
    assert raised.value.operation == "exports.download"


async def test_what_is_compressed_less_is_within_the_ratio(clock):
    """A ratio of 1 lets a file pass that does not inflate beyond its size."""
    noise = random.Random(1).randbytes(100_000)

    assert b"".join(await Host(Answer(gzip.compress(noise))).read(decompress=True, max_ratio=1)) == noise


@pytest.mark.parametrize(("options", "mode"), [({}, 0o600), ({"mode": 0o640}, 0o640)])
async def test_a_saved_file_is_the_owners_alone(clock, tmp_path, options, mode):
    """Unless it is told otherwise: a customer's rows are for nobody else on the machine, at no moment."""
    seen = []

    async def stream(request):
        seen.append(next(tmp_path.iterdir()).stat().st_mode & 0o777)
        return Answer(b"rows")

    saved = await Download(stream, Host().refresh).save(tmp_path / "out.csv", **options)

    assert [*seen, saved.stat().st_mode & 0o777] == [mode, mode]


STEPS = ["_new_file", "write", "close", "replace"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
async def test_a_cancelled_download_leaves_nothing(step, tmp_path, monkeypatch):
    """It is cancelled while a thread is at work, and ends when the thread is done; the file is whole or gone."""
    at_work, go_on = threading.Event(), threading.Event()

    def held(function):
        def work(*arguments):
            at_work.set()
            assert go_on.wait(10)
            return function(*arguments)

        return work

    if step == "replace":
        monkeypatch.setattr(Path, "replace", held(Path.replace))
    elif step == "_new_file":
        monkeypatch.setattr(download_module, "_new_file", held(download_module._new_file))
    else:
        make = download_module._new_file
        monkeypatch.setattr(download_module, "_new_file", lambda *a: Held(make(*a), step, held))
    answer = Answer(b"abc", b"def")
    saving = asyncio.create_task(Host(answer).download().save(tmp_path / "out.csv"))
    while not at_work.is_set():
        await asyncio.sleep(0.001)
    saving.cancel()
    await asyncio.sleep(0.01)
    saving.cancel()
    await asyncio.sleep(0.01)
    assert not saving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving

    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == ({"out.csv": b"abcdef"} if step == "replace" else {})


class Held:
    """A file one of whose methods waits."""

    def __init__(self, file, step, held):
        self._file, self._step, self._held = file, step, held

    def __getattr__(self, name):
        method = getattr(self._file, name)
        return self._held(method) if name == self._step else method


async def test_a_download_may_be_cancelled_at_any_moment(host, api, peaka, tmp_path):
    """Whichever turn of the loop it is, no part of the file is left, and the next download works."""
    job = {"id": "e", "status": "SUCCEEDED", "files": [{"name": "part-0.csv", "url": f"{host.origin}/part-0.csv"}]}
    host.default, api.default = file(), answer(200, job)
    for turns in range(0, 120, 3):
        saving = asyncio.create_task(peaka.exports.download("p", "e").save(tmp_path / "out.csv"))
        for _ in range(turns):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])
        assert {path.name for path in tmp_path.iterdir()} <= {"out.csv"}

    assert (await peaka.exports.download("p", "e").save(tmp_path / "out.csv")).read_bytes() == CONTENT


async def test_the_ratio_that_is_allowed_is_allowed(clock):
    """A file may inflate to exactly that many times its size."""
    contents = (bytes(size) for size in range(1, 5000))
    content, zipped = next(
        (each, zipped) for each in contents if len(each) % len(zipped := gzip.compress(each)) == 0 and len(each) > 100
    )
    ratio = len(content) // len(zipped)

    assert b"".join(await Host(Answer(zipped)).read(decompress=True, max_ratio=ratio)) == content
