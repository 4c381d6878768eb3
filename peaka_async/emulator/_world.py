"""The objects that all groups share: the state, the clock, events that are due, and oddities."""

from __future__ import annotations

import bisect
import enum
import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, final

import attrs

from peaka_async.emulator._clock import Clock
from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._operation import Call, Refusal, not_found, wrong_request
from peaka_async.emulator._state import Due, ProjectRecord, SavedQuery, State

if TYPE_CHECKING:
    from peaka_async.emulator._sql.engine import Engine

Happening = Callable[[ProjectRecord, str, int], None]


class Oddity(enum.Enum):
    """Odd behaviour that the live service shows now and then; the emulator shows those in `emulator.oddities`."""

    CACHE_HANGS = "a sync stays RUNNING, and its `updatedAt` is its `createdAt`"
    CACHE_FAILS = "a sync ends FAILED, with a reason"
    EXPORT_HANGS = "an export stays RUNNING"
    EXPORT_FAILS = "an export ends FAILED, with a reason"
    REFRESH_HANGS = "the refresh of a materialized query stays RUNNING"
    REFRESH_FAILS = "the refresh of a materialized query ends FAILED"
    METADATA_STUCK = "a metadata refresh ends `stuck`"
    LINKS_EXPIRED = "the links of an export have expired when they are returned"
    SECOND_QUESTION_MARK = "the callback comes back as `?connectionId=…?status=…`"
    CALLBACK_ANSWERS_ID = "`connections.oauth2_callback` answers with `{id}` only"


@final
@attrs.frozen(kw_only=True)
class Pace:
    """The duration of work in the background, in seconds.

    Attributes:
        waits: from the trigger until the work begins.
        runs: from the beginning to the end of the work.
        record: from the trigger of a cache's run until its record is visible.
        deletes: the deletion of a cache.
        links: the lifetime of a link to an exported file.
    """

    waits: float = 0.1
    runs: float = 0.3
    record: float = 0.3
    deletes: float = 0.2
    links: float = 900.0


class World:
    """The state, with everything that changes it in the background."""

    def __init__(self, state: State, clock: Clock, *, strict: bool = False, pace: Pace | None = None) -> None:
        self.state, self.clock, self.strict = state, clock, strict
        self.pace = pace or Pace()
        self.oddities: set[Oddity] = set()
        self.changed = False
        self._happenings: dict[str, Happening] = {}
        self._moment: datetime | None = None

    @property
    def now(self) -> datetime:
        """The current time. Each event happens at the time at which it was due."""
        return self._moment or self.clock.now()

    @functools.cached_property
    def engine(self) -> Engine:
        """The engine that runs SQL; it loads duckdb and sqlglot."""
        from peaka_async.emulator._sql.engine import Engine  # noqa: PLC0415 - loaded only if SQL is run

        return Engine(lambda: self.now)

    def deviates(self, _: Deviation) -> bool:
        """Whether to follow the live service instead of the document.

        The code names the deviation, so that all listed deviations are in the code.
        """
        return not self.strict

    def project(self, call: Call) -> ProjectRecord:
        """The project of a call."""
        project = self.state.projects.get(call.path["projectId"])
        if project is None:
            raise not_found(f"There is no project with id {call.path['projectId']}")
        return project

    def query(self, call: Call) -> SavedQuery:
        """The saved query of a call."""
        query = self.project(call).queries.get(call.path["queryId"])
        if query is None:
            raise self.no_query(call.path["queryId"])
        return query

    def no_query(self, query_id: str) -> Refusal:
        """The answer if there is no query with that id."""
        status = 400 if self.deviates(Deviation.DELETED_THING) else 404
        return wrong_request(f"There is no query with id {query_id}", status=status, code="cn004")

    def on(self, kind: str, happening: Happening) -> None:
        """Set the handler for events of this kind."""
        self._happenings[kind] = happening

    def later(self, seconds: float, kind: str, project: ProjectRecord, key: str, number: int = 0) -> None:
        """Add an event that is due after this many seconds."""
        due = Due(at=self.now + timedelta(seconds=seconds), kind=kind, project_id=project.id, key=key, number=number)
        bisect.insort(self.state.due, due, key=_at)

    def settle(self) -> None:
        """Handle all events that are due, in order and each at its own time."""
        due, now = self.state.due, self.clock.now()
        while due and due[0].at <= now:
            first = due.pop(0)
            self.changed = True
            project = self.state.projects.get(first.project_id)
            happening = self._happenings.get(first.kind)
            if project is None or happening is None:
                continue
            self._moment = first.at
            try:
                happening(project, first.key, first.number)
            finally:
                self._moment = None


def _at(due: Due) -> datetime:
    return due.at
