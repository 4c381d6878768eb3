"""Internal tables and the import of CSV files: what the service does."""

from __future__ import annotations

import json

import aiohttp
import pytest

COLUMNS = [
    {"name": "name", "dataType": "VARCHAR"},
    {"name": "age", "dataType": "BIGINT"},
    {"name": "paid", "dataType": "DECIMAL"},
    {"name": "born", "dataType": "DATE"},
    {"name": "active", "dataType": "BOOLEAN"},
]


async def people(local, columns=COLUMNS, kind="table"):
    await local.good("POST", f"{local.data}/{kind}/people")
    return await local.good("POST", f"{local.data}/{kind}/people/columns", columns)


async def load(local, text, *, header=True, table="people", **mapping):
    mappings = [
        {"name": name, "csvColumnIndex" if isinstance(place, int) else "csvColumnName": place}
        for name, place in mapping.items()
    ]
    form = aiohttp.FormData()
    form.add_field("file", text.encode(), filename="people.csv", content_type="text/csv")
    form.add_field("request", json.dumps({"mappings": mappings, "containsHeader": header}))
    return await local.call("POST", f"{local.data}/table/{table}/import", data=form)


async def test_a_table_has_8_system_columns(local):
    """Fact: `_id` and others, `text` among them."""
    await local.good("POST", f"{local.data}/table/people")
    names = [each["name"] for each in await local.good("GET", f"{local.data}/table/people/columns")]

    assert len(names) == 8
    assert {"_id", "text"} < set(names)


async def test_a_bi_table_has_one_more(local):
    """Fact: `_operation` too."""
    await local.good("POST", f"{local.data}/bitable/events2")
    names = [each["name"] for each in await local.good("GET", f"{local.data}/bitable/events2/columns")]

    assert len(names) == 9
    assert "_operation" in names


async def test_columns_are_added_in_arrays(local):
    """Fact: several at once; the answer is an array too."""
    added = await people(local)

    assert [each["dataType"] for each in added] == ["varchar", "bigint", "decimal(38,10)", "date", "boolean"]


async def test_flags_of_a_column_are_stored_false(local):
    """Fact: `isUnique`, `isNotNull` sent true are stored false; `defaultValue` is kept."""
    column = {"name": "n", "dataType": "BIGINT", "isUnique": True, "isNotNull": True, "defaultValue": "7"}
    (added,) = await people(local, [column])

    assert (added["isUnique"], added["isNotNull"], added["defaultValue"]) == (False, False, "7")


@pytest.mark.parametrize("type_", ["JSON", "TEXT", ""])
async def test_a_column_of_another_type_is_refused(local, type_):
    """Fact: JSON columns are refused."""
    await people(local)
    path = f"{local.data}/table/people/columns"

    assert (await local.call("POST", path, [{"name": "x", "dataType": type_}]))[0] == 400


async def test_a_column_twice_is_postgres_own_message(local):
    """Fact: a raw PostgreSQL message."""
    await people(local)
    status, body = await local.call("POST", f"{local.data}/table/people/columns", [COLUMNS[0]])

    assert status == 400
    assert 'PSQLException: ERROR: column "name" of relation "people" already exists' in body["message"]


async def test_names_of_bi_tables_lose_their_underscores(local):
    """Fact: two names can meet in one table."""
    one = await local.good("POST", f"{local.data}/bitable/my_events")
    two = await local.good("POST", f"{local.data}/bitable/myevents")

    assert one == two
    assert one["tableName"] == "myevents"


async def test_a_bi_columns_shown_name_is_echoed_and_not_kept(local):
    """Fact: the answer has it, the list does not."""
    (added,) = await people(local, [{"name": "n", "dataType": "BIGINT", "displayName": "Number"}], "bitable")
    listed = await local.good("GET", f"{local.data}/bitable/people/columns")

    assert (added["displayName"], listed[-1]["displayName"]) == ("Number", "n")


async def test_an_updated_column_is_one_object(local):
    """Fact: one object, where the document has a list; the whole body is needed."""
    await people(local)
    path = f"{local.data}/table/people/columns/age"
    partial, _ = await local.call("PUT", path, {"displayName": "Age"})
    changed = await local.good("PUT", path, {"name": "years", "dataType": "BIGINT"})

    assert (partial, changed["name"]) == (400, "years")


async def test_an_import_appends(local):
    """Fact: rows are appended always, never merged; the job is COMPLETED."""
    await people(local)
    first = await load(local, "name,age\nAda,36\n", name="name", age="age")
    await load(local, "name,age\nAda,36\n", name="name", age="age")

    assert (first[0], first[1]["status"], first[1]["progress"]) == (200, "COMPLETED", 100)
    assert await local.rows("SELECT name, age FROM peaka.table.people") == [["Ada", "36"], ["Ada", "36"]]


async def test_an_import_is_all_or_nothing(local):
    """Fact: values are checked, and the message names the value."""
    await people(local)
    status, body = await load(local, "name,age\nAda,36\nBob,old\n", name="name", age="age")

    assert status == 400
    assert "'old'" in body["message"]
    assert await local.count("peaka.table.people") == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("age", "1.5"), ("paid", "much"), ("born", "15.01.2024"), ("active", "yes"), ("age", "9" * 19)],
)
async def test_a_value_of_another_type_is_refused(local, column, value):
    """Fact: values are checked by their column's type."""
    await people(local)

    assert (await load(local, f"x\n{value}\n", **{column: "x"}))[0] == 400


async def test_values_of_all_types_are_read_back(local):
    """An empty value is NULL; a text stays empty."""
    await people(local)
    await load(
        local, "a,b,c,d,e\nAda,36,12.5,1815-12-10,true\n,,,,\n", name="a", age="b", paid="c", born="d", active="e"
    )

    assert await local.rows("SELECT name, age, paid, born, active FROM peaka.table.people") == [
        ["Ada", "36", "12.5000000000", "1815-12-10", "true"],
        ["", None, None, None, None],
    ]


async def test_a_header_that_is_not_there_imports_null(local):
    """Fact: 200, and NULL in the column."""
    await people(local)
    status, _ = await load(local, "name\nAda\n", name="name", age="nope")

    assert status == 200
    assert await local.rows("SELECT name, age FROM peaka.table.people") == [["Ada", None]]


async def test_without_a_header_columns_have_numbers(local):
    """`csvColumnIndex` counts from 0."""
    await people(local)
    await load(local, "36,Ada\n", header=False, name=1, age=0)

    assert await local.rows("SELECT name, age FROM peaka.table.people") == [["Ada", "36"]]


async def test_a_column_without_a_mapping_gets_its_default(local):
    """And system columns are filled."""
    await people(local, [*COLUMNS, {"name": "n", "dataType": "BIGINT", "defaultValue": "7"}])
    await load(local, "name\nAda\n", name="name")

    assert await local.rows("SELECT n, _version, _id IS NOT NULL FROM peaka.table.people") == [["7", "1", "true"]]


async def test_rows_of_a_bi_table_cannot_be_written(local):
    """Fact: rows, import and sample of BI tables are 404."""
    assert (await local.call("POST", f"{local.data}/bitable/events/import", {}))[0] == 404
    assert (await local.call("GET", f"{local.data}/bitable/events/sample"))[0] == 404
    assert await local.count("peaka.bitable.events") == 5


async def test_a_sample_is_a_header_and_5_rows(local):
    """Fact: typed rows, that can be imported as they are."""
    await people(local)
    sample = await local.good("GET", f"{local.data}/table/people/sample")
    status, _ = await load(local, sample, **{each["name"]: each["name"] for each in COLUMNS})

    assert (len(sample.splitlines()), sample.splitlines()[0]) == (6, "text,name,age,paid,born,active")
    assert (status, await local.count("peaka.table.people")) == (200, 5)


async def test_a_sample_of_nothing_is_five_empty_lines(local):
    """Fact: an unknown table gives five empty lines, with 200."""
    assert await local.call("GET", f"{local.data}/table/nope/sample") == (200, "\n" * 5)


async def test_a_deleted_table_is_gone_with_its_data(local):
    """Fact: definition and data go, and ids are never used again."""
    before = await people(local)
    await load(local, "name\nAda\n", name="name")
    await local.good("DELETE", f"{local.data}/table/people")
    after = await people(local)

    assert await local.count("peaka.table.people") == 0
    assert not {each["id"] for each in before} & {each["id"] for each in after}


async def test_a_deleted_column_is_gone_with_its_data(local):
    """A system column stays."""
    await people(local)
    await load(local, "name,age\nAda,36\n", name="name", age="age")
    await local.good("DELETE", f"{local.data}/table/people/columns/age")

    assert await local.rows("SELECT name FROM peaka.table.people") == [["Ada"]]
    assert (await local.execute({"statement": "SELECT age FROM peaka.table.people"}))[0] == 400
    assert (await local.call("DELETE", f"{local.data}/table/people/columns/_id"))[0] == 400


async def test_an_unknown_table_is_404(local):
    """Its columns cannot be read."""
    assert (await local.call("GET", f"{local.data}/table/nope/columns"))[0] == 404


async def test_strictly_flags_are_kept(strict):
    """The document: columns are as they were sent."""
    added = await people(strict, [{"name": "n", "dataType": "BIGINT", "isUnique": True}])

    assert added["isUnique"] is True
