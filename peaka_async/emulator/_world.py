"""What all groups share: the state, the clock, what is due, and what is odd today."""

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
    """Something that the live service was seen to do now and then; `emulator.oddities` holds those that it does."""

    CACHE_HANGS = "a sync stays RUNNING, and its `updatedAt` is its `createdAt`"
    CACHE_FAILS = "a sync ends FAILED, with a reason"
    EXPORT_HANGS = "an export stays RUNNING"
    EXPORT_FAILS = "an export ends FAILED, with a reason"
    REFRESH_HANGS = "the refresh of a materialized query stays RUNNING"
    REFRESH_FAILS = "the refresh of a materialized query ends FAILED"
    METADATA_STUCK = "a metadata refresh ends `stuck`"
    LINKS_EXPIRED = "the links of an export are expired when they are given out"
    SECOND_QUESTION_MARK = "the callback comes back as `?connectionId=…?status=…`"
    CALLBACK_ANSWERS_ID = "`connections.oauth2_callback` answers `{id}` alone"


@final
@attrs.frozen(kw_only=True)
class Pace:
    """How long work in the background takes, in seconds.

    Attributes:
        waits: from the trigger until the work begins.
        runs: from its begin to its end.
        record: from the trigger of a cache's run until its record can be seen.
        deletes: how long the deletion of a cache takes.
        links: how long a link to an exported file works.
    """

    waits: float = 0.1
    runs: float = 0.3
    record: float = 0.3
    deletes: float = 0.2
    links: float = 900.0


class World:
    """The state with everything that changes it by itself."""

    def __init__(self, state: State, clock: Clock, *, strict: bool = False, pace: Pace | None = None) -> None:
        self.state, self.clock, self.strict = state, clock, strict
        self.pace = pace or Pace()
        self.oddities: set[Oddity] = set()
        self.changed = False
        self._happenings: dict[str, Happening] = {}
        self._moment: datetime | None = None

    @property
    def now(self) -> datetime:
        """The time; what was due happens at the time at which it was."""
        return self._moment or self.clock.now()

    @functools.cached_property
    def engine(self) -> Engine:
        """What runs SQL; it loads duckdb and sqlglot."""
        from peaka_async.emulator._sql.engine import Engine  # noqa: PLC0415 - who runs no SQL does not load it

        return Engine(lambda: self.now)

    def deviates(self, _: Deviation) -> bool:
        """Whether to do what the live service does, instead of what the document says.

        The deviation is named where it happens, so that none can be listed that the code does not have.
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
        """The answer where there is no query of that id."""
        status = 400 if self.deviates(Deviation.DELETED_THING) else 404
        return wrong_request(f"There is no query with id {query_id}", status=status, code="cn004")

    def on(self, kind: str, happening: Happening) -> None:
        """Say what happens when something of this kind is due."""
        self._happenings[kind] = happening

    def later(self, seconds: float, kind: str, project: ProjectRecord, key: str, number: int = 0) -> None:
        """Let something be due."""
        due = Due(at=self.now + timedelta(seconds=seconds), kind=kind, project_id=project.id, key=key, number=number)
        bisect.insort(self.state.due, due, key=_at)

    def settle(self) -> None:
        """Let everything happen that is due, in its order and each at its time."""
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
