"""Waiting for background work: by what the service shows, with limits, and never for another run's end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from scripted_server import ScriptedServer, answer

from peaka_async import (
    ConfigurationError,
    PeakaClient,
    RetryPolicy,
    Waiting,
    WaitStalledError,
    WaitTimeoutError,
    WorkFailedError,
)
from peaka_async.endpoints._waiting import Polled, wait
from peaka_async.endpoints.metadata import RefreshReader
from peaka_async.models import (
    CacheRun,
    ExportRequest,
    ExportStatus,
    MetadataRefreshJobStatusResult,
    MetadataRefreshMetadataRequest,
)

SWIFT = Waiting(timeout=2, stall=1, interval=0.002, max_interval=0.01)


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def peaka(server):
    async with PeakaClient("key", base_url=server.base_url, retry=RetryPolicy(attempts=1)) as peaka:
        yield peaka


def answers(server, *bodies):
    server.script(*(answer(200, body) for body in bodies))


def run(identity, status, **more):
    return {"lastFullRefreshCacheExecution": {"id": identity, "status": status, **more}}


async def test_a_refresh_is_not_taken_for_the_one_before(server, peaka):
    """The old record stays for a while after the trigger, with its end state; it counts for nothing."""
    answers(
        server,
        run("old", "COMPLETED"),
        {"status": "OK"},
        run("old", "COMPLETED"),
        run("new", "RUNNING"),
        run("new", "COMPLETED"),
    )
    status = await peaka.cache.run_full_refresh("p", "c", waiting=SWIFT)

    assert status.last_full_refresh_cache_execution.id == "new"
    assert [seen.method for seen in server.requests] == ["GET", "POST", "GET", "GET", "GET"]


async def test_the_two_runs_of_a_cache_are_apart(server, peaka):
    """The end of a full refresh is none of the incremental update's."""
    full = run("f", "COMPLETED")
    answers(
        server,
        full,
        {},
        {**full, "lastIncrementalCacheExecution": {"id": "i", "status": "RUNNING"}},
        {**full, "lastIncrementalCacheExecution": {"id": "i", "status": "COMPLETED"}},
    )
    status = await peaka.cache.run_incremental_update("p", "c", waiting=SWIFT)

    assert status.last_incremental_cache_execution.id == "i"
    assert server.requests[1].target.endswith("/cache/c/incrementalUpdate")


@pytest.mark.parametrize("state", ["CANCELLED", "CANCELED", "cancelled", "FAILED", "DELETED"])
async def test_a_bad_end_has_the_services_reason(server, peaka, state):
    """Both spellings of cancelled, and the text that the service gives."""
    answers(server, run("r", state, error={"message": "source is gone"}))

    with pytest.raises(WorkFailedError, match="source is gone") as raised:
        await peaka.cache.wait_for_run("p", "c", CacheRun.FULL_REFRESH, waiting=SWIFT)
    assert raised.value.state == "CANCELLED" if state.lower().startswith("cancel") else state


async def test_a_run_that_hangs_is_told(server, peaka):
    """RUNNING without any progress is an error of its own, and leaves the work alone."""
    at = "2026-01-01T00:00:00Z"
    answers(server, *[run("r", "RUNNING", createdAt=at, updatedAt=at)] * 100)

    with pytest.raises(WaitStalledError, match="RUNNING without progress"):
        await peaka.cache.wait_for_run(
            "p", "c", CacheRun.FULL_REFRESH, waiting=Waiting(timeout=5, stall=0.05, interval=0.002, max_interval=0.01)
        )
    assert {seen.method for seen in server.requests} == {"GET"}


async def test_a_run_that_goes_on_does_not_stall(server, peaka):
    """Progress, seen in its counters, puts the stall off; each change is reported."""
    steps = [run("r", "RUNNING", progress={"numberOfCachedRecords": number}) for number in range(20)]
    answers(server, *steps, run("r", "COMPLETED"))
    heard = []
    waiting = Waiting(timeout=5, stall=0.1, interval=0.02, max_interval=0.02)
    started = time.monotonic()
    await peaka.cache.wait_for_run("p", "c", CacheRun.FULL_REFRESH, waiting=waiting, on_progress=heard.append)

    assert time.monotonic() - started > 0.1
    assert len(heard) == 21


async def test_an_export_from_the_trigger_to_its_files(server, peaka):
    """Begin and wait; what comes back has the files."""
    answers(
        server,
        {"id": "e", "status": "PENDING"},
        {"id": "e", "status": "RUNNING"},
        {"id": "e", "status": "SUCCEEDED", "files": [{"name": "a.csv"}]},
    )
    job = await peaka.exports.run_query("p", "q", ExportRequest(), waiting=SWIFT)

    assert (job.status, job.files[0].name) == (ExportStatus.SUCCEEDED, "a.csv")


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED"])
async def test_an_export_that_fails(server, peaka, state):
    """An empty source, for one, produces no files."""
    answers(server, {"id": "e"}, {"id": "e", "status": state, "error": "produced no files"})

    with pytest.raises(WorkFailedError, match="produced no files") as raised:
        await peaka.exports.run_table("p", "c", "s", "t", ExportRequest(), waiting=SWIFT)
    assert (raised.value.state, raised.value.operation) == (state, "exports.wait")


async def test_a_materialized_query(server, peaka):
    """It shows its last end state until the refresh has begun: the start time tells them apart."""
    before, after = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    answers(
        server,
        {"status": "COMPLETED", "lastExecutionStartTime": before},
        {},
        {"status": "COMPLETED", "lastExecutionStartTime": before},
        {"status": "RUNNING", "lastExecutionStartTime": after},
        {"status": "COMPLETED", "lastExecutionStartTime": after},
    )
    status = await peaka.materialized_queries.run_refresh("p", "q", waiting=SWIFT)

    assert status.last_execution_start_time == datetime(2026, 1, 2, tzinfo=UTC)
    assert len(server.requests) == 5


async def test_a_metadata_refresh(server, peaka):
    """Its state does not say of which refresh it is: an old one is not taken for the end at once."""
    states = ["completed", "not-active", "active", "completed"]
    answers(server, {}, *({"status": state} for state in states))
    result = await peaka.metadata.run_refresh("p", MetadataRefreshMetadataRequest(catalog_id="c"), waiting=SWIFT)

    assert result.status == "COMPLETED"
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        (["completed"] * 4, (False, None)),
        (["completed"] * 5, (True, None)),
        (["failed"] * 4, (False, None)),
        (["failed"] * 5, (False, "the refresh is FAILED")),
        (["active", "failed"], (False, "the refresh is FAILED")),
        (["waiting", "completed"], (True, None)),
        (["active", "stuck"], (False, "the refresh is STUCK")),
        (["paused"] * 9, (False, None)),
    ],
)
def test_which_state_of_a_metadata_refresh_counts(states, verdict):
    """One that follows on work that was seen, or that stays."""
    judge = RefreshReader()
    looks = [judge.read(MetadataRefreshJobStatusResult(status)) for status in map(read_status, states)]

    assert (looks[-1].ended, looks[-1].failure) == verdict


def read_status(text):
    from peaka_async._codec import decode  # noqa: PLC0415 - as the service's answer is read

    return decode(b'{"status":"%s"}' % text.encode(), MetadataRefreshJobStatusResult).status


async def test_the_time_is_up():
    """The limit is kept to, also where the next look would lie beyond it."""
    started = time.monotonic()

    async def read():
        return None

    with pytest.raises(WaitTimeoutError, match="It goes on"):
        await wait(
            read, lambda _: Polled(state="RUNNING"), operation="x", waiting=Waiting(timeout=0.1, stall=None, interval=5)
        )
    assert timedelta(seconds=0.1) <= timedelta(seconds=time.monotonic() - started) < timedelta(seconds=2)


@pytest.mark.parametrize("name", ["timeout", "stall", "interval", "max_interval"])
def test_limits_that_cannot_be(name):
    """They are refused when they are given."""
    with pytest.raises(ConfigurationError, match=name):
        Waiting(**{name: 0})
