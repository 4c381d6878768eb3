"""The requests that the methods of `internal_tables` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, RecordingSender, made

from peaka_async import ConfigurationError, Safety
from peaka_async.endpoints.internal_tables import InternalTables
from peaka_async.models import ColumnDataType, ColumnDetail, ColumnRequest, Table

COLUMNS = ColumnRequest(name="name")
COLUMN = ColumnRequest(name="name")
CALLS = [
    Call(
        "internal_tables.list_bi_tables",
        ("p",),
        "GET",
        "/data/projects/p/bitable",
        returns=list[Table],
        safety=Safety.SAFE,
    ),
    Call(
        "internal_tables.create_bi_table",
        ("p", "t"),
        "POST",
        "/data/projects/p/bitable/t",
        returns=Table,
        safety=Safety.ONCE,
    ),
    Call(
        "internal_tables.delete_bi_table", ("p", "t"), "DELETE", "/data/projects/p/bitable/t", safety=Safety.IDEMPOTENT
    ),
    Call(
        "internal_tables.list_bi_columns",
        ("p", "t"),
        "GET",
        "/data/projects/p/bitable/t/columns",
        returns=list[ColumnDetail],
        safety=Safety.SAFE,
    ),
    Call(
        "internal_tables.add_bi_column",
        ("p", "t", COLUMNS),
        "POST",
        "/data/projects/p/bitable/t/columns",
        body=COLUMNS,
        returns=list[ColumnDetail],
        safety=Safety.ONCE,
    ),
    Call(
        "internal_tables.update_bi_column",
        ("p", "t", "col", COLUMN),
        "PUT",
        "/data/projects/p/bitable/t/columns/col",
        body=COLUMN,
        returns=list[ColumnDetail],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "internal_tables.delete_bi_column",
        ("p", "t", "col"),
        "DELETE",
        "/data/projects/p/bitable/t/columns/col",
        safety=Safety.IDEMPOTENT,
    ),
    Call("internal_tables.list", ("p",), "GET", "/data/projects/p/table", returns=list[Table], safety=Safety.SAFE),
    Call("internal_tables.create", ("p", "t"), "POST", "/data/projects/p/table/t", returns=Table, safety=Safety.ONCE),
    Call("internal_tables.delete", ("p", "t"), "DELETE", "/data/projects/p/table/t", safety=Safety.IDEMPOTENT),
    Call(
        "internal_tables.list_columns",
        ("p", "t"),
        "GET",
        "/data/projects/p/table/t/columns",
        returns=list[ColumnDetail],
        safety=Safety.SAFE,
    ),
    Call(
        "internal_tables.add_column",
        ("p", "t", COLUMNS),
        "POST",
        "/data/projects/p/table/t/columns",
        body=COLUMNS,
        returns=list[ColumnDetail],
        safety=Safety.ONCE,
    ),
    Call(
        "internal_tables.update_column",
        ("p", "t", "col", COLUMN),
        "PUT",
        "/data/projects/p/table/t/columns/col",
        body=COLUMN,
        returns=list[ColumnDetail],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "internal_tables.delete_column",
        ("p", "t", "col"),
        "DELETE",
        "/data/projects/p/table/t/columns/col",
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "internal_tables.get_csv_sample",
        ("p", "t"),
        "GET",
        "/data/projects/p/table/t/sample",
        returns=bytes,
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(InternalTables, call) == call


COLUMN = ColumnDetail(
    id="7",
    name="age",
    data_type="decimal(38,10)",
    display_name="Age",
    default_value="0",
    is_not_null=False,
    is_unique=False,
)


@pytest.mark.parametrize("bi", [False, True])
async def test_a_column_is_read_changed_and_written(bi):
    """The service needs the whole column; types are sent without their parameters."""
    sender = RecordingSender([COLUMN], [COLUMN])
    tables = InternalTables(sender)
    if bi:
        await tables.change_bi_column("p", "people", "age", display_name="Years")
    else:
        await tables.change_column("p", "people", "age", display_name="Years")

    read, written = sender.requests
    assert read.operation == f"internal_tables.list_{'bi_' if bi else ''}columns"
    assert written.operation == f"internal_tables.update_{'bi_' if bi else ''}column"
    assert written.body == ColumnRequest("age", "DECIMAL", "Years", "0", is_not_null=False, is_unique=False)


async def test_a_column_gets_another_name_type_and_default():
    """Given properties replace the current ones."""
    sender = RecordingSender([COLUMN], [COLUMN])
    changes = {"name": "years", "data_type": ColumnDataType.BIGINT, "default_value": ""}
    await InternalTables(sender).change_column("p", "people", "age", **changes)

    assert sender.requests[1].body == ColumnRequest("years", "BIGINT", "Age", "", is_not_null=False, is_unique=False)


async def test_a_column_that_is_not_there_is_named():
    """The error lists the existing columns, and nothing is written."""
    sender = RecordingSender([COLUMN])
    with pytest.raises(ConfigurationError, match="no column nope; it has age"):
        await InternalTables(sender).change_column("p", "people", "nope", name="x")

    assert len(sender.requests) == 1
