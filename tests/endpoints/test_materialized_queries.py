"""The requests that the methods of `materialized_queries` make, and how the status of a refresh is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints._waiting import Polled
from peaka_async.endpoints.materialized_queries import MaterializedQueries, read_next_refresh, read_refresh
from peaka_async.models import MaterializedQueryState, MaterializedQueryStatusView

CALLS = [
    Call(
        "materialized_queries.list_statuses",
        ("p",),
        "GET",
        "/data/projects/p/materialized-queries/status",
        returns=list[MaterializedQueryStatusView],
        safety=Safety.SAFE,
    ),
    Call(
        "materialized_queries.cancel",
        ("p", "q"),
        "POST",
        "/data/projects/p/materialized-queries/q/cancel",
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "materialized_queries.refresh",
        ("p", "q"),
        "POST",
        "/data/projects/p/materialized-queries/q/refresh",
        safety=Safety.ONCE,
    ),
    Call(
        "materialized_queries.get_status",
        ("p", "q"),
        "GET",
        "/data/projects/p/materialized-queries/q/status",
        returns=MaterializedQueryStatusView,
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(MaterializedQueries, call) == call


AT = datetime(2026, 1, 2, tzinfo=UTC)


def status_of(state, **more):
    return MaterializedQueryStatusView(status=state, last_update_time=AT, **more)


@pytest.mark.parametrize(
    ("status", "polled"),
    [
        (status_of(MaterializedQueryState.COMPLETED), Polled(state="COMPLETED", ended=True, progress="COMPLETED")),
        (status_of(MaterializedQueryState.RUNNING), Polled(state="RUNNING", progress=("RUNNING", AT))),
        (status_of("queued"), Polled(state="QUEUED", progress=("QUEUED", AT))),
        (
            status_of(MaterializedQueryState.FAILED, query_name="sales"),
            Polled(state="FAILED", failure="the refresh of sales is FAILED", progress="FAILED"),
        ),
        (
            status_of(MaterializedQueryState.CANCELED),
            Polled(state="CANCELED", failure="the refresh of the query is CANCELED", progress="CANCELED"),
        ),
    ],
)
def test_what_a_refresh_shows(status, polled):
    """The state, the end, a failure and the progress are read from the status."""
    assert read_refresh(status) == polled


def test_a_refresh_that_has_not_begun():
    """The start time is still that of the previous refresh, or still missing."""
    before = status_of(MaterializedQueryState.COMPLETED, last_execution_start_time=AT)
    never = status_of(MaterializedQueryState.COMPLETED)

    assert read_next_refresh(before, after=AT) == read_next_refresh(never, after=None) == Polled(state="NOT BEGUN")
    assert read_next_refresh(before, after=None).ended
