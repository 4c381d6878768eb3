"""The examples of the how-to pages, as they stand there, run against the emulator."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from pathlib import Path

import pytest

from peaka_async import PeakaClient
from peaka_async.emulator import Emulator, Pace
from peaka_async.emulator._deviations import Deviation

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "how-to"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("polled_often")


def examples(name):
    """Run the code of a page, and return the names that it defines."""
    found = {}
    for block in BLOCK.findall((PAGES / f"{name}.md").read_text(encoding="utf-8")):
        exec(compile(block, f"{name}.md", "exec"), found)  # noqa: S102 - the project's own examples
    return found


@pytest.fixture
async def quick():
    """An emulator whose work in the background ends almost at once."""
    pace = Pace(waits=0.01, runs=0.01, record=0.01, deletes=0.01)
    async with Emulator(pace=pace) as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka:
        yield peaka, emulator.project_id


async def test_query_data(quick):
    """A statement, a saved query by its name, and a stored result."""
    page = examples("query-data")

    assert [str(total) for total in (await page["spend"](*quick)).values()] == [
        "137.5000000000",
        "150.0000000000",
        "162.5000000000",
    ]
    assert await page["save_and_run"](*quick) == 85
    assert await page["keep"](*quick) == 365


async def test_get_all_rows(quick):
    """505 customers instead of 100, also when it is asked again."""
    with warnings.catch_warnings():
        count = examples("get-all-rows")["count_customers"]

    assert [await count(*quick) for _ in range(2)] == [505, 505]


async def test_move_data(quick, tmp_path):
    """A file is imported, and 25,000 rows come back in three."""
    page = examples("move-data")
    people = tmp_path / "people.csv"
    people.write_text("name,age\nAda,36\n")
    await page["load"](*quick, people)
    saved = await page["save"](*quick, tmp_path)
    lines = [path.read_text().splitlines() for path in saved]

    assert [path.name for path in saved] == ["part-0000.csv", "part-0001.csv", "part-0002.csv"]
    assert [len(each) for each in lines] == [10_001, 10_001, 5_001]
    assert lines[0][:2] == ["id,total", "1,12.5000000000"]


async def test_chat(quick):
    """The steps of a stream, and a thread that goes on."""
    page = examples("chat")
    steps = await page["ask"](*quick)

    assert steps[-1]["agent"]["messages"][0]["content"] == "There are 85 rows in stripe.payment.refunds."
    assert await page["go_on"](*quick) == [
        "How many refunds are there?",
        "There are 85 rows in stripe.payment.refunds.",
        "And how many charges?",
        "There are 100 rows in stripe.payment.charges.",
    ]


async def test_test_with_the_emulator():
    """Run the page about the emulator itself."""
    page = examples("test-with-the-emulator")

    assert await page["count"]() == 25_000
    assert await page["lose_an_answer"]() == (True, 1)
    assert [str(state) for state in await page["watch_a_sync"]()] == ["NOT_INITIALIZED", "RUNNING", "COMPLETED"]


async def test_from_the_emulator_to_production(emulator, monkeypatch):
    """The same code, by the environment alone."""
    monkeypatch.setenv("PEAKA_API_KEY", emulator.project_key)
    monkeypatch.setenv("PEAKA_BASE_URL", emulator.base_url)

    assert await examples("from-the-emulator-to-production")["who_am_i"]() == (
        "partner@example.com",
        emulator.project_id,
    )


def test_each_deviation_of_the_table_is_in_the_code():
    """The documentation's table lists nothing that the emulator does not do."""
    package = ROOT / "peaka_async" / "emulator"
    code = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "_deviations.py")
    strict = {"BARE_ARRAYS": "_ONE_OBJECT", "NULLS": "_without_nulls", "OBJECTS_OF_ANYTHING": "_is_map_of_objects"}
    strict |= {"PLAIN_VALUES": "_without_plain_values"}
    missing = [each.name for each in Deviation if strict.get(each.name, f"Deviation.{each.name}") not in code]

    assert missing == []


def test_the_documentation_makes_its_table_of_the_code(monkeypatch):
    """One row for each deviation, without marks."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs" / "_ext"), *sys.path])
    import deviations_table  # noqa: PLC0415

    rows = deviations_table.rows()
    assert len(rows) == len(Deviation) + 1
    assert not any("`" in cell for row in rows for cell in row)
    assert inspect.isclass(deviations_table.DeviationsTable)
