"""The state of the emulator: seeds, files, keys, time, and the page that shows it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys

import pytest

from peaka_async import ConfigurationError, PeakaClient
from peaka_async.emulator import Emulator, Fault, Pace, State, seed
from peaka_async.models import QueryExecuteRequestStatement, QueryRequest

SQL = "SELECT COUNT(*) FROM stripe.payment.refunds"


def client(emulator):
    return PeakaClient(emulator.api_key, base_url=emulator.base_url)


async def test_keys_and_the_project_can_be_chosen():
    """A program with fixed keys works after each start."""
    async with Emulator(api_key="pk-1", project_key="pk-2", project_id="shop") as emulator:
        async with PeakaClient("pk-2", base_url=emulator.base_url) as peaka:
            connections = await peaka.connections.list("shop")

    assert (emulator.api_key, emulator.project_key, emulator.project_id) == ("pk-1", "pk-2", "shop")
    assert len(connections) == 5


async def test_what_it_holds_is_kept_in_a_file(tmp_path):
    """The state is kept for the next start, with its keys; only its owner can read the file."""
    path = tmp_path / "peaka.json"
    async with Emulator(state_file=path) as emulator, client(emulator) as peaka:
        query = await peaka.queries.create(emulator.project_id, QueryRequest(display_name="Q", input_query=SQL))
        key = emulator.api_key
    async with Emulator(state_file=path) as emulator, client(emulator) as peaka:
        again = await peaka.queries.get(emulator.project_id, query.id)
        result = await peaka.queries.execute(
            emulator.project_id, QueryExecuteRequestStatement("SELECT * FROM peaka.query.q")
        )

    assert (again, emulator.api_key) == (query, key)
    assert result.records[0][0] == 85
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_seed_can_be_a_file_or_a_state(tmp_path):
    """A file needs only a project; missing keys are created."""
    path = tmp_path / "seed.json"
    table = {"name": "pets", "columns": [{"name": "name"}, {"name": "age", "type": "bigint"}], "rows": [["Rex", "7"]]}
    catalog = {"id": "9", "name": "zoo", "displayName": "Zoo", "type": "zoo", "schemas": {"public": {"pets": table}}}
    path.write_text(json.dumps({"projects": {"p1": {"id": "p1", "name": "Zoo", "catalogs": {"9": catalog}}}}))
    for given in (path, State.load(path)):
        async with Emulator(seed=given) as emulator, client(emulator) as peaka:
            statement = QueryExecuteRequestStatement("SELECT name, age + 1 FROM zoo.public.pets")
            result = await peaka.queries.execute("p1", statement)

        assert emulator.project_id == "p1"
        assert [tuple(record) for record in result] == [("Rex", 8)]


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), ("{", "not JSON"), ('{"projects": 7}', r"\$\.projects")]
)
def test_a_file_that_is_none_is_said(tmp_path, content, says):
    """The error names the file, and the place of the problem."""
    path = tmp_path / "seed.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        Emulator(seed=path)

    assert "seed.json" in str(caught.value)


def test_a_state_is_written_and_read_as_it_is(tmp_path):
    """The complete seed can be read back."""
    state = seed(api_key="k", project_key="p")
    state.save(tmp_path / "state.json")

    assert State.load(tmp_path / "state.json") == state
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


async def test_time_runs_by_itself_and_fast():
    """Work in the background ends in real time, or when a test advances the time."""
    async with Emulator(pace=Pace(waits=0.01, runs=0.01)) as emulator, client(emulator) as peaka:
        query = QueryRequest(display_name="Q", input_query=SQL, query_type="MATERIALIZED")
        made = await peaka.queries.create(emulator.project_id, query)
        await peaka.materialized_queries.refresh(emulator.project_id, made.id)
        started = None
        while started is None:
            await asyncio.sleep(0.01)
            started = (
                await peaka.materialized_queries.get_status(emulator.project_id, made.id)
            ).last_execution_start_time

    assert started.tzinfo is not None


async def test_a_code_expires_by_the_emulators_clock(emulator):
    """After an advance, a code has expired."""
    code = emulator.provider._issue("app", "https://app.example/done")
    emulator.advance(601)
    with pytest.raises(Exception, match="expired"):
        await emulator.provider.exchange(
            code.value, client_id="app", client_secret="s", redirect_uri="https://app.example/done"
        )


@pytest.mark.parametrize("seconds", [-1, float("nan"), 1e30])
def test_time_does_not_go_back(seconds):
    """It cannot go back, or to a time without a date."""
    with pytest.raises(ConfigurationError, match="forward"):
        Emulator().advance(seconds)


async def test_what_was_received_by_operation(emulator, api):
    """Requests are listed by operation; an unknown operation is an error."""
    emulator.faults.add("catalogs.list", Fault.answer(503))
    await api.call("GET", f"/data/projects/{emulator.project_id}/catalogs")
    await api.call("GET", "/info")

    (call,) = emulator.received("catalogs.list")
    assert call.fault.kind == "answer 503"
    assert len(emulator.received()) == 2
    with pytest.raises(ConfigurationError, match="no operation"):
        emulator.received("catalogs.nope")


async def test_the_front_page_shows_what_it_holds(emulator, api):
    """The page shows counts, catalogs and the last calls, but no key and no query string."""
    await api.call("GET", f"/data/projects/{emulator.project_id}/catalogs?secret=1")
    await api.call("GET", "/organizations/nope")
    async with api.session.get(emulator.origin) as answer:
        page = await answer.text()

    assert "5 connections" in page
    assert "stripe" in page
    assert page.index("organizations.get") < page.index("catalogs.list")
    assert "<script" not in page
    assert "secret" not in page.replace("api_keys", "")
    assert emulator.api_key not in page
    assert 'name="viewport"' in page


async def test_the_front_page_escapes_what_it_shows(emulator, api):
    """A project's name is escaped."""
    emulator.add_project("<script>alert(1)</script>")
    async with api.session.get(emulator.origin) as answer:
        assert "<script>alert" not in await answer.text()


def test_importing_it_loads_no_database():
    """DuckDB and sqlglot are loaded with the first SQL."""
    program = (
        "import sys; from peaka_async.emulator import Emulator; Emulator();"
        "print([name for name in ('duckdb', 'sqlglot', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.strip() == "[]"


async def test_without_the_extra_sql_says_what_to_install(emulator, api, monkeypatch):
    """Everything else works."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "peaka_async.emulator._sql.engine", raising=False)
    path = f"/data/projects/{emulator.project_id}"
    status, body = await api.call("POST", f"{path}/queries/execute", json={"statement": "SELECT 1"})

    assert (status, (await api.call("GET", f"{path}/catalogs"))[0]) == (501, 200)
    assert "peaka-async[emulator]" in body["message"]
