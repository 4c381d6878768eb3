"""The requests that the methods of `exports` make, and how the state of an export is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from recording_sender import Call, RecordingSender, made

from peaka_async import Safety
from peaka_async.endpoints._waiting import Polled
from peaka_async.endpoints.exports import Exports, read_export
from peaka_async.models import ExportJobCreated, ExportJobResponse, ExportRequest, ExportStatus

EXPORT = ExportRequest(format="format")
CALLS = [
    Call(
        "exports.start_query",
        ("p", "q", EXPORT),
        "POST",
        "/data/projects/p/queries/q/exports",
        body=EXPORT,
        returns=ExportJobCreated,
        safety=Safety.ONCE,
    ),
    Call(
        "exports.start_table",
        ("p", "c", "s", "t", EXPORT),
        "POST",
        "/data/projects/p/catalogs/c/schemas/s/tables/t/exports",
        body=EXPORT,
        returns=ExportJobCreated,
        safety=Safety.ONCE,
    ),
    Call(
        "exports.list",
        ("p",),
        "GET",
        "/data/projects/p/exports?status=status&limit=5&createdBefore=2026-01-02T03%3A04%3A05Z",
        options={"status": "status", "limit": 5, "created_before": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
        returns=list[ExportJobResponse],
        safety=Safety.SAFE,
    ),
    Call("exports.get", ("p", "e"), "GET", "/data/projects/p/exports/e", returns=ExportJobResponse, safety=Safety.SAFE),
    Call("exports.cancel", ("p", "e"), "DELETE", "/data/projects/p/exports/e", safety=Safety.IDEMPOTENT),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Exports, call) == call


@pytest.mark.parametrize(
    ("job", "polled"),
    [
        (ExportJobResponse(status=ExportStatus.SUCCEEDED), Polled(state="SUCCEEDED", ended=True, progress="SUCCEEDED")),
        (
            ExportJobResponse(status=ExportStatus.RUNNING, row_count=5, bytes=7),
            Polled(state="RUNNING", progress=("RUNNING", 5, 7)),
        ),
        (ExportJobResponse(status="queued"), Polled(state="QUEUED", progress=("QUEUED", None, None))),
        (ExportJobResponse(), Polled(state="UNKNOWN", progress=("UNKNOWN", None, None))),
        *(
            (ExportJobResponse(status=state, error=error), Polled(state=state, failure=failure, progress=str(state)))
            for state in (ExportStatus.FAILED, ExportStatus.CANCELLED, ExportStatus.EXPIRED)
            for error, failure in (("produced no files", "produced no files"), (None, f"the export is {state}"))
        ),
    ],
)
def test_what_an_export_shows(job, polled):
    """The state, the end, the service's reason for a failure, and the progress are read from the answer."""
    assert read_export(job) == polled


def jobs(*days):
    return [ExportJobResponse(str(day), created_at=datetime(2026, 1, day, tzinfo=UTC)) for day in days]


async def test_exports_page_by_page():
    """Each page starts before the last export of the previous page. By default a page has 50 exports."""
    sender = RecordingSender(jobs(5, 4), jobs(3), jobs(2), [ExportJobResponse("x")], [])
    exports = Exports(sender)
    pages = [page async for page in exports.list_pages("p", status="FAILED", page_size=2).pages()]
    resumed = [each.id async for each in exports.list_pages("p", resume_token=pages[0].resume_token)]
    undated = [page.resume_token async for page in exports.list_pages("p", page_size=1).pages()]

    assert [[each.id for each in page] for page in pages] == [["5", "4"], ["3"]]
    assert pages[1].items == tuple(jobs(3))
    assert [page.resume_token for page in pages] == ["exports:2026-01-04T00:00:00+00:00", None]
    assert (resumed, undated) == (["2"], [None])
    assert [request.target().partition("?")[2] for request in sender.requests] == [
        "status=FAILED&limit=2",
        "status=FAILED&limit=2&createdBefore=2026-01-04T00%3A00%3A00Z",
        "limit=50&createdBefore=2026-01-04T00%3A00%3A00Z",
        "limit=1",
    ]
