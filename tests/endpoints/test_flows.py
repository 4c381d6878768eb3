"""Long lists of the groups, page by page, and the modules that a first call imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scripted_server import ScriptedServer, answer

from peaka_async import ConfigurationError, Info, PeakaClient, PermissionDeniedError, RetryPolicy
from peaka_async.models import (
    CatalogSchemaTable,
    ColumnRequest,
    QueryExecuteRequestStatement,
    ResultFormat,
    SearchRequest,
)


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def peaka(server):
    async with PeakaClient("key", base_url=server.base_url, retry=RetryPolicy(attempts=1)) as peaka:
        yield peaka


def answers(server, *bodies):
    server.script(*(answer(200, body) for body in bodies))


def found(name, following):
    return {
        "matchedCatalogs": None,
        "matchedTables": [{"catalog": "c", "table": name}],
        "meta": {"page": {"nextOffset": following}, "query": {"text": "x"}},
    }


async def test_a_search_goes_on_to_its_end(server, peaka):
    """Groups without a match are null, and nextOffset is null at the end."""
    answers(server, found("a", 1), found("b", 2), found("c", None))
    pages = peaka.catalogs.search_pages("p", SearchRequest(query="x", limit=1))

    assert [match async for match in pages] == [CatalogSchemaTable("c", None, name) for name in "abc"]
    assert [seen.body for seen in server.requests] == [
        b'{"query":"x","limit":1}',
        b'{"query":"x","limit":1,"offset":1}',
        b'{"query":"x","limit":1,"offset":2}',
    ]


async def test_a_search_is_resumed(server, peaka):
    """The token of a page continues the list after it, even in another process."""
    answers(server, found("a", 7), found("b", None))
    async for page in peaka.catalogs.search_pages("p", SearchRequest(query="x")).pages():
        token = page.resume_token
        break
    resumed = peaka.catalogs.search_pages("p", SearchRequest(query="x"), resume_token=token)

    assert [match.table async for match in resumed] == ["b"]
    assert b'"offset":7' in server.requests[1].body
    with pytest.raises(ConfigurationError, match="resume token"):
        await anext(aiter(peaka.cache.list_executions_pages("p", "c", resume_token=token)))


async def test_the_runs_of_a_cache(server, peaka):
    """A page that is not full is the last one."""
    answers(server, [{"id": "1"}, {"id": "2"}], [{"id": "3"}])
    runs = [each.id async for each in peaka.cache.list_executions_pages("p", "c", page_size=2)]

    assert runs == ["1", "2", "3"]
    assert [seen.target.partition("?")[2] for seen in server.requests] == ["limit=2&offset=0", "limit=2&offset=2"]


async def test_exports_by_their_keyset(server, peaka):
    """Each page starts before the last export of the previous page."""
    at = "2026-06-10T15:23:26.893985Z"
    answers(server, [{"id": "1", "createdAt": at}], [])
    exports = peaka.exports.list_pages("p", status=["SUCCEEDED", "RUNNING"], page_size=1)

    assert [each.id async for each in exports] == ["1"]
    assert [seen.target.partition("?")[2] for seen in server.requests] == [
        "status=SUCCEEDED%2CRUNNING&limit=1",
        "status=SUCCEEDED%2CRUNNING&limit=1&createdBefore=2026-06-10T15%3A23%3A26.893985Z",
    ]


async def test_a_query_says_how_long_it_may_take(server, peaka):
    """The limits of the call are raised above the time that the service may take."""
    answers(server, {"columns": [{"columnName": "n"}], "data": [["1"]]})
    query = QueryExecuteRequestStatement("SELECT 1", timeout=600)
    result = await peaka.queries.execute("p", query, result_format=ResultFormat.COMPACT)

    assert [list(record) for record in result] == [["1"]]
    assert server.requests[0].target.endswith("/queries/execute?format=COMPACT")
    assert server.requests[0].body == b'{"statement":"SELECT 1","timeout":600}'


async def test_one_column_or_several(server, peaka):
    """The service accepts an object and an array, and answers with one or the other."""
    answers(server, {"id": "1"}, [{"id": "1"}, {"id": "2"}])
    one = await peaka.internal_tables.add_column("p", "t", ColumnRequest("a"))
    two = await peaka.internal_tables.add_column("p", "t", [ColumnRequest("a"), ColumnRequest("b")])

    assert ([column.id for column in one], [column.id for column in two]) == (["1"], ["1", "2"])
    assert [seen.body for seen in server.requests] == [b'{"name":"a"}', b'[{"name":"a"},{"name":"b"}]']


async def test_connection_strings_hide_the_key(server, peaka):
    """They can be used, but are not shown. The service's invalid JSON is read too."""
    jdbc = "jdbc:peaka://dbc.peaka.studio:4567/?extraCredentials=peakaKey:s3cret"
    server.script(answer(200, {"JDBC": jdbc}), answer(200, f'{{\n    "JDBC": "{jdbc}",\n}}\n'.encode()))
    clean, by_hand = [await peaka.supported_drivers.get_jdbc() for _ in range(2)]

    assert (clean.jdbc, by_hand.jdbc) == (jdbc, jdbc)
    assert "s3cret" not in f"{clean} {clean!r} {by_hand!r}"


async def test_info_tells_whose_the_key_is(server, peaka):
    """For a Project key, it also says which project the key belongs to."""
    answers(server, {"userId": "u", "email": "e", "projectId": "p", "projectName": "n", "more": 1})

    assert await peaka.info() == Info("u", "e", "p", "n")


async def test_a_partner_key_is_asked_for(server, peaka):
    """If an operation that needs a Partner key answers 403, the error says which key to use."""
    server.script(answer(403, {"message": "Forbidden"}))

    with pytest.raises(PermissionDeniedError, match="Partner key"):
        await peaka.organizations.list()


async def test_what_is_deprecated_warns(server, peaka):
    """The warning says what to use instead."""
    answers(server, [])
    with pytest.warns(DeprecationWarning, match=r"projects\.list"):
        await peaka.deprecated_projects.list()


LOADED = """
import sys
import peaka_async
from peaka_async._codec import converter
own = sorted(n for n in sys.modules if n.startswith(("peaka_async.models.", "peaka_async.endpoints.")))
print(*own, converter._converter.cache_info().currsize)
peaka = peaka_async.PeakaClient("key")
peaka.sql
print(sorted(n for n in sys.modules if n.startswith("peaka_async.models.") and n not in own))
"""


def test_importing_loads_the_main_job_only():
    """Models that are not used are not imported; a group imports its own models."""
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)  # noqa: S603

    assert done.stdout.splitlines() == [
        (
            "peaka_async.endpoints._base peaka_async.endpoints._groups peaka_async.endpoints._paging "
            "peaka_async.endpoints._waiting peaka_async.models._model peaka_async.models.connections 0"
        ),
        "['peaka_async.models.sql']",
    ]
