"""The requests that the methods of `queries` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.queries import Queries
from peaka_async.models import (
    Query,
    QueryExecuteRequest,
    QueryPathUpdateRequest,
    QueryRequest,
    QueryResult,
    ResultFormat,
)

QUERY = QueryRequest(display_name="display")
EXECUTE_QUERY = QueryExecuteRequest(from_=[])
PATH = QueryPathUpdateRequest(path="path")
CALLS = [
    Call("queries.list", ("p",), "GET", "/data/projects/p/queries", returns=list[Query], safety=Safety.SAFE),
    Call(
        "queries.create",
        ("p", QUERY),
        "POST",
        "/data/projects/p/queries?checkSchemaExists=true",
        options={"check_schema_exists": True},
        body=QUERY,
        returns=Query,
        safety=Safety.ONCE,
    ),
    Call(
        "queries.execute",
        ("p", EXECUTE_QUERY),
        "POST",
        "/data/projects/p/queries/execute?format=CELL_TYPED",
        options={"result_format": ResultFormat.CELL_TYPED},
        body=EXECUTE_QUERY,
        returns=QueryResult,
        safety=Safety.SAFE,
    ),
    Call("queries.get", ("p", "q"), "GET", "/data/projects/p/queries/q", returns=Query, safety=Safety.SAFE),
    Call(
        "queries.update",
        ("p", "q", QUERY),
        "PUT",
        "/data/projects/p/queries/q?checkSchemaExists=true",
        options={"check_schema_exists": True},
        body=QUERY,
        returns=Query,
        safety=Safety.IDEMPOTENT,
    ),
    Call("queries.delete", ("p", "q"), "DELETE", "/data/projects/p/queries/q", safety=Safety.IDEMPOTENT),
    Call(
        "queries.update_path",
        ("p", "q", PATH),
        "PATCH",
        "/data/projects/p/queries/q/path",
        body=PATH,
        safety=Safety.ONCE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Queries, call) == call
