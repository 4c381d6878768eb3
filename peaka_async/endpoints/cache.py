"""Caches: copies of tables that the service keeps up to date with their source."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.endpoints._paging import Pages, ResultPage, made_token, read_offset
from peaka_async.endpoints._waiting import DEFAULT_WAITING, Polled, Waiting, state_name, wait
from peaka_async.errors import DecodeError
from peaka_async.models.cache import (
    Cache,
    CacheCreateStatus,
    CacheExecutionInfo,
    CacheRequest,
    CacheRun,
    CacheSettingsUpdateRequest,
    CacheState,
    CacheStatus,
    CacheTrigger,
    Schedule,
)


class Caches(Group):
    """The caches of a project."""

    async def create(self, project_id: str, cache: CacheRequest) -> Cache:
        """Cache a table. If the table is already cached, the service returns that cache.

        [API page](https://docs.peaka.com/api-reference/cache/create-cache)

        Raises:
            ServerError: the cache is being filled for the first time (HTTP 500). This does no harm.
        """
        return await self._send(
            Request(
                "cache.create",
                "POST",
                "/data/projects/{project_id}/cache",
                path={"project_id": project_id},
                body=cache,
                returns=Cache,
                safety=Safety.ONCE,
            )
        )

    async def create_batch(self, project_id: str, caches: list[CacheRequest]) -> list[CacheCreateStatus]:
        """Cache several tables. If one fails, the others are still cached.

        [API page](https://docs.peaka.com/api-reference/cache/create-batch-cache)
        """
        return await self._send(
            Request(
                "cache.create_batch",
                "POST",
                "/data/projects/{project_id}/cache/batch",
                path={"project_id": project_id},
                body=caches,
                returns=list[CacheCreateStatus],
                safety=Safety.ONCE,
            )
        )

    async def list_statuses(self, project_id: str) -> list[CacheStatus]:
        """List the states of the project's caches.

        [API page](https://docs.peaka.com/api-reference/cache/get-all-cache-statuses-of-a-project)
        """
        return await self._send(
            Request(
                "cache.list_statuses",
                "GET",
                "/data/projects/{project_id}/cache/status",
                path={"project_id": project_id},
                returns=list[CacheStatus],
                safety=Safety.SAFE,
            )
        )

    async def get_settings(self, project_id: str, cache_id: str) -> Cache:
        """Get a cache's table and schedules.

        [API page](https://docs.peaka.com/api-reference/cache/get-cache-settings)

        Raises:
            NotFoundError: there is no such cache.
        """
        return await self._send(
            Request(
                "cache.get_settings",
                "GET",
                "/data/projects/{project_id}/cache/{cache_id}",
                path={"project_id": project_id, "cache_id": cache_id},
                returns=Cache,
                safety=Safety.SAFE,
            )
        )

    async def update_settings(self, project_id: str, cache_id: str, settings: CacheSettingsUpdateRequest) -> Cache:
        """Replace both schedules of a cache.

        [API page](https://docs.peaka.com/api-reference/cache/update-cache-settings)

        Raises:
            NotFoundError: there is no such cache.
        """
        return await self._send(
            Request(
                "cache.update_settings",
                "PUT",
                "/data/projects/{project_id}/cache/{cache_id}",
                path={"project_id": project_id, "cache_id": cache_id},
                body=settings,
                returns=Cache,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete(self, project_id: str, cache_id: str) -> None:
        """Delete a cache with its data, and stop its runs.

        [API page](https://docs.peaka.com/api-reference/cache/delete-cache)
        """
        return await self._send(
            Request(
                "cache.delete",
                "DELETE",
                "/data/projects/{project_id}/cache/{cache_id}",
                path={"project_id": project_id, "cache_id": cache_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def cancel_full_refresh(self, project_id: str, cache_id: str) -> None:
        """Cancel the running full refresh of a cache.

        [API page](https://docs.peaka.com/api-reference/cache/cancel-running-full-refresh)

        Raises:
            ServerError: the refresh started less than about 300 ms ago (HTTP 500).
        """
        return await self._send(
            Request(
                "cache.cancel_full_refresh",
                "POST",
                "/data/projects/{project_id}/cache/{cache_id}/cancelFullRefreshUpdate",
                path={"project_id": project_id, "cache_id": cache_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def cancel_incremental_update(self, project_id: str, cache_id: str) -> None:
        """Cancel the running incremental update of a cache.

        [API page](https://docs.peaka.com/api-reference/cache/cancel-running-incremental-update)
        """
        return await self._send(
            Request(
                "cache.cancel_incremental_update",
                "POST",
                "/data/projects/{project_id}/cache/{cache_id}/cancelIncrementalUpdate",
                path={"project_id": project_id, "cache_id": cache_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def list_executions(
        self, project_id: str, cache_id: str, *, limit: int | None = None, offset: int | None = None
    ) -> list[CacheExecutionInfo]:
        """List one page of a cache's runs, the newest first; 10 runs unless `limit` is set.

        [API page](https://docs.peaka.com/api-reference/cache/get-cache-execution-history)
        """
        return await self._send(
            Request(
                "cache.list_executions",
                "GET",
                "/data/projects/{project_id}/cache/{cache_id}/executionHistory",
                path={"project_id": project_id, "cache_id": cache_id},
                query={"limit": limit, "offset": offset},
                returns=list[CacheExecutionInfo],
                safety=Safety.SAFE,
            )
        )

    async def full_refresh(self, project_id: str, cache_id: str) -> CacheTrigger:
        """Start to rebuild a cache.

        [API page](https://docs.peaka.com/api-reference/cache/trigger-full-refresh-cache-update)

        Raises:
            NotFoundError: there is no such cache.
        """
        return await self._send(
            Request(
                "cache.full_refresh",
                "POST",
                "/data/projects/{project_id}/cache/{cache_id}/fullRefreshUpdate",
                path={"project_id": project_id, "cache_id": cache_id},
                returns=CacheTrigger,
                empty=CacheTrigger(),
                safety=Safety.ONCE,
            )
        )

    async def incremental_update(self, project_id: str, cache_id: str) -> CacheTrigger:
        """Start to bring a cache up to date.

        [API page](https://docs.peaka.com/api-reference/cache/trigger-incremental-cache-update)

        Raises:
            NotFoundError: there is no such cache.
        """
        return await self._send(
            Request(
                "cache.incremental_update",
                "POST",
                "/data/projects/{project_id}/cache/{cache_id}/incrementalUpdate",
                path={"project_id": project_id, "cache_id": cache_id},
                returns=CacheTrigger,
                empty=CacheTrigger(),
                safety=Safety.ONCE,
            )
        )

    async def get_status(self, project_id: str, cache_id: str, *, exclude_logs: bool | None = None) -> CacheStatus:
        """Get the state of a cache and its last runs.

        [API page](https://docs.peaka.com/api-reference/cache/get-cache-status)

        Raises:
            NotFoundError: there is no such cache.
        """
        return await self._send(
            Request(
                "cache.get_status",
                "GET",
                "/data/projects/{project_id}/cache/{cache_id}/status",
                path={"project_id": project_id, "cache_id": cache_id},
                query={"exclude_logs": exclude_logs},
                returns=CacheStatus,
                safety=Safety.SAFE,
            )
        )

    async def list_statuses_by_catalog(self, project_id: str, catalog_id: str) -> list[CacheStatus]:
        """List the states of a catalog's caches.

        [API page](https://docs.peaka.com/api-reference/cache/get-all-cache-statuses-of-a-catalog)
        """
        return await self._send(
            Request(
                "cache.list_statuses_by_catalog",
                "GET",
                "/data/projects/{project_id}/catalog/{catalog_id}/cache/status",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=list[CacheStatus],
                safety=Safety.SAFE,
            )
        )

    async def list_statuses_by_schema(self, project_id: str, catalog_id: str, schema_name: str) -> list[CacheStatus]:
        """List the states of a schema's caches.

        [API page](https://docs.peaka.com/api-reference/cache/get-all-cache-statuses-of-a-schema)

        Raises:
            ServerError: always, so far (HTTP 500). Use `list_statuses_in_schema`.
        """
        return await self._send(
            Request(
                "cache.list_statuses_by_schema",
                "GET",
                "/data/projects/{project_id}/catalog/{catalog_id}/schema/{schema_name}/cache/status",
                path={"project_id": project_id, "catalog_id": catalog_id, "schema_name": schema_name},
                returns=list[CacheStatus],
                safety=Safety.SAFE,
            )
        )

    async def list_statuses_in_schema(self, project_id: str, catalog_id: str, schema_name: str) -> list[CacheStatus]:
        """List the states of a schema's caches, selected from those of its catalog."""
        found = await self.list_statuses_by_catalog(project_id, catalog_id)
        return [status for status in found if status.schema_name == schema_name]

    async def change_schedules(
        self,
        project_id: str,
        cache_id: str,
        *,
        incremental: Schedule | None = None,
        full_refresh: Schedule | None = None,
    ) -> Cache:
        """Change one or both schedules of a cache. A schedule that is left out does not change.

        `update_settings` replaces both schedules, so the settings are read first. A change by another caller at the
        same time can be lost.

        Raises:
            NotFoundError: there is no such cache.
        """
        now = await self.get_settings(project_id, cache_id)
        settings = CacheSettingsUpdateRequest(
            incremental_cache_schedule=incremental or now.incremental_cache_schedule,
            full_refresh_cache_schedule=full_refresh or now.full_refresh_cache_schedule,
        )
        return await self.update_settings(project_id, cache_id, settings)

    def list_executions_pages(
        self, project_id: str, cache_id: str, *, page_size: int = 50, resume_token: str | None = None
    ) -> Pages[CacheExecutionInfo]:
        """List all runs of a cache, the newest first, fetched a page at a time."""

        async def fetch(token: str | None) -> ResultPage[CacheExecutionInfo]:
            at = read_offset("runs", token)
            found = await self.list_executions(project_id, cache_id, limit=page_size, offset=at)
            more = made_token("runs", at + len(found)) if len(found) >= page_size else None
            return ResultPage(tuple(found), more)

        return Pages(fetch, resume_token=resume_token)

    async def run_create(
        self,
        project_id: str,
        cache: CacheRequest,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[CacheStatus], object] | None = None,
    ) -> CacheStatus:
        """Cache a table and wait for the first sync to end. After that, reads return all rows.

        Raises:
            WorkFailedError: the sync failed or was cancelled, with the service's reason.
            WaitTimeoutError: the sync has not ended in time; it goes on.
            WaitStalledError: the sync shows no progress.
            DecodeError: the cache was created, but the answer holds no id.
        """
        made = await self.create(project_id, cache)
        if made.id is None:
            msg = "the cache was created, but the answer holds no id. List the statuses to find it."
            raise DecodeError(msg, operation="cache.run_create", path="$.id")
        return await self.wait_for_sync(project_id, made.id, waiting=waiting, on_progress=on_progress)

    async def wait_for_sync(
        self,
        project_id: str,
        cache_id: str,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[CacheStatus], object] | None = None,
    ) -> CacheStatus:
        """Wait for the newest run of a cache to end, incremental or full. The first sync can be of either kind.

        Raises:
            WorkFailedError: the run failed or was cancelled, with the service's reason.
            WaitTimeoutError: the run has not ended in time; it goes on.
            WaitStalledError: the run shows no progress.
        """
        return await wait(
            functools.partial(self._read, project_id, cache_id),
            read_newest_run,
            operation="cache.wait_for_sync",
            waiting=waiting,
            on_progress=on_progress,
        )

    async def run_full_refresh(
        self,
        project_id: str,
        cache_id: str,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[CacheStatus], object] | None = None,
    ) -> CacheStatus:
        """Rebuild a cache and wait for the run to end.

        Raises:
            WorkFailedError: the run failed or was cancelled, with the service's reason.
            WaitTimeoutError: the run has not ended in time; it goes on.
            WaitStalledError: the run shows no progress.
        """
        before = run_id(await self._read(project_id, cache_id), CacheRun.FULL_REFRESH)
        await self.full_refresh(project_id, cache_id)
        return await self.wait_for_run(
            project_id, cache_id, CacheRun.FULL_REFRESH, after=before, waiting=waiting, on_progress=on_progress
        )

    async def run_incremental_update(
        self,
        project_id: str,
        cache_id: str,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[CacheStatus], object] | None = None,
    ) -> CacheStatus:
        """Bring a cache up to date and wait for the run to end.

        Raises:
            WorkFailedError: the run failed or was cancelled, with the service's reason.
            WaitTimeoutError: the run has not ended in time; it goes on.
            WaitStalledError: the run shows no progress.
        """
        before = run_id(await self._read(project_id, cache_id), CacheRun.INCREMENTAL)
        await self.incremental_update(project_id, cache_id)
        return await self.wait_for_run(
            project_id, cache_id, CacheRun.INCREMENTAL, after=before, waiting=waiting, on_progress=on_progress
        )

    async def wait_for_run(
        self,
        project_id: str,
        cache_id: str,
        run: CacheRun,
        *,
        after: str | None = None,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[CacheStatus], object] | None = None,
    ) -> CacheStatus:
        """Wait for a run of a cache to end.

        The status of a cache shows the last run of each kind until the next one begins. To wait for a new run, pass the
        id of the previous run as `after`. Without `after` this waits for the run that the status shows now.

        Raises:
            WorkFailedError: the run failed or was cancelled, with the service's reason.
            WaitTimeoutError: the run has not ended in time; it goes on.
            WaitStalledError: the run shows no progress.
        """
        return await wait(
            functools.partial(self._read, project_id, cache_id),
            functools.partial(read_run, run=run, after=after),
            operation="cache.wait_for_run",
            waiting=waiting,
            on_progress=on_progress,
        )

    async def _read(self, project_id: str, cache_id: str) -> CacheStatus:
        return await self.get_status(project_id, cache_id, exclude_logs=True)


def _slot(status: CacheStatus, run: CacheRun) -> CacheExecutionInfo | None:
    if run is CacheRun.INCREMENTAL:
        return status.last_incremental_cache_execution
    return status.last_full_refresh_cache_execution


def run_id(status: CacheStatus, run: CacheRun) -> str | None:
    """The id of the last run; None if the cache has not run yet."""
    found = _slot(status, run)
    return None if found is None else found.id


def read_run(status: CacheStatus, *, run: CacheRun, after: str | None) -> Polled:
    """Read the run that follows the one with the id `after` from a status."""
    found = _slot(status, run)
    if found is None or (after is not None and found.id == after):
        return Polled(state="NOT BEGUN")
    return _polled(found)


def read_newest_run(status: CacheStatus) -> Polled:
    """Read the newest run of both kinds from a status; if it shows none, the state of the cache itself."""
    runs = [found for run in CacheRun if (found := _slot(status, run)) is not None]
    if status.status == CacheState.DELETED or not runs:
        return _polled(CacheExecutionInfo(status=status.status))
    # Compared as texts, because an invalid timestamp stays text.
    return _polled(max(runs, key=lambda found: str(found.created_at or "")))


def _polled(run: CacheExecutionInfo) -> Polled:
    state = state_name(run.status)
    progress = (run.id, state, run.updated_at, run.progress)
    if run.status == CacheState.COMPLETED:
        return Polled(state=state, ended=True, progress=progress)
    if run.status in {CacheState.FAILED, CacheState.CANCELLED, CacheState.DELETED}:
        return Polled(state=state, failure=_reason(run.error) or f"the run is {state}", progress=progress)
    return Polled(state=state, progress=progress)


def _reason(error: dict[str, object] | str | None) -> str | None:
    """The service's reason, from a text or an object of undocumented form."""
    if not error:
        return None
    if isinstance(error, str):
        return error
    for name in ("message", "reason", "error"):
        found = error.get(name)
        if isinstance(found, str) and found:
            return found
    return json.dumps(error, default=str)
