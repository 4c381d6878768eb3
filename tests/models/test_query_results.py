"""Rows of a result: their typed values and their raw cells."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async._codec import decode
from peaka_async.models import QueryResult, Record, ResultCell, ResultColumn
from peaka_async.models._cell_values import DataType, data_type_of

EAST = timezone(timedelta(hours=2))
ID = "6243f42a-42d0-4821-a90f-763cda6cda50"

CELLS = [
    ("bigint", "25001", 25001),
    ("integer", "-7", -7),
    ("tinyint", "1", 1),
    ("decimal(38,10)", "12.5000000000", Decimal("12.5000000000")),
    ("double", "1.254740786E7", 12547407.86),
    ("real", "NaN", float("nan")),
    ("double", "-Infinity", float("-inf")),
    ("boolean", "true", True),
    ("boolean", "FALSE", False),
    ("date", "2024-01-15", date(2024, 1, 15)),
    ("time(3)", "10:11:12.345", time(10, 11, 12, 345000)),
    ("time(3) with time zone", "10:11:12.345+02:00", time(10, 11, 12, 345000, EAST)),
    ("timestamp(3)", "2024-01-15 10:11:12.345", datetime(2024, 1, 15, 10, 11, 12, 345000)),  # noqa: DTZ001 - the type has no time zone
    ("timestamp(9)", "2024-01-15 10:11:12.123456789", datetime(2024, 1, 15, 10, 11, 12, 123456)),  # noqa: DTZ001
    ("timestamp(3) with time zone", "2024-01-15 10:11:12.345 UTC", datetime(2024, 1, 15, 10, 11, 12, 345000, UTC)),
    (
        "timestamp(0) with time zone",
        "2024-07-15 10:11:12 Europe/Istanbul",
        datetime(2024, 7, 15, 10, 11, 12, tzinfo=ZoneInfo("Europe/Istanbul")),
    ),
    ("timestamp with time zone", "2024-01-15T10:11:12Z", datetime(2024, 1, 15, 10, 11, 12, tzinfo=UTC)),
    ("uuid", ID, UUID(ID)),
    ("json", '{"a":[1,null]}', {"a": [1, None]}),
    ("smallint", "+7", 7),
    ("int", "0", 0),
    (" BigInt ", "5", 5),
    ("float", "1", 1.0),
    ("double precision", ".5", 0.5),
    ("double", "5.", 5.0),
    ("double", "Infinity", float("inf")),
    ("double", "+Infinity", float("inf")),
    ("numeric", "-1.50", Decimal("-1.50")),
    ("decimal( 12 , 2 )", "1e3", Decimal("1e3")),
    ("time", "12:34", time(12, 34)),
    ("time", "12:34:56.1", time(12, 34, 56, 100000)),
    ("time with time zone", "10:11:12 -02:30", time(10, 11, 12, tzinfo=timezone(-timedelta(hours=2, minutes=30)))),
    ("time with time zone", "10:11:12 UTC", time(10, 11, 12, tzinfo=UTC)),
    ("timestamp without time zone", "2024-01-15 10:11", datetime(2024, 1, 15, 10, 11)),  # noqa: DTZ001
    (
        "timestamp(3) with time zone",
        "2024-01-15 10:11:12.345 +0530",
        datetime(2024, 1, 15, 10, 11, 12, 345000, timezone(timedelta(hours=5, minutes=30))),
    ),
    ("varchar(10)", "001", "001"),
    ("varchar", "", ""),
]
KEPT = [
    ("bigint", "x"),
    ("bigint", "1.5"),
    ("bigint", "\u0661"),
    ("bigint", "5x"),
    ("bigint", "1_000"),
    ("bigint", ""),
    ("double", "1.5x"),
    ("double", "1_0.5"),
    ("double", "infinity"),
    ("double", "nan"),
    ("double", " 1"),
    ("decimal(5,2)", "1.5x"),
    ("decimal(5,2)", "NaN"),
    ("decimal(5,2)", "1_0"),
    ("decimal(5,2)", "1e99999999999999999999"),
    ("date", "2024-01-15x"),
    ("date", "20240115"),
    ("date", "2024-W03-1"),
    ("time", "12:34x"),
    ("time", "12:34:56 Europe/Istanbul"),
    ("time with time zone", "10:11:12"),
    ("time with time zone", "10:11:12+02:000"),
    ("timestamp", "2024-01-15 10:11:12 UTC!"),
    ("timestamp", "20240115 10:11:12"),
    ("timestamp with time zone", "2024-01-15 10:11:12 Europe"),
    ("json", "[" * 100_000),
    ("decimal(5,2)", "1,5"),
    ("double", "1e"),
    ("boolean", "yes"),
    ("date", "2024-13-01"),
    ("date", "15.01.2024"),
    ("timestamp", "yesterday"),
    ("timestamp with time zone", "2024-01-15 10:11:12"),
    ("timestamp with time zone", "2024-01-15 10:11:12 No/Where"),
    ("uuid", "6243f42a"),
    ("json", "{"),
    ("json", "NaN"),
    ("array(bigint)", "[1, 2]"),
    ("row(a bigint)", "{a=1}"),
    ("somethingnew", "5"),
    ("", "5"),
    (None, "5"),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bigint", DataType("bigint", (), zoned=False)),
        ("decimal(12,2)", DataType("decimal", (12, 2), zoned=False)),
        (" DECIMAL ( 12 , 2 ) ", DataType("decimal", (12, 2), zoned=False)),
        ("timestamp(6) with time zone", DataType("timestamp", (6,), zoned=True)),
        ("timestamp without time zone", DataType("timestamp", (), zoned=False)),
        ("double precision", DataType("double precision", (), zoned=False)),
        ("array(bigint)", None),
        ("map(a, b)", None),
        ("row(a bigint)", None),
        ("decimal(12,-2)", None),
        ("", None),
    ],
)
def test_the_name_of_a_type(name, expected):
    """The name has a base, parameters and perhaps a time zone; types that hold others are not read."""
    found = data_type_of(name)

    assert found == expected
    assert found is None or (type(found.parameters), type(found.zoned)) == (tuple, bool)
    assert DataType("date") == DataType("date", (), zoned=False)


@pytest.mark.parametrize("kind", ["varchar", "char(5)", "text"])
def test_texts_in_pandas(kind):
    """They become pandas' strings, which hold NULL."""
    assert str(result_of([("a", kind, "x")]).to_pandas()["a"].dtype) == "string"


@pytest.mark.parametrize("text", ["2024-01-15 10:11:12 UTC", "2024-01-15T10:11:12Z"])
def test_utc_is_pythons_own(text):
    """It compares and pickles without a database of zones."""
    assert only_value("timestamp with time zone", text).tzinfo is UTC


def result_of(*rows):
    """Make a result in the format CELL_TYPED, as the service sends it."""
    data = [
        [
            {"name": name, "displayName": name, "dataType": kind, "order": order, "value": value}
            for order, (name, kind, value) in enumerate(row)
        ]
        for row in rows
    ]
    columns = [{"columnName": name} for name, _, _ in rows[0]] if rows else []
    return decode(json.dumps({"columns": columns, "data": data}).encode(), QueryResult)


def only_value(kind, text):
    (record,) = result_of([("c", kind, text)])
    return record[0]


@pytest.mark.parametrize(("kind", "text", "value"), CELLS)
def test_a_cell_has_its_columns_type(kind, text, value):
    """Every cell arrives as text, and is converted to the Trino type of its column."""
    got = only_value(kind, text)

    assert type(got) is type(value)
    assert got == value or got != got  # noqa: PLR0124 - NaN alone differs from itself


@pytest.mark.parametrize(("kind", "text"), KEPT)
def test_what_is_none_of_its_type_stays_the_text(kind, text):
    """An invalid cell is not lost, and does not make the result fail."""
    assert only_value(kind, text) == text


@given(st.sampled_from([kind for kind, _ in KEPT if kind] + [kind for kind, *_ in CELLS]), st.text(max_size=30))
def test_no_text_is_an_error(kind, text):
    """No text makes the conversion fail."""
    only_value(kind, text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_exact(number):
    """This holds above 2**53 too."""
    assert only_value("bigint", str(number)) == number


def test_null_is_none():
    """NULL is None for every type."""
    assert [only_value(kind, None) for kind, *_ in CELLS] == [None] * len(CELLS)


def test_two_columns_of_one_name_survive():
    """A join can return two columns of the same name; neither hides the other."""
    (record,) = result_of([("id", "bigint", "1"), ("id", "bigint", "2"), ("id_2", "varchar", "x")])

    assert list(record) == [1, 2, "x"]
    assert record.all("id") == (1, 2)
    assert record.as_dict() == {"id": 1, "id_3": 2, "id_2": "x"}
    with pytest.raises(KeyError, match="2 columns"):
        record["id"]


def test_the_raw_cells_are_there():
    """A record has the cells as the service sent them, beside the typed values."""
    result = result_of([("n", "bigint", "5")])
    (record,) = result.records

    assert (record.raw, record.values) == (("5",), (5,))
    assert result.data == [[ResultCell("n", "n", "bigint", 0, "5")]]
    assert (result.column_names, result.data_types, result.row_count) == (("n",), ("bigint",), 1)


def test_without_rows_there_are_names_and_no_types():
    """The service sends types with cells only."""
    result = decode(b'{"columns":[{"columnName":"a"},{"columnName":"b"}],"data":[]}', QueryResult)

    assert (list(result), result.column_names, result.data_types) == ([], ("a", "b"), (None, None))


@pytest.mark.parametrize(
    ("data", "values"), [([{"a": "1", "b": None}], ("1", None)), ([["1", None]], ("1", None)), (None, None)]
)
def test_the_other_formats(data, values):
    """SIMPLE and COMPACT have no types, so values stay text."""
    body = {"columns": [{"columnName": "a"}, {"columnName": "b"}], "data": data}
    result = decode(json.dumps(body).encode(), QueryResult)

    assert [record.values for record in result] == ([] if values is None else [values])
    assert result.column_names == ("a", "b")
    assert result.columns == [ResultColumn(column_name="a"), ResultColumn(column_name="b")]


def test_a_record_is_a_value():
    """Records with equal values are equal; rows share their names."""
    one, two = result_of([("a", "bigint", "1")], [("a", "bigint", "01")])

    assert one == two == Record(("a",), (1,), ("1",))
    assert one.names is two.names


ROWS = result_of(
    [
        ("id", "bigint", "1"),
        ("id", "varchar", "x"),
        ("ok", "boolean", "true"),
        ("price", "decimal(12,2)", "1.50"),
        ("at", "timestamp(3) with time zone", "2024-01-15 10:00:00 UTC"),
        ("share", "double", "1.5E1"),
    ],
    [
        ("id", "bigint", None),
        ("id", "varchar", None),
        ("ok", "boolean", None),
        ("price", "decimal(12,2)", "2.25"),
        ("at", "timestamp(3) with time zone", None),
        ("share", "double", None),
    ],
)


def test_pandas():
    """Columns have types that can hold NULL."""
    frame = ROWS.to_pandas()

    assert frame.dtypes.astype(str).to_dict() == {
        "id": "Int64",
        "id_2": "string",
        "ok": "boolean",
        "price": "object",
        "at": "datetime64[us, UTC]",
        "share": "float64",
    }
    assert frame["id"].tolist() == [1, pd.NA]
    assert frame["price"].sum() == Decimal("3.75")


def test_arrow():
    """Decimals stay exact, timestamps are in UTC."""
    table = ROWS.to_arrow()

    assert table.column_names == ["id", "id_2", "ok", "price", "at", "share"]
    assert table.schema.field("id").type == pa.int64()
    assert pa.types.is_decimal(table.schema.field("price").type)
    assert table.column("at").to_pylist() == [datetime(2024, 1, 15, 10, tzinfo=UTC), None]
    assert table.column("price").to_pylist() == [Decimal("1.50"), Decimal("2.25")]


def test_empty_frames():
    """A result without rows still has its columns."""
    empty = decode(b'{"columns":[{"columnName":"a"}],"data":[]}', QueryResult)

    assert list(empty.to_pandas().columns) == ["a"]
    assert empty.to_arrow().column_names == ["a"]


WITHOUT = """
import sys
sys.modules["pandas"] = sys.modules["pyarrow"] = None
from peaka_async import ConfigurationError
from peaka_async.models._cell_values import DataType, data_type_of
from peaka_async.models import QueryResult
for make in (QueryResult().to_pandas, QueryResult().to_arrow):
    try:
        make()
    except ConfigurationError as error:
        print(error)
"""


def test_without_the_extras_it_is_said():
    """The error names the command that installs the missing package."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], check=True, capture_output=True, text=True)  # noqa: S603

    assert "peaka-async[pandas]" in done.stdout
    assert "peaka-async[arrow]" in done.stdout
