"""When background work has ended, by what the service shows of each kind; pure."""

from __future__ import annotations

import json
from datetime import datetime

from peaka_async._waiting import Look
from peaka_async.models.cache import CacheExecutionInfo, CacheRun, CacheState, CacheStatus
from peaka_async.models.exports import ExportJobResponse, ExportStatus
from peaka_async.models.materialized_queries import MaterializedQueryState, MaterializedQueryStatusView
from peaka_async.models.metadata import MetadataRefreshJobStatusResult, RefreshStatus

_LOOKS_AT_AN_OLD_STATE = 5


def _slot(status: CacheStatus, run: CacheRun) -> CacheExecutionInfo | None:
    if run is CacheRun.INCREMENTAL:
        return status.last_incremental_cache_execution
    return status.last_full_refresh_cache_execution


def slot_id(status: CacheStatus, run: CacheRun) -> str | None:
    """The id of the record of the last run; None where there is none."""
    found = _slot(status, run)
    return None if found is None else found.id


def judge_cache(status: CacheStatus, *, run: CacheRun, after: str | None) -> Look:
    """Look at the record of a run that is not the one before."""
    found = _slot(status, run)
    if found is None or (after is not None and found.id == after):
        return Look(state="NOT BEGUN")
    state = _name(found.status)
    mark = (found.id, state, found.updated_at, found.progress)
    if found.status == CacheState.COMPLETED:
        return Look(state=state, ended=True, mark=mark)
    if found.status in {CacheState.FAILED, CacheState.CANCELLED, CacheState.DELETED}:
        return Look(state=state, failure=_reason(found.error) or f"the run is {state}", mark=mark)
    return Look(state=state, mark=mark)


def judge_export(job: ExportJobResponse) -> Look:
    """Look at an export."""
    state = _name(job.status)
    if job.status == ExportStatus.SUCCEEDED:
        return Look(state=state, ended=True, mark=state)
    if job.status in {ExportStatus.FAILED, ExportStatus.CANCELLED, ExportStatus.EXPIRED}:
        return Look(state=state, failure=job.error or f"the export is {state}", mark=state)
    return Look(state=state, mark=(state, job.row_count, job.bytes))


def judge_refresh(status: MaterializedQueryStatusView, *, after: datetime | None) -> Look:
    """Look at a refresh that is not the one before."""
    state = _name(status.status)
    if after is not None and status.last_execution_start_time == after:
        return Look(state="NOT BEGUN")
    if status.status == MaterializedQueryState.COMPLETED:
        return Look(state=state, ended=True, mark=state)
    if status.status in {MaterializedQueryState.FAILED, MaterializedQueryState.CANCELED}:
        return Look(state=state, failure=f"the refresh of {status.query_name or 'the query'} is {state}", mark=state)
    return Look(state=state, mark=(state, status.last_update_time))


class MetadataJudge:
    """Looks at a metadata refresh; its state says nothing of which refresh it is, so it counts its looks."""

    def __init__(self) -> None:
        self._looks = 0
        self._seen_running = False

    def judge(self, result: MetadataRefreshJobStatusResult) -> Look:
        """Look at the state."""
        self._looks += 1
        state = _name(result.status)
        old = not self._seen_running and self._looks < _LOOKS_AT_AN_OLD_STATE
        if result.status in {RefreshStatus.COMPLETED, RefreshStatus.NOT_ACTIVE}:
            return Look(state=state, ended=not old, mark=state)
        if result.status in {RefreshStatus.FAILED, RefreshStatus.STUCK}:
            return Look(state=state, failure=None if old else f"the refresh is {state}", mark=state)
        self._seen_running = True
        return Look(state=state, mark=state)


def _name(state: str | None) -> str:
    return str(state or "UNKNOWN").upper()


def _reason(error: dict[str, object] | None) -> str | None:
    """The service's own reason, out of an object whose form is not documented."""
    if not error:
        return None
    for name in ("message", "reason", "error"):
        found = error.get(name)
        if isinstance(found, str) and found:
            return found
    return json.dumps(error, default=str)
