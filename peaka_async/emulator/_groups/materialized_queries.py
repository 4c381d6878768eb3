"""Materialized queries: saved queries whose results are stored."""

from __future__ import annotations

from datetime import timedelta

from peaka_async.emulator._clock import iso
from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._operation import Call, Operation, Refusal, wrong_request
from peaka_async.emulator._schedule import seconds_of
from peaka_async.emulator._state import ProjectRecord, SavedQuery
from peaka_async.emulator._world import Oddity, World

_INTERNAL = frozenset({("peaka", "table"), ("peaka", "bitable")})


class MaterializedQueries:
    """The refreshes of materialized queries.

    A refresh waits, runs and ends. Until it runs, the state is that of the previous refresh.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        world.on("refresh begins", self._begins)
        world.on("refresh ends", self._ends)
        world.on("refresh is scheduled", self._is_scheduled)

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/data/projects/{projectId}/materialized-queries"
        one = f"{all_}/{{queryId}}"
        return (
            Operation("materialized_queries.list_statuses", "GET", f"{all_}/status", self._list_statuses),
            Operation("materialized_queries.cancel", "POST", f"{one}/cancel", self._cancel),
            Operation("materialized_queries.refresh", "POST", f"{one}/refresh", self._refresh),
            Operation("materialized_queries.get_status", "GET", f"{one}/status", self._get_status),
        )

    def begin(self, project: ProjectRecord, query: SavedQuery) -> None:
        """Store the result of a query that has become materialized; a plain query has no stored result."""
        query.schedule_number += 1
        query.next_at = None
        query.snapshot = None
        if query.type == "MATERIALIZED":
            self._store(project, query)
            self._schedule(project, query)

    def _list_statuses(self, call: Call) -> object:
        queries = self._world.project(call).queries.values()
        return [_shown(each) for each in queries if each.type == "MATERIALIZED"]

    def _get_status(self, call: Call) -> object:
        return _shown(self._find(call))

    def _refresh(self, call: Call) -> None:
        query = self._find(call)
        self._trigger(self._world.project(call), query)

    def _cancel(self, call: Call) -> None:
        """Cancel a running refresh. If no refresh is running, the call is accepted too."""
        query = self._find(call)
        if query.running:
            query.run += 1
            query.running = False
            query.status = "CANCELED" if self._world.deviates(Deviation.CANCELED_REFRESH) else "CANCELLED"
            query.updated_at = self._world.now

    def _find(self, call: Call) -> SavedQuery:
        query = self._world.query(call)
        if query.type != "MATERIALIZED":
            raise wrong_request(f"The query with id {query.id} is not materialized")
        return query

    def _trigger(self, project: ProjectRecord, query: SavedQuery) -> None:
        if not query.running:
            query.run += 1
            query.running = True
            self._world.later(self._world.pace.waits, "refresh begins", project, query.id, query.run)

    def _begins(self, project: ProjectRecord, query_id: str, run: int) -> None:
        query = project.queries.get(query_id)
        if query is None or query.run != run:
            return
        query.status, query.started_at = "RUNNING", self._world.now
        query.updated_at = query.started_at
        if Oddity.REFRESH_HANGS not in self._world.oddities:
            self._world.later(self._world.pace.runs, "refresh ends", project, query_id, run)

    def _ends(self, project: ProjectRecord, query_id: str, run: int) -> None:
        query = project.queries.get(query_id)
        if query is None or query.run != run:
            return
        query.running = False
        stored = Oddity.REFRESH_FAILS not in self._world.oddities and self._store(project, query)
        query.status = "COMPLETED" if stored else "FAILED"
        query.updated_at = self._world.now

    def _is_scheduled(self, project: ProjectRecord, query_id: str, number: int) -> None:
        query = project.queries.get(query_id)
        if query is not None and query.schedule_number == number:
            self._trigger(project, query)
            self._schedule(project, query)

    def _schedule(self, project: ProjectRecord, query: SavedQuery) -> None:
        schedule = query.schedule or {}
        seconds = seconds_of(schedule.get("repeatDuration")) if schedule.get("type") == "interval" else None
        if seconds is not None:
            query.next_at = self._world.now + timedelta(seconds=seconds)
            self._world.later(seconds, "refresh is scheduled", project, query.id, query.schedule_number)

    def _store(self, project: ProjectRecord, query: SavedQuery) -> bool:
        """Store the current rows. If the query reads only internal tables, the result is live and nothing is stored."""
        try:
            tables = self._world.engine.bind(project, query.sql).tables
            if tables and all((each.catalog, each.schema) in _INTERNAL for each in tables):
                query.snapshot = None
            else:
                query.snapshot = self._world.engine.run(project, query.sql).stored(query.name, query.run)
        except Refusal:
            return False
        return True


def _shown(query: SavedQuery) -> dict[str, object]:
    schedule = query.schedule or {}
    return {
        "queryId": query.id,
        "queryName": query.name,
        "scheduleSettings": {
            "type": schedule.get("type", "none"),
            "cronExpression": schedule.get("cronExpression"),
            "repeatDuration": schedule.get("repeatDuration"),
            "timezone": schedule.get("timezone"),
        },
        "nextExecutionStartTime": iso(query.next_at),
        "status": query.status,
        "lastExecutionStartTime": iso(query.started_at),
        "lastUpdateTime": iso(query.updated_at),
    }
