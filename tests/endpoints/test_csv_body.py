"""CSV imports: the header is checked before anything is sent, and the file is streamed to a real server."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from peaka_async import ConfigurationError, OutcomeUnknownError, PeakaClient, RateLimitError, RetryPolicy
from peaka_async.models import CsvImportRequest, CsvMapping, ImportJob

TABLE = b"id,name\n1,Ada\n2,Grace\n"
BY_NAME = CsvImportRequest.of_columns("id", "name")


class Importer:
    """A server that parses imports."""

    def __init__(self):
        self.parts, self.requests, self.statuses, self.base_url = [], 0, [], ""

    async def take(self, request):
        self.requests += 1
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await request.content.readany()
            request.transport.abort()
            return web.Response()
        parts = {}
        async for part in await request.multipart():
            parts[part.name] = (part.headers["Content-Type"], part.filename, bytes(await part.read()))
        self.parts.append(parts)
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
