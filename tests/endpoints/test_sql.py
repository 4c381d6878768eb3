"""The requests that the methods of `sql` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.sql import Sql
from peaka_async.models import SQLTranspileQueryRequest, TranspiledQuery

QUERY = SQLTranspileQueryRequest(query="query")
CALLS = [
    Call(
        "sql.transpile",
        ("mysql", QUERY),
        "POST",
        "/sql/transpile/mysql",
        body=QUERY,
        returns=TranspiledQuery,
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Sql, call) == call
