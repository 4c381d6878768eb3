"""The requests that the methods of `parametric_tables` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.parametric_tables import ParametricTables
from peaka_async.models import ParametricTable

TABLE = ParametricTable(from_schema="from")
CALLS = [
    Call(
        "parametric_tables.list",
        ("p", "c"),
        "GET",
        "/data/projects/p/catalogs/c/parametricTables",
        returns=list[ParametricTable],
        safety=Safety.SAFE,
    ),
    Call(
        "parametric_tables.create",
        ("p", "c", TABLE),
        "POST",
        "/data/projects/p/catalogs/c/parametricTables",
        body=TABLE,
        returns=ParametricTable,
        safety=Safety.ONCE,
    ),
    Call(
        "parametric_tables.delete",
        ("p", "c", "to", "to"),
        "DELETE",
        "/data/projects/p/catalogs/c/parametricTables?toSchema=to&toTable=to",
        safety=Safety.IDEMPOTENT,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(ParametricTables, call) == call
