"""Caches: copies of tables that are kept up to date with their source."""

from __future__ import annotations

import uuid
from datetime import timedelta

from peaka_async.emulator._clock import iso
from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._groups.catalogs import catalog_in
from peaka_async.emulator._operation import Call, Operation, Refusal, optional_object, text, unreadable, wrong_request
from peaka_async.emulator._schedule import seconds_of
from peaka_async.emulator._state import INTERNAL_CATALOG, ProjectRecord, Run, StoredCache
from peaka_async.emulator._world import Oddity, World

_INCREMENTAL, _FULL = "INCREMENTAL", "FULL_REFRESH"
_HISTORY = timedelta(days=14)
_PAGE = 10


class Caches:
    """The caches of a project.

    The record of a run appears some time after its trigger; then the run begins, and then it ends. Each of the two
    kinds of runs has a slot, which keeps its record until the next run of that kind has begun.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        world.on("cache run begins", self._begins)
        world.on("cache run ends", self._ends)
        world.on("cache run is scheduled", self._is_scheduled)
        world.on("cache is deleted", self._is_deleted)

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/data/projects/{projectId}/cache"
        one = f"{all_}/{{cacheId}}"
        catalog = "/data/projects/{projectId}/catalog/{catalogId}"
        return (
            Operation("cache.create", "POST", all_, self._create),
            Operation("cache.create_batch", "POST", f"{all_}/batch", self._create_batch),
            Operation("cache.list_statuses", "GET", f"{all_}/status", self._list_statuses),
            Operation("cache.get_settings", "GET", one, self._get_settings),
            Operation("cache.update_settings", "PUT", one, self._update_settings),
            Operation("cache.delete", "DELETE", one, self._delete),
            Operation("cache.cancel_full_refresh", "POST", f"{one}/cancelFullRefreshUpdate", self._cancel_full),
            Operation(
                "cache.cancel_incremental_update", "POST", f"{one}/cancelIncrementalUpdate", self._cancel_incremental
            ),
            Operation("cache.list_executions", "GET", f"{one}/executionHistory", self._list_executions),
            Operation("cache.full_refresh", "POST", f"{one}/fullRefreshUpdate", self._full_refresh),
            Operation("cache.incremental_update", "POST", f"{one}/incrementalUpdate", self._incremental_update),
            Operation("cache.get_status", "GET", f"{one}/status", self._get_status),
            Operation("cache.list_statuses_by_catalog", "GET", f"{catalog}/cache/status", self._list_catalog_statuses),
            Operation(
                "cache.list_statuses_by_schema",
                "GET",
                f"{catalog}/schema/{{schemaName}}/cache/status",
                self._list_schema_statuses,
            ),
        )

    def _create(self, call: Call) -> object:
        return self._cached(self._world.project(call), call.json_object())

    def _create_batch(self, call: Call) -> object:
        """Create each cache separately: if one fails, the others are still created."""
        project = self._world.project(call)
        return [self._one_of_batch(project, body) for body in call.json_objects()]

    def _one_of_batch(self, project: ProjectRecord, body: dict[str, object]) -> dict[str, object]:
        try:
            return {"success": True, "error": None, "cache": self._cached(project, body)}
        except Refusal as refusal:
            error = refusal.body
            if not self._world.deviates(Deviation.BATCH_ERROR):
                error = error["message"] if isinstance(error, dict) else str(error)
            return {"success": False, "error": error, "cache": None}

    def _cached(self, project: ProjectRecord, body: dict[str, object]) -> dict[str, object]:
        """The cache for a request, new or existing."""
        place = text(body, "catalogId"), text(body, "schemaName"), text(body, "tableName")
        catalog_id, schema, name = place
        catalog = project.catalogs.get(catalog_id)
        table = catalog.schemas.get(schema, {}).get(name) if catalog is not None else None
        if table is None or catalog_id == INTERNAL_CATALOG:
            raise wrong_request("cannot find table or properties")
        if not table.cache_types:
            message = f"The table {schema}.{name} is not cacheable"
            raise Refusal(400, error="WrongRequestException", message=message, errorCode="TABLE_NOT_CACHEABLE")
        known = [each for each in project.caches.values() if (each.catalog_id, each.schema, each.table) == place]
        if known:
            self._refuse_again(known[0])
            return _settings(project, known[0])
        cache = StoredCache(id=str(uuid.uuid4()), catalog_id=catalog_id, schema=schema, table=name)
        self._set_schedules(project, cache, body)
        project.caches[cache.id] = cache
        # The request decides which slot the first sync fills.
        self._start(project, cache, _INCREMENTAL if cache.incremental_schedule is not None else _FULL)
        return _settings(project, cache)

    def _refuse_again(self, cache: StoredCache) -> None:
        """Refuse a second create; the answer depends on the progress of the first."""
        syncing = not cache.filled and any(run.status == "RUNNING" for run in cache.runs)
        if (syncing or cache.deleting) and self._world.deviates(Deviation.CACHE_AGAIN_WHILE_SYNCING):
            raise Refusal(500, error="Internal Server Error", message="Workflow execution is already running")
        if not self._world.deviates(Deviation.CACHE_AGAIN):
            raise wrong_request("A cache already exists for this table.", status=409)

    def _set_schedules(self, project: ProjectRecord, cache: StoredCache, body: dict[str, object]) -> None:
        """Replace both schedules; a malformed one is ignored, or refused in strict mode."""
        incremental = self._schedule(body, "incrementalCacheSchedule", cache.incremental_schedule)
        cache.full_schedule = self._schedule(body, "fullRefreshCacheSchedule", cache.full_schedule)
        cache.incremental_schedule = incremental
        cache.schedule_number += 1
        for mode in (_INCREMENTAL, _FULL):
            self._plan(project, cache, mode)

    def _schedule(
        self, body: dict[str, object], name: str, before: dict[str, object] | None
    ) -> dict[str, object] | None:
        schedule = optional_object(body, name)
        if schedule is None or schedule.get("type") == "NONE":
            return schedule
        if schedule.get("type") == "BASIC" and seconds_of(schedule.get("expression")) is not None:
            return schedule
        if self._world.deviates(Deviation.MALFORMED_SCHEDULE):
            return before
        raise unreadable(name=name, value=schedule)

    def _plan(self, project: ProjectRecord, cache: StoredCache, mode: str) -> None:
        schedule = cache.incremental_schedule if mode == _INCREMENTAL else cache.full_schedule
        seconds = seconds_of(schedule.get("expression")) if schedule and schedule.get("type") == "BASIC" else None
        if seconds is not None:
            self._world.later(seconds, "cache run is scheduled", project, f"{cache.id}/{mode}", cache.schedule_number)

    def _get_settings(self, call: Call) -> object:
        return _settings(self._world.project(call), self._find(call))

    def _update_settings(self, call: Call) -> object:
        project, cache = self._world.project(call), self._find(call)
        self._set_schedules(project, cache, call.json_object())
        return _settings(project, cache)

    def _delete(self, call: Call) -> None:
        cache = self._find(call)
        cache.deleting = True
        cache.triggered.clear()
        self._world.later(self._world.pace.deletes, "cache is deleted", self._world.project(call), cache.id)

    def _cancel_full(self, call: Call) -> None:
        self._cancel(call, _FULL)

    def _cancel_incremental(self, call: Call) -> None:
        self._cancel(call, _INCREMENTAL)

    def _cancel(self, call: Call, mode: str) -> None:
        cache = self._find(call)
        if mode in cache.triggered:
            if self._world.deviates(Deviation.CANCEL_AT_ONCE):
                raise Refusal(500, error="Internal Server Error", message="There is no execution record yet")
            del cache.triggered[mode]
            return
        running = [run for run in cache.runs if (run.mode, run.status) == (mode, "RUNNING")]
        if not running:
            raise wrong_request("There is no running execution", status=404)
        for run in running:
            _end(run, "CANCELLED", self._world)
        self._log(cache, "CANCEL", mode)

    def _list_executions(self, call: Call) -> object:
        cache = self._find(call)
        limit, offset = call.whole_number("limit", _PAGE), call.whole_number("offset", 0)
        oldest = self._world.now - _HISTORY
        kept = [run for run in reversed(cache.runs) if run.finished_at is None or run.finished_at > oldest]
        return [_execution(run) for run in kept[offset : offset + limit]]

    def _full_refresh(self, call: Call) -> object:
        return self._triggered(call, _FULL)

    def _incremental_update(self, call: Call) -> object:
        return self._triggered(call, _INCREMENTAL)

    def _triggered(self, call: Call, mode: str) -> object:
        project = self._world.project(call)
        cache = project.caches.get(call.path["cacheId"])
        if cache is None or cache.deleting:
            raise wrong_request(
                "Cache settings not found", status=400 if self._world.deviates(Deviation.UNKNOWN_CACHE) else 404
            )
        self._start(project, cache, mode)
        return {"status": "STARTED", "message": f"{mode} update was triggered"}

    def _get_status(self, call: Call) -> object:
        logs = call.query.get("excludeLogs") != "true"
        return _status(self._world.project(call), self._find(call), logs=logs)

    def _list_statuses(self, call: Call) -> object:
        project = self._world.project(call)
        return [_status(project, each, logs=True) for each in project.caches.values()]

    def _list_catalog_statuses(self, call: Call) -> object:
        project, catalog = self._world.project(call), catalog_in(self._world, call)
        return [_status(project, each, logs=True) for each in project.caches.values() if each.catalog_id == catalog.id]

    def _list_schema_statuses(self, call: Call) -> object:
        if self._world.deviates(Deviation.STATUS_BY_SCHEMA):
            raise Refusal(500, error="Internal Server Error", message="No value present")
        project, schema = self._world.project(call), call.path["schemaName"]
        catalog = catalog_in(self._world, call)
        found = [each for each in project.caches.values() if (each.catalog_id, each.schema) == (catalog.id, schema)]
        return [_status(project, each, logs=True) for each in found]

    def _find(self, call: Call) -> StoredCache:
        cache = self._world.project(call).caches.get(call.path["cacheId"])
        if cache is None:
            raise wrong_request("Cache settings not found", status=404)
        return cache

    def _start(self, project: ProjectRecord, cache: StoredCache, mode: str, *, scheduled: bool = False) -> None:
        run_id = str(uuid.uuid4())
        cache.triggered[mode] = run_id
        self._log(cache, "TRIGGER", mode, scheduled=scheduled)
        self._world.later(self._world.pace.record, "cache run begins", project, f"{cache.id}/{mode}/{run_id}")

    def _log(self, cache: StoredCache, action: str, mode: str, *, scheduled: bool = False) -> None:
        cache.log.append(
            {
                "timestamp": iso(self._world.now),
                "action": action,
                "message": f"{action.lower()} of {mode}",
                "cacheType": mode,
                "isScheduled": scheduled,
            }
        )

    def _begins(self, project: ProjectRecord, key: str, _: int) -> None:
        cache_id, mode, run_id = key.split("/")
        cache = project.caches.get(cache_id)
        if cache is None or cache.triggered.get(mode) != run_id:
            return
        del cache.triggered[mode]
        now = self._world.now
        cache.runs.append(Run(id=run_id, mode=mode, status="RUNNING", created_at=now, updated_at=now))
        if Oddity.CACHE_HANGS not in self._world.oddities:
            self._world.later(self._world.pace.runs, "cache run ends", project, key)

    def _ends(self, project: ProjectRecord, key: str, _: int) -> None:
        cache_id, _mode, run_id = key.split("/")
        cache = project.caches.get(cache_id)
        run = next((each for each in cache.runs if each.id == run_id), None) if cache is not None else None
        if cache is None or run is None or run.status != "RUNNING":
            return
        if Oddity.CACHE_FAILS in self._world.oddities:
            run.error = {"message": "The source did not answer"}
            _end(run, "FAILED", self._world)
            return
        table = project.catalogs[cache.catalog_id].schemas[cache.schema][cache.table]
        count = table.count if table.rows is None else len(table.rows)
        run.cached, run.inserted = count, max(count - cache.rows, 0)
        cache.rows, cache.filled = count, True
        _end(run, "COMPLETED", self._world)

    def _is_scheduled(self, project: ProjectRecord, key: str, number: int) -> None:
        cache_id, mode = key.split("/")
        cache = project.caches.get(cache_id)
        if cache is not None and cache.schedule_number == number and not cache.deleting:
            self._start(project, cache, mode, scheduled=True)
            self._plan(project, cache, mode)

    def _is_deleted(self, project: ProjectRecord, cache_id: str, _: int) -> None:
        project.caches.pop(cache_id, None)


def _end(run: Run, status: str, world: World) -> None:
    run.status = status
    run.updated_at = run.finished_at = world.now


def _settings(project: ProjectRecord, cache: StoredCache) -> dict[str, object]:
    return {
        "id": cache.id,
        "catalogId": cache.catalog_id,
        "schemaName": cache.schema,
        "tableName": cache.table,
        "incrementalCacheSchedule": cache.incremental_schedule,
        "fullRefreshCacheSchedule": cache.full_schedule,
        "appId": project.id,
        "projectId": project.id,
    }


def _status(project: ProjectRecord, cache: StoredCache, *, logs: bool) -> dict[str, object]:
    slots = {run.mode: run for run in cache.runs}
    return {
        "id": cache.id,
        "status": _state(cache, list(slots.values())),
        "catalogId": cache.catalog_id,
        "schemaName": cache.schema,
        "tableName": cache.table,
        "lastIncrementalCacheExecution": _execution(slots[_INCREMENTAL]) if _INCREMENTAL in slots else None,
        "lastFullRefreshCacheExecution": _execution(slots[_FULL]) if _FULL in slots else None,
        "cacheActionLogs": [*cache.log] if logs else None,
        "appId": project.id,
        "projectId": project.id,
    }


def _state(cache: StoredCache, slots: list[Run]) -> str:
    """The state of a running run, else of the newest run of both slots."""
    if cache.deleting:
        return "DELETED"
    if not slots:
        return "NOT_INITIALIZED"
    if any(run.status == "RUNNING" for run in slots):
        return "RUNNING"
    return max(slots, key=lambda run: run.created_at).status


def _execution(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "executionMode": run.mode,
        "status": run.status,
        "error": run.error,
        "progress": {
            "numberOfCachedRecords": run.cached,
            "numberOfInsertedRecords": run.inserted,
            "numberOfUpdatedRecords": 0,
            # The service says 0 even if an incremental sync has removed rows.
            "numberOfDeletedRecords": 0,
            "lastOffset": None,
            "lastCacheTxId": None,
        },
        "createdAt": iso(run.created_at),
        "updatedAt": iso(run.updated_at),
        "finishedAt": iso(run.finished_at),
    }
