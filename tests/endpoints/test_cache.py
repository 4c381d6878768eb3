"""The requests that the methods of `cache` make, and how the status of a run is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from recording_sender import Call, RecordingSender, made

from peaka_async import DecodeError, Safety, Waiting, WaitTimeoutError, WorkFailedError
from peaka_async.endpoints._waiting import Polled
from peaka_async.endpoints.cache import Caches, read_newest_run, read_run, run_id
from peaka_async.models import (
    Cache,
    CacheCreateStatus,
    CacheExecutionInfo,
    CacheExecutionProgress,
    CacheRequest,
    CacheRun,
    CacheSettingsUpdateRequest,
    CacheState,
    CacheStatus,
    CacheTrigger,
    Schedule,
)

CACHE = CacheRequest(catalog_id="catalog")
CACHES = [CacheRequest(catalog_id="catalog")]
SETTINGS = CacheSettingsUpdateRequest()
CALLS = [
    Call("cache.create", ("p", CACHE), "POST", "/data/projects/p/cache", body=CACHE, returns=Cache, safety=Safety.ONCE),
    Call(
        "cache.create_batch",
        ("p", CACHES),
        "POST",
        "/data/projects/p/cache/batch",
        body=CACHES,
        returns=list[CacheCreateStatus],
        safety=Safety.ONCE,
    ),
    Call(
        "cache.list_statuses",
        ("p",),
        "GET",
        "/data/projects/p/cache/status",
        returns=list[CacheStatus],
        safety=Safety.SAFE,
    ),
    Call("cache.get_settings", ("p", "k"), "GET", "/data/projects/p/cache/k", returns=Cache, safety=Safety.SAFE),
    Call(
        "cache.update_settings",
        ("p", "k", SETTINGS),
        "PUT",
        "/data/projects/p/cache/k",
        body=SETTINGS,
        returns=Cache,
        safety=Safety.IDEMPOTENT,
    ),
    Call("cache.delete", ("p", "k"), "DELETE", "/data/projects/p/cache/k", safety=Safety.IDEMPOTENT),
    Call(
        "cache.cancel_full_refresh",
        ("p", "k"),
        "POST",
        "/data/projects/p/cache/k/cancelFullRefreshUpdate",
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "cache.cancel_incremental_update",
        ("p", "k"),
        "POST",
        "/data/projects/p/cache/k/cancelIncrementalUpdate",
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "cache.list_executions",
        ("p", "k"),
        "GET",
        "/data/projects/p/cache/k/executionHistory?limit=5&offset=10",
        options={"limit": 5, "offset": 10},
        returns=list[CacheExecutionInfo],
        safety=Safety.SAFE,
    ),
    Call(
        "cache.full_refresh",
        ("p", "k"),
        "POST",
        "/data/projects/p/cache/k/fullRefreshUpdate",
        returns=CacheTrigger,
        safety=Safety.ONCE,
    ),
    Call(
        "cache.incremental_update",
        ("p", "k"),
        "POST",
        "/data/projects/p/cache/k/incrementalUpdate",
        returns=CacheTrigger,
        safety=Safety.ONCE,
    ),
    Call(
        "cache.get_status",
        ("p", "k"),
        "GET",
        "/data/projects/p/cache/k/status?excludeLogs=true",
        options={"exclude_logs": True},
        returns=CacheStatus,
        safety=Safety.SAFE,
    ),
    Call(
        "cache.list_statuses_by_catalog",
        ("p", "c"),
        "GET",
        "/data/projects/p/catalog/c/cache/status",
        returns=list[CacheStatus],
        safety=Safety.SAFE,
    ),
    Call(
        "cache.list_statuses_by_schema",
        ("p", "c", "s"),
        "GET",
        "/data/projects/p/catalog/c/schema/s/cache/status",
        returns=list[CacheStatus],
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Caches, call) == call


async def test_options_that_are_not_given_are_not_sent():
    """The service's own defaults apply."""
    sender = RecordingSender()
    caches = Caches(sender)
    await caches.list_executions("p", "k")
    await caches.get_status("p", "k")

    assert [request.target() for request in sender.requests] == [
        "/data/projects/p/cache/k/executionHistory",
        "/data/projects/p/cache/k/status",
    ]


def runs(*numbers):
    return [CacheExecutionInfo(id=str(number)) for number in numbers]


async def test_the_runs_of_a_cache_page_by_page():
    """A page that is not full is the last one. By default a page has 50 runs."""
    sender = RecordingSender(runs(1, 2), runs(3), runs(*range(50)), [], runs(7))
    caches = Caches(sender)
    pages = [page async for page in caches.list_executions_pages("p", "k", page_size=2).pages()]
    all_of_them = [each async for each in caches.list_executions_pages("p", "k")]
    resumed = [each.id async for each in caches.list_executions_pages("p", "k", resume_token=pages[0].resume_token)]

    assert [[each.id for each in page] for page in pages] == [["1", "2"], ["3"]]
    assert [(len(page), page.resume_token) for page in pages] == [(2, "runs:2"), (1, None)]
    assert pages[1].items == tuple(runs(3))
    assert (len(all_of_them), resumed) == (50, ["7"])
    assert [request.target().partition("?")[2] for request in sender.requests] == [
        "limit=2&offset=0",
        "limit=2&offset=2",
        "limit=50&offset=0",
        "limit=50&offset=50",
        "limit=50&offset=2",
    ]


AT = datetime(2026, 1, 2, tzinfo=UTC)
ROWS = CacheExecutionProgress(number_of_cached_records=5)


def status_of(kind, *arguments, **more):
    slot = "last_incremental" if kind is CacheRun.INCREMENTAL else "last_full_refresh"
    return CacheStatus(**{f"{slot}_cache_execution": CacheExecutionInfo(*arguments, **more)})


@pytest.mark.parametrize("kind", CacheRun)
@pytest.mark.parametrize(
    ("state", "error", "ended", "failure"),
    [
        (CacheState.COMPLETED, None, True, None),
        (CacheState.FAILED, {"message": "source is gone"}, False, "source is gone"),
        (CacheState.CANCELLED, {"message": "", "reason": "by hand"}, False, "by hand"),
        (CacheState.DELETED, {"message": {"a": 1}, "error": "no table"}, False, "no table"),
        (CacheState.FAILED, {"code": 5}, False, '{"code": 5}'),
        (CacheState.FAILED, {"at": AT}, False, '{"at": "2026-01-02 00:00:00+00:00"}'),
        (CacheState.FAILED, {}, False, "the run is FAILED"),
        (CacheState.FAILED, None, False, "the run is FAILED"),
        (CacheState.CANCELLED, None, False, "the run is CANCELLED"),
        (CacheState.DELETED, None, False, "the run is DELETED"),
        (CacheState.RUNNING, {"message": "ignored"}, False, None),
        (CacheState.NOT_INITIALIZED, None, False, None),
        ("brand-new", None, False, None),
    ],
)
def test_what_a_run_shows(kind, state, error, ended, failure):
    """The state, the end, the service's reason for a failure, and the progress are read from the record."""
    status = status_of(kind, "r", status=state, error=error, updated_at=AT, progress=ROWS)
    name = str(state).upper()

    expected = Polled(state=name, ended=ended, failure=failure, progress=("r", name, AT, ROWS))
    assert read_run(status, run=kind, after=None) == expected
    assert read_run(status, run=kind, after="before") == expected


@pytest.mark.parametrize("kind", CacheRun)
def test_a_run_that_has_not_begun(kind):
    """The record of this kind is missing, or belongs to the previous run."""
    other = CacheRun.FULL_REFRESH if kind is CacheRun.INCREMENTAL else CacheRun.INCREMENTAL
    done = status_of(kind, "r", status=CacheState.COMPLETED)

    assert read_run(done, run=kind, after="r") == Polled(state="NOT BEGUN")
    assert read_run(status_of(other, "r"), run=kind, after=None) == Polled(state="NOT BEGUN")
    assert read_run(status_of(kind, status=CacheState.RUNNING), run=kind, after=None).state == "RUNNING"
    assert (run_id(done, kind), run_id(done, other)) == ("r", None)


DAILY, HOURLY = Schedule.every("P1D"), Schedule.every("PT1H")


@pytest.mark.parametrize(
    ("changes", "incremental", "full"),
    [
        ({"incremental": HOURLY}, HOURLY, DAILY),
        ({"full_refresh": HOURLY}, DAILY, HOURLY),
        ({"incremental": Schedule.never()}, Schedule.never(), DAILY),
        ({}, DAILY, DAILY),
    ],
)
async def test_one_schedule_is_changed_and_the_other_kept(changes, incremental, full):
    """The service replaces both, so both are sent."""
    sender = RecordingSender(Cache(incremental_cache_schedule=DAILY, full_refresh_cache_schedule=DAILY))
    await Caches(sender).change_schedules("p", "k", **changes)

    read, written = sender.requests
    assert (read.operation, written.operation) == ("cache.get_settings", "cache.update_settings")
    assert written.body == CacheSettingsUpdateRequest(
        incremental_cache_schedule=incremental, full_refresh_cache_schedule=full
    )


async def test_statuses_of_a_schema_are_selected_from_the_catalogs():
    """The operation for a schema answers HTTP 500 always, so it is not called."""
    sender = RecordingSender([CacheStatus(id="1", schema_name="a"), CacheStatus(id="2", schema_name="b")])
    found = await Caches(sender).list_statuses_in_schema("p", "c", "b")

    assert [each.id for each in found] == ["2"]
    assert [each.operation for each in sender.requests] == ["cache.list_statuses_by_catalog"]


def run_at(minute, status="COMPLETED", **more):
    return CacheExecutionInfo(
        id=str(minute), status=status, created_at=datetime(2026, 1, 1, 0, minute, tzinfo=UTC), **more
    )


@pytest.mark.parametrize(
    ("status", "state", "ended", "failure"),
    [
        (CacheStatus(status="NOT_INITIALIZED"), "NOT_INITIALIZED", False, None),
        (CacheStatus(status="COMPLETED"), "COMPLETED", True, None),
        (CacheStatus(status="FAILED"), "FAILED", False, "the run is FAILED"),
        (CacheStatus(), "UNKNOWN", False, None),
        (CacheStatus(last_incremental_cache_execution=run_at(1)), "COMPLETED", True, None),
        (CacheStatus(last_full_refresh_cache_execution=run_at(1)), "COMPLETED", True, None),
        (
            CacheStatus(
                last_incremental_cache_execution=run_at(1), last_full_refresh_cache_execution=run_at(2, "RUNNING")
            ),
            "RUNNING",
            False,
            None,
        ),
        (
            CacheStatus(
                last_incremental_cache_execution=run_at(3, "FAILED", error={"message": "no source"}),
                last_full_refresh_cache_execution=run_at(2),
            ),
            "FAILED",
            False,
            "no source",
        ),
        (
            CacheStatus(status="DELETED", last_incremental_cache_execution=run_at(1)),
            "DELETED",
            False,
            "the run is DELETED",
        ),
    ],
)
def test_the_newest_run_of_both_kinds_counts(status, state, ended, failure):
    """A first sync fills either slot; without any run the state of the cache itself is final or not."""
    polled = read_newest_run(status)

    assert (polled.state, polled.ended, polled.failure) == (state, ended, failure)


async def test_a_table_is_cached_and_its_first_sync_waited_for():
    """Create, then poll until the newest run has ended."""
    done = CacheStatus(last_full_refresh_cache_execution=run_at(1))
    sender = RecordingSender(Cache(id="k"), CacheStatus(status="NOT_INITIALIZED"), done)
    waiting = Waiting(interval=0.001, max_interval=0.001)
    found = await Caches(sender).run_create("p", CACHE, waiting=waiting)

    assert found == done
    assert [each.operation for each in sender.requests] == ["cache.create", "cache.get_status", "cache.get_status"]


async def test_a_sync_that_failed_is_an_error():
    """With the service's reason, also if it is a text."""
    sender = RecordingSender(CacheStatus(last_full_refresh_cache_execution=run_at(1, "FAILED", error="no source")))
    with pytest.raises(WorkFailedError, match="no source"):
        await Caches(sender).wait_for_sync("p", "k")


@pytest.mark.parametrize("method", ["full_refresh", "incremental_update"])
async def test_an_empty_answer_to_a_trigger_is_a_trigger(method):
    """The service has answered HTTP 200 without a body to other triggers."""
    sender = RecordingSender()
    await getattr(Caches(sender), method)("p", "k")

    assert sender.requests[0].empty == CacheTrigger()


async def test_a_cache_without_an_id():
    """It was created, so the answer is what is wrong; nothing can be polled."""
    sender = RecordingSender(Cache())
    with pytest.raises(DecodeError, match="List the statuses") as raised:
        await Caches(sender).run_create("p", CACHE)
    assert (raised.value.operation, raised.value.path) == ("cache.run_create", "$.id")
    assert len(sender.requests) == 1


async def test_the_first_sync_is_waited_for_as_told():
    """Both options reach the polls."""
    status = CacheStatus(last_full_refresh_cache_execution=CacheExecutionInfo("r", status=CacheState.RUNNING))
    done = CacheStatus(last_full_refresh_cache_execution=CacheExecutionInfo("r", status=CacheState.COMPLETED))
    heard = []
    await Caches(RecordingSender(Cache("k"), done)).run_create("p", CACHE, on_progress=heard.append)
    with pytest.raises(WaitTimeoutError):
        await Caches(RecordingSender(Cache("k"), *[status] * 50)).run_create(
            "p", CACHE, waiting=Waiting(timeout=0.01, interval=0.005)
        )

    assert heard == [done]
