"""CSV imports: the header is checked before anything is sent, and the file is streamed to a real server."""

from __future__ import annotations

import io
import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from recording_sender import RecordingSender

from peaka_async import ConfigurationError, OutcomeUnknownError, PeakaClient, RateLimitError, RetryPolicy, Safety
from peaka_async.endpoints._csv_body import csv_content
from peaka_async.endpoints.internal_tables import InternalTables
from peaka_async.models import CsvImportRequest, CsvMapping, ImportJob

TABLE = b"id,name\n1,Ada\n2,Grace\n"
BY_NAME = CsvImportRequest.of_columns("id", "name")


class Importer:
    """A server that parses imports."""

    def __init__(self):
        self.parts, self.lengths, self.requests, self.statuses, self.base_url = [], [], 0, [], ""

    async def take(self, request):
        self.requests += 1
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await request.content.readany()
            request.transport.abort()
            return web.Response()
        parts = {}
        async for part in await request.multipart():
            parts[part.name] = (part.headers.get("Content-Type"), part.filename, bytes(await part.read()))
        self.parts.append(parts)
        self.lengths.append(request.headers.get("Content-Length"))
        return web.json_response({"id": "1", "status": "COMPLETED"} if status == 200 else {}, status=status)


@asynccontextmanager
async def importer():
    found = Importer()
    app = web.Application()
    app.router.add_post("/api/v1/data/projects/p/table/t/import", found.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1"
    try:
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
async def server():
    async with importer() as found:
        yield found


@pytest.fixture
async def peaka(server):
    async with PeakaClient("key", base_url=server.base_url, retry=RetryPolicy(backoff=0.001)) as peaka:
        yield peaka


async def pieces():
    for start in range(0, len(TABLE), 5):
        yield TABLE[start : start + 5]


@pytest.fixture(params=["bytes", "path", "text path", "open file", "pieces"])
def file(request, tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes(TABLE)
    if request.param == "open file":
        with path.open("rb") as opened:
            yield opened
        return
    yield {"bytes": TABLE, "path": path, "text path": str(path), "pieces": pieces()}[request.param]


async def test_every_kind_of_file(server, peaka, file):
    """All parts arrive complete, with the mapping in the API's form."""
    job = await peaka.internal_tables.import_csv("p", "t", file, BY_NAME)

    (parts,) = server.parts
    assert job == ImportJob(id="1", status="COMPLETED")
    assert parts["file"] == ("text/csv", "import.csv", TABLE)
    assert json.loads(parts["request"][2]) == {
        "mappings": [{"name": "id", "csvColumnName": "id"}, {"name": "name", "csvColumnName": "name"}],
        "containsHeader": True,
    }


async def test_the_form_is_the_one_that_was_seen_live(server, peaka, file):
    """The file comes first, then `request` without a Content-Type; all but an iterable have a Content-Length."""
    await peaka.internal_tables.import_csv("p", "t", file, BY_NAME)

    (parts,), (length,) = server.parts, server.lengths
    assert list(parts) == ["file", "request"]
    assert parts["request"][:2] == (None, None)
    assert (length is None) is hasattr(file, "__aiter__")


async def test_an_open_file_is_sent_from_where_it_stands(server, peaka, tmp_path):
    """Its length counts from there too."""
    path = tmp_path / "people.csv"
    path.write_bytes(b"skipped\n" + TABLE)
    with path.open("rb") as opened:
        opened.readline()
        await peaka.internal_tables.import_csv("p", "t", opened, BY_NAME)

    assert server.parts[0]["file"][2] == TABLE
    assert server.lengths[0] is not None


async def test_columns_by_index(server, peaka):
    """A file without a header line is mapped by index."""
    mapping = CsvImportRequest([CsvMapping("id", csv_column_index=1)], contains_header=False)
    await peaka.internal_tables.import_csv("p", "t", b"a,1\n", mapping)

    assert json.loads(server.parts[0]["request"][2]) == {
        "mappings": [{"name": "id", "csvColumnIndex": 1}],
        "containsHeader": False,
    }


@pytest.mark.parametrize(
    ("file", "mapping", "says"),
    [
        (b"id,title\n1,x\n", BY_NAME, "no column name; its header has id, title"),
        (b"", BY_NAME, "is empty"),
        (b" \n", BY_NAME, "is empty"),
        (b"a\n", CsvImportRequest([CsvMapping("x", csv_column_index=1)]), "has 1 columns"),
        ("/nowhere/at/all.csv", BY_NAME, "cannot be read: No such file"),
    ],
)
async def test_what_does_not_fit_is_refused_unsent(server, peaka, file, mapping, says):
    """Otherwise the service would import NULLs and answer HTTP 200."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        await peaka.internal_tables.import_csv("p", "t", file, mapping)

    assert "Nothing was sent" in str(raised.value)
    assert server.requests == 0


@pytest.mark.parametrize(
    "header", [b"\xef\xbb\xbfid,name\n1,x\n", b'"id","name"\r\n1,x\r\n', b"name,id\r1,x\r", b"id,name"]
)
async def test_headers_in_many_forms(server, peaka, header):
    """A header may have a byte order mark, quotes, other line ends or no line end."""
    await peaka.internal_tables.import_csv("p", "t", header, BY_NAME)

    assert server.parts[0]["file"][2] == header


@pytest.mark.parametrize(
    "make",
    [
        lambda: CsvMapping("a"),
        lambda: CsvMapping("a", csv_column_name="a", csv_column_index=1),
        lambda: CsvMapping("a", csv_column_index=-1),
        lambda: CsvImportRequest([]),
        lambda: CsvImportRequest.of_columns("a", "a"),
        lambda: CsvImportRequest([CsvMapping("a", csv_column_name="a")], contains_header=False),
    ],
)
def test_wrong_mappings_are_refused(make):
    """A wrong mapping raises an error when it is made."""
    with pytest.raises(ConfigurationError):
        make()


async def test_an_import_that_was_cut_off_is_not_sent_again(server, peaka):
    """Rows are appended, so a second import would duplicate them."""
    server.statuses = [0]
    with pytest.raises(OutcomeUnknownError):
        await peaka.internal_tables.import_csv("p", "t", TABLE, BY_NAME)

    assert server.requests == 1


async def test_a_file_is_sent_again_after_429_and_a_stream_is_not(server, peaka):
    """An iterator or an open file cannot be read twice."""
    server.statuses = [429, 200, 429]
    await peaka.internal_tables.import_csv("p", "t", TABLE, BY_NAME)
    with pytest.raises(RateLimitError):
        await peaka.internal_tables.import_csv("p", "t", io.BytesIO(TABLE), BY_NAME)

    assert (server.requests, [parts["file"][2] for parts in server.parts]) == (3, [TABLE] * 3)


# ── The body without a server ────────────────────────────────────────────────────────────────────────────────────────


async def content_of(file, request=BY_NAME):
    return await csv_content(file, request, operation="internal_tables.import_csv")


async def body_of(file, request=BY_NAME):
    return b"".join([piece async for piece in (await content_of(file, request)).chunks()])


def given(*pieces):
    async def give():
        for piece in pieces:
            yield piece

    return give()


async def test_the_body_is_multipart():
    """The parts are in the API's order, and the boundary is new for each import."""
    content = await content_of(b"id,name\n")
    body = b"".join([piece async for piece in content.chunks()])
    boundary = content.media_type.removeprefix("multipart/form-data; boundary=")

    assert re.fullmatch("peaka-[0-9a-f]{32}", boundary)
    assert boundary not in (await content_of(b"id,name\n")).media_type
    assert body.decode() == (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="import.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n"
        "id,name\n\r\n"
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="request"\r\n\r\n'
        '{"mappings": [{"name": "id", "csvColumnName": "id"}, {"name": "name", "csvColumnName": "name"}], '
        '"containsHeader": true}\r\n'
        f"--{boundary}--\r\n"
    )
    assert content.size == len(body)


@pytest.mark.parametrize("kind", ["bytes", "path", "open file"])
async def test_a_large_file_is_sent_in_pieces(kind, tmp_path):
    """A piece has 256 KiB, so that the memory does not grow with the file."""
    data = b"id,name\n" + bytes(600 * 1024)
    path = tmp_path / "large.csv"
    path.write_bytes(data)
    with path.open("rb") as opened:
        content = await content_of({"bytes": data, "path": path, "open file": opened}[kind])
        _, *pieces, _ = [piece async for piece in content.chunks()]

    assert [len(piece) for piece in pieces] == [262144, 262144, 90120]
    assert b"".join(pieces) == data


async def test_only_the_header_line_is_read_before_the_body():
    """The rest is taken while it is sent."""
    taken = []

    async def give():
        for piece in (b"id,", b"name\n1,", b"2\n"):
            taken.append(piece)
            yield piece

    content = await content_of(give())
    before = list(taken)
    body = b"".join([piece async for piece in content.chunks()])

    assert (before, len(taken)) == ([b"id,", b"name\n1,"], 3)
    assert b"id,name\n1,2\n" in body


async def test_a_path_is_closed_before_the_body_and_after_it(tmp_path, monkeypatch):
    """A file that is not sent is not kept open."""
    path = tmp_path / "people.csv"
    path.write_bytes(TABLE)
    opened = []
    plain = Path.open
    monkeypatch.setattr(Path, "open", lambda *arguments: opened.append(plain(*arguments)) or opened[-1])
    content = await content_of(path)
    before = [file.closed for file in opened]
    assert [piece async for piece in content.chunks()]

    assert (before, [file.closed for file in opened]) == ([True], [True, True])


@pytest.mark.parametrize(
    ("file", "repeatable"),
    [(TABLE, True), (io.BytesIO(TABLE), False), (given(TABLE), False)],
    ids=["bytes", "file", "iterable"],
)
async def test_what_can_be_sent_again(file, repeatable):
    """Bytes and paths can be read twice."""
    assert (await content_of(file)).repeatable is repeatable


HEADERS = {
    "a line end in quotes": [b'"id\n1",name\n'],
    "a line end in quotes, cut": [b'"id', b"\n1", b'",na', b"me\n"],
    "quotes in quotes": [b'"id\n1",""""\n', b"name\n"],
    "CR": [b'"id\n1",name', b"\r"],
    "separators of other systems": ['"id\n1",name,a\u2028b\x0b\x85\n'.encode()],
    "a blank line first": [b"\n", b'"id\n1",name\n'],
    "a character that is cut": [b'"id\n1",name,\xc3', b"\xa4\n"],
    "no line end": [b'"id\n1",name'],
}


@pytest.mark.parametrize("name", [name for name in HEADERS if "blank" not in name and "quotes in" not in name])
async def test_a_header_is_read_whole(name):
    """It ends where its record ends, which is not at every line end."""
    assert await body_of(given(*HEADERS[name]), CsvImportRequest.of_columns("id\n1", "name"))


@pytest.mark.parametrize(
    ("pieces", "says"),
    [
        (HEADERS["a blank line first"], "no column id\n1, name; its header has ."),
        (HEADERS["quotes in quotes"], 'no column name; its header has id\n1, ".'),
        ([b"\xef\xbb\xbf"], "first line is not CSV."),
        ([b'id,"' + b"x" * 200_000 + b'"\n'], "first line is not CSV."),
        ([b'id,"' + b"x" * 100_000] * 11 + [b'",name\n'], "first line is not CSV."),
        (["id,name\n"], "the file gives str instead of bytes."),
    ],
)
async def test_a_header_that_does_not_fit(pieces, says):
    """It is refused for what it is, and never read without end."""
    with pytest.raises(ConfigurationError) as raised:
        await content_of(given(*pieces), CsvImportRequest.of_columns("id\n1", "name"))
    assert says in str(raised.value)
    assert raised.value.operation == "internal_tables.import_csv"


async def test_a_header_is_not_read_without_end():
    """Reading stops with the piece that exceeds one mebibyte."""
    taken = []

    async def give():
        for piece in (b"x" * 1024 * 1024, b"x", b"x", b"x"):
            taken.append(1)
            yield piece

    with pytest.raises(ConfigurationError, match="not CSV"):
        await content_of(give())
    assert len(taken) == 2


async def test_many_columns_are_not_all_shown():
    """The first twenty are enough to see what file it is."""
    names = [f"c{number}" for number in range(30)]
    with pytest.raises(ConfigurationError) as raised:
        await content_of(",".join(names).encode())
    assert str(raised.value).endswith(f"its header has {', '.join(names[:20])}. Nothing was sent.")


async def test_another_encoding_is_no_reason_to_refuse():
    """Only the mapped columns have to be readable."""
    assert "gr\xf6\xdfe".encode("latin-1") in await body_of("id,gr\xf6\xdfe,name\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("indexes", "says"),
    [([0, 1], None), ([0, 2], "has 2 columns, but the mapping names a column at index 2"), ([5, 0], "at index 5")],
)
async def test_each_index_is_checked(indexes, says):
    """The service would import NULLs for a column that the file lacks."""
    mappings = [CsvMapping(f"t{index}", csv_column_index=index) for index in indexes]
    request = CsvImportRequest(mappings, contains_header=False)
    if says is None:
        assert b'"csvColumnIndex": 1' in await body_of(b"1,2\n", request)
        return
    with pytest.raises(ConfigurationError, match=says):
        await content_of(b"1,2\n", request)


async def test_a_file_that_breaks_says_why():
    """By the system's word, or else by the error's name."""

    async def give(error):
        yield b"id"
        raise error

    for error, says in ((OSError(5, "Input/output error"), "Input/output error"), (OSError("x"), "OSError")):
        with pytest.raises(ConfigurationError) as raised:
            await content_of(give(error))
        assert str(raised.value).endswith(f"the file cannot be read: {says}. Nothing was sent.")


async def test_an_import_names_its_operation():
    """The request is made once, appends rows, and must not be repeated blindly."""
    sender = RecordingSender()
    await InternalTables(sender).import_csv("p", "t", TABLE, BY_NAME)
    (request,) = sender.requests

    assert (request.operation, request.method) == ("internal_tables.import_csv", "POST")
    assert (request.target(), request.returns) == ("/data/projects/p/table/t/import", ImportJob)
    assert (request.safety, request.body.repeatable) == (Safety.ONCE, True)


class Pipe(io.BytesIO):
    """An open file without a position, as a pipe is."""

    def seekable(self):
        return False


class Bare:
    """It can be read, and nothing more."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size):
        return self._file.read(size)


@pytest.mark.parametrize("make", [Pipe, Bare])
async def test_a_file_without_a_known_size_is_sent_all_the_same(make):
    """It is sent chunked, whole."""
    content = await content_of(make(TABLE))

    assert content.size is None
    assert TABLE in b"".join([piece async for piece in content.chunks()])


async def test_an_open_file_without_a_server_is_sent_from_where_it_stands():
    """The size counts what is left."""
    file = io.BytesIO(b"skipped\n" + TABLE)
    file.seek(8)
    content = await content_of(file)
    body = b"".join([piece async for piece in content.chunks()])

    assert content.size == len(body)
    assert TABLE in body
    assert b"skipped" not in body
