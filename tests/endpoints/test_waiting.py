"""Waiting for background work: the times of the polls, the limits and the errors, on a clock that the test controls."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from recording_sender import RecordingSender

from peaka_async import ConfigurationError, DecodeError, Waiting, WaitStalledError, WaitTimeoutError, WorkFailedError
from peaka_async.endpoints._waiting import Polled, state_name, wait
from peaka_async.endpoints.cache import Caches
from peaka_async.endpoints.exports import Exports
from peaka_async.endpoints.materialized_queries import MaterializedQueries
from peaka_async.endpoints.metadata import Metadata
from peaka_async.models import (
    CacheExecutionInfo,
    CacheExecutionProgress,
    CacheRun,
    CacheState,
    CacheStatus,
    CacheTrigger,
    ExportFile,
    ExportJobCreated,
    ExportJobResponse,
    ExportRequest,
    ExportStatus,
    MaterializedQueryState,
    MaterializedQueryStatusView,
    MetadataRefreshJobStatusResult,
    MetadataRefreshMetadataRequest,
    RefreshStatus,
)

RUNNING = Polled(state="RUNNING")
DONE = Polled(state="COMPLETED", ended=True)


@pytest.fixture(autouse=True)
def spread(monkeypatch):
    """Let pauses have no spread, and record the limits of the spread."""
    bounds = []

    def uniform(low, high):
        bounds.append((round(low, 9), round(high, 9)))
        return 1.0

    monkeypatch.setattr(random, "uniform", uniform)
    return bounds


class Work:
    """Shows scripted states, one per poll and the last one for ever, and records the times of the polls."""

    def __init__(self, clock, *shown):
        self.times, self._clock, self._began, self._shown = [], clock, clock.now, shown

    async def poll(self):
        self.times.append(self._clock.now - self._began)
        return self._shown[min(len(self.times), len(self._shown)) - 1]

    async def wait(self, **options):
        return await wait(self.poll, lambda shown: shown, operation="group.work", **options)


async def test_polls_become_rarer(clock, spread):
    """Each pause is 1.5 times the previous one, up to 15 seconds, and varies by 20 %."""
    work = Work(clock, *[RUNNING] * 10, DONE)
    found = await work.wait(waiting=Waiting())

    pauses = [later - earlier for earlier, later in zip(work.times, work.times[1:], strict=False)]
    assert found is DONE
    assert pauses == pytest.approx([1, 1.5, 2.25, 3.375, 5.0625, 7.59375, 11.390625, 15, 15, 15])
    assert set(spread) == {(0.8, 1.2)}


async def test_the_spread_lengthens_and_shortens_a_pause(clock, monkeypatch):
    """The spread is a factor, and no pause is longer than `max_interval`."""
    work = Work(clock, *[RUNNING] * 3, DONE)
    monkeypatch.setattr(random, "uniform", lambda *_: 1.2)
    await work.wait(waiting=Waiting(interval=2, max_interval=3.3))

    assert work.times == pytest.approx([0, 2.4, 2.4 + 3.3, 2.4 + 3.3 + 3.3])


@pytest.mark.parametrize("limits", [{"timeout": None}, {"stall": None}, {"timeout": None, "stall": None}])
async def test_without_a_limit_it_goes_on(clock, limits):
    """The other limit still holds."""
    steps = [Polled(state="RUNNING", progress=number) for number in range(400)]
    work = Work(clock, *steps, DONE)
    wide = {"timeout": 10_000, "stall": 100, **limits}

    assert await work.wait(waiting=Waiting(interval=10, **wide)) is DONE
    assert work.times[-1] > 3600


async def test_the_longest_pause_holds_from_the_first(clock):
    """This holds even if `interval` is longer."""
    work = Work(clock, RUNNING, RUNNING, DONE)
    await work.wait(waiting=Waiting(interval=60, max_interval=10))

    assert work.times == pytest.approx([0, 10, 20])


async def test_the_time_is_up(clock):
    """The last poll is at the limit itself, and the error says that the work goes on."""
    work = Work(clock, RUNNING)
    with pytest.raises(WaitTimeoutError) as raised:
        await work.wait(waiting=Waiting(timeout=9, stall=None, interval=4, max_interval=100))

    assert work.times == pytest.approx([0, 4, 9])
    assert str(raised.value).startswith("group.work: the work is RUNNING after 9 s. It goes on")
    assert raised.value.operation == "group.work"


async def test_work_that_hangs_is_told(clock):
    """The limit counts from the last progress; the last poll is at the limit itself."""
    work = Work(clock, RUNNING, Polled(state="RUNNING", progress=1))
    with pytest.raises(WaitStalledError) as raised:
        await work.wait(waiting=Waiting(timeout=None, stall=7, interval=4, max_interval=100))

    assert work.times == pytest.approx([0, 4, 10, 11])
    assert str(raised.value).startswith("group.work: the work is RUNNING without progress for 7 s. It may hang")
    assert raised.value.operation == "group.work"


async def test_each_change_is_reported_once(clock):
    """A state that was reported before is not reported again; the end is, if it is a change."""
    shown = [Polled(state="RUNNING", progress=each) for each in (1, 1, 2, 2, 1)]
    heard = []
    await Work(clock, *shown, DONE).wait(waiting=Waiting(), on_progress=heard.append)

    assert [each.progress for each in heard] == [1, 2, 1, None]


async def test_a_bad_end(clock):
    """The error has the reason, the state and the operation; the failed state is reported first."""
    heard = []
    with pytest.raises(WorkFailedError, match="source is gone") as raised:
        await Work(clock, RUNNING, Polled(state="FAILED", failure="source is gone", progress=1)).wait(
            waiting=Waiting(), on_progress=heard.append
        )

    assert (raised.value.state, raised.value.operation) == ("FAILED", "group.work")
    assert [each.state for each in heard] == ["RUNNING", "FAILED"]


async def test_a_bad_end_at_the_limit_is_a_bad_end(clock):
    """A limit that passes at the same time does not hide the failure."""
    work = Work(clock, RUNNING, Polled(state="FAILED", failure="no"))
    with pytest.raises(WorkFailedError):
        await work.wait(waiting=Waiting(timeout=1, stall=1))
    assert await Work(clock, RUNNING, DONE).wait(waiting=Waiting(timeout=1, stall=1)) is DONE


def test_the_limits_unless_told_otherwise():
    """One hour in total, 15 minutes without progress, and 1 to 15 seconds between polls."""
    assert Waiting() == Waiting(timeout=3600, stall=900, interval=1, max_interval=15)


@pytest.mark.parametrize("name", ["timeout", "stall", "interval", "max_interval"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_that_cannot_be(name, value):
    """Invalid limits raise an error; fractions of a second are valid."""
    with pytest.raises(ConfigurationError, match=f"Waiting: {name} must be more than 0"):
        Waiting(**{name: value})
    assert getattr(Waiting(**{name: 0.5}), name) == 0.5


def test_the_name_of_a_state():
    """The name is in upper case, however the service writes it."""
    assert [state_name(each) for each in ("active", CacheState.FAILED, None, "")] == [
        "ACTIVE",
        "FAILED",
        "UNKNOWN",
        "UNKNOWN",
    ]


# ── The flows of the groups ──────────────────────────────────────────────────────────────────────────────────────────

PATIENT = Waiting(interval=3, max_interval=3)


def run(identity, status, **more):
    return CacheExecutionInfo(id=identity, status=status, **more)


def targets(sender):
    return [(request.method, request.target()) for request in sender.requests]


async def test_a_refresh_is_not_taken_for_the_one_before(clock):
    """The previous record, with its final state, stays for a while after the trigger. It is ignored."""
    old = CacheStatus(last_full_refresh_cache_execution=run("old", CacheState.COMPLETED))
    new = CacheStatus(last_full_refresh_cache_execution=run("new", CacheState.COMPLETED))
    busy = CacheStatus(last_full_refresh_cache_execution=run("new", CacheState.RUNNING))
    sender = RecordingSender(old, CacheTrigger(), old, busy, new)
    heard = []
    began = clock.now
    found = await Caches(sender).run_full_refresh("p", "k", waiting=PATIENT, on_progress=heard.append)

    read = ("GET", "/data/projects/p/cache/k/status?excludeLogs=true")
    assert found is new
    assert heard == [old, busy, new]
    assert targets(sender) == [read, ("POST", "/data/projects/p/cache/k/fullRefreshUpdate"), read, read, read]
    assert clock.now - began == pytest.approx(6)


async def test_the_two_runs_of_a_cache_are_apart(clock):
    """The end of a full refresh does not end the wait for an incremental update."""
    full = run("f", CacheState.COMPLETED)
    before = CacheStatus(last_full_refresh_cache_execution=full)
    busy = CacheStatus(None, None, None, None, None, run("i", CacheState.RUNNING), full)
    done = CacheStatus(None, None, None, None, None, run("i", CacheState.COMPLETED), full)
    sender = RecordingSender(before, CacheTrigger(), before, busy, done)
    heard = []
    began = clock.now
    found = await Caches(sender).run_incremental_update("p", "k", waiting=PATIENT, on_progress=heard.append)

    assert found is done
    assert heard == [before, busy, done]
    assert targets(sender)[1] == ("POST", "/data/projects/p/cache/k/incrementalUpdate")
    assert (len(sender.requests), clock.now - began) == (5, pytest.approx(6))


@pytest.mark.parametrize("kind", CacheRun)
async def test_a_run_of_a_cache_that_fails(clock, kind):
    """A wait without a trigger reads the current record."""
    gone = run("r", CacheState.FAILED, error={"message": "source is gone"})
    status = CacheStatus(last_full_refresh_cache_execution=gone, last_incremental_cache_execution=gone)
    with pytest.raises(WorkFailedError, match="source is gone") as raised:
        await Caches(RecordingSender(status)).wait_for_run("p", "k", kind)
    assert (raised.value.state, raised.value.operation) == ("FAILED", "cache.wait_for_run")


async def test_a_run_that_counts_rows_does_not_stall(clock):
    """Growing counters are progress, so the run is not stalled; each change is reported."""
    steps = [
        CacheStatus(
            last_full_refresh_cache_execution=run(
                "r", CacheState.RUNNING, progress=CacheExecutionProgress(number_of_cached_records=number)
            )
        )
        for number in range(20)
    ]
    done = CacheStatus(last_full_refresh_cache_execution=run("r", CacheState.COMPLETED))
    heard = []
    waiting = Waiting(timeout=100, stall=5, interval=4, max_interval=4)
    caches = Caches(RecordingSender(*steps, done))
    found = await caches.wait_for_run("p", "k", CacheRun.FULL_REFRESH, waiting=waiting, on_progress=heard.append)

    assert (found, heard) == (done, [*steps, done])


async def test_exports_from_the_trigger_to_their_files(clock):
    """The export is started and polled, and the result has the files."""
    steps = [
        ExportJobResponse("e", ExportStatus.PENDING),
        ExportJobResponse("e", ExportStatus.SUCCEEDED, files=[ExportFile("a.csv")]),
    ]
    sender = RecordingSender(ExportJobCreated("e"), *steps, ExportJobCreated("e2"), *steps)
    exports, heard, export = Exports(sender), [], ExportRequest(limit=5)
    began = clock.now
    first = await exports.run_query("p", "q", export, waiting=PATIENT, on_progress=heard.append)
    second = await exports.run_table("p", "c", "s", "t", export, waiting=PATIENT, on_progress=heard.append)

    assert first == second == steps[-1]
    assert heard == steps * 2
    assert clock.now - began == pytest.approx(6)
    assert targets(sender) == [
        ("POST", "/data/projects/p/queries/q/exports"),
        *[("GET", "/data/projects/p/exports/e")] * 2,
        ("POST", "/data/projects/p/catalogs/c/schemas/s/tables/t/exports"),
        *[("GET", "/data/projects/p/exports/e2")] * 2,
    ]
    assert [request.body for request in sender.requests if request.method == "POST"] == [export, export]


async def test_an_export_without_an_id(clock):
    """The export was accepted, so the answer is invalid: there is no id to poll."""
    sender = RecordingSender(ExportJobCreated(), ExportJobCreated())
    with pytest.raises(DecodeError, match="List the exports"):
        await Exports(sender).run_query("p", "q", ExportRequest())
    with pytest.raises(DecodeError, match="List the exports") as raised:
        await Exports(sender).run_table("p", "c", "s", "t", ExportRequest())
    assert (raised.value.operation, raised.value.path) == ("exports.wait", "$.id")
    assert len(sender.requests) == 2


async def test_an_export_that_fails(clock):
    """An export of an empty source, for example, produces no files."""
    job = ExportJobResponse("e", ExportStatus.FAILED, error="produced no files")
    with pytest.raises(WorkFailedError, match="produced no files") as raised:
        await Exports(RecordingSender(job)).wait("p", "e")
    assert (raised.value.state, raised.value.operation) == ("FAILED", "exports.wait")


def refresh(status, day):
    begun = None if day is None else datetime(2026, 1, day, tzinfo=UTC)
    return MaterializedQueryStatusView(status=status, last_execution_start_time=begun)


@pytest.mark.parametrize("day", [1, None])
async def test_a_materialized_query(clock, day):
    """The status shows the last final state until the refresh begins, and COMPLETED if there was no refresh yet."""
    before = refresh(MaterializedQueryState.COMPLETED, day)
    busy = refresh(MaterializedQueryState.RUNNING, 2)
    done = refresh(MaterializedQueryState.COMPLETED, 2)
    sender = RecordingSender(before, None, before, busy, done)
    heard = []
    began = clock.now
    found = await MaterializedQueries(sender).run_refresh("p", "q", waiting=PATIENT, on_progress=heard.append)

    read = ("GET", "/data/projects/p/materialized-queries/q/status")
    assert (found, heard) == (done, [before, busy, done])
    assert targets(sender) == [read, ("POST", "/data/projects/p/materialized-queries/q/refresh"), read, read, read]
    assert clock.now - began == pytest.approx(6)


async def test_the_refresh_that_is_there_is_waited_for(clock):
    """Without `after` the end of the current refresh counts; with it, the end of the next one."""
    done = refresh(MaterializedQueryState.COMPLETED, 1)
    later = refresh(MaterializedQueryState.CANCELED, 2)
    queries = MaterializedQueries(RecordingSender(done, done, later))
    began, heard = clock.now, []
    assert await queries.wait_for_refresh("p", "q", waiting=PATIENT, on_progress=heard.append) is done
    assert (clock.now, heard) == (began, [done])

    never = refresh(MaterializedQueryState.COMPLETED, None)
    assert await MaterializedQueries(RecordingSender(never)).wait_for_refresh("p", "q") is never

    with pytest.raises(WorkFailedError) as raised:
        await queries.wait_for_refresh("p", "q", after=done.last_execution_start_time)
    assert (raised.value.state, raised.value.operation) == ("CANCELED", "materialized_queries.wait_for_refresh")


async def test_a_metadata_refresh(clock):
    """A state does not say which refresh it belongs to, so a final state does not end the wait at once."""
    states = [RefreshStatus.COMPLETED, RefreshStatus.NOT_ACTIVE, RefreshStatus.ACTIVE, RefreshStatus.COMPLETED]
    answers = [MetadataRefreshJobStatusResult(state) for state in states]
    sender = RecordingSender({}, *answers)
    asked, heard = MetadataRefreshMetadataRequest(catalog_id="c"), []
    began = clock.now
    result = await Metadata(sender).run_refresh("p", asked, waiting=PATIENT, on_progress=heard.append)

    assert (result, heard) == (answers[-1], answers)
    assert targets(sender) == [("POST", "/metadata/p/refresh"), *[("GET", "/metadata/p/refresh/c")] * 4]
    assert sender.requests[0].body is asked
    assert clock.now - began == pytest.approx(9)


async def test_a_metadata_refresh_without_a_catalog(clock):
    """Without a catalog there is nothing to poll, so nothing is sent."""
    sender = RecordingSender()
    with pytest.raises(ConfigurationError, match=r"metadata\.run_refresh: catalog_id is missing"):
        await Metadata(sender).run_refresh("p", MetadataRefreshMetadataRequest())
    assert sender.requests == []


async def test_a_metadata_refresh_that_is_stuck(clock):
    """The refresh was seen running, so its failure counts at once."""
    states = [RefreshStatus.ACTIVE, RefreshStatus.STUCK]
    sender = RecordingSender(*map(MetadataRefreshJobStatusResult, states))
    with pytest.raises(WorkFailedError) as raised:
        await Metadata(sender).wait_for_refresh("p", "c")
    assert (raised.value.state, raised.value.operation) == ("STUCK", "metadata.wait_for_refresh")
