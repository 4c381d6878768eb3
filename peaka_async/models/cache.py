"""Caches: copies of tables that the service keeps up to date with their source."""

from __future__ import annotations

import enum
import re
from datetime import datetime

import attrs

from peaka_async.errors import ConfigurationError
from peaka_async.models._model import Model
from peaka_async.models._status import Status

__all__ = [
    "Cache",
    "CacheActionRecord",
    "CacheCreateStatus",
    "CacheExecutionInfo",
    "CacheExecutionProgress",
    "CacheRequest",
    "CacheRun",
    "CacheSettingsUpdateRequest",
    "CacheState",
    "CacheStatus",
    "CacheTrigger",
    "Schedule",
    "ScheduleType",
]

_DURATION = re.compile(r"P(?=\d|T\d)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?", re.IGNORECASE)


class ScheduleType(enum.StrEnum):
    """Whether a cache is refreshed automatically."""

    BASIC = "BASIC"
    NONE = "NONE"


class CacheState(Status):
    """The state of a cache, or of one of its runs."""

    RUNNING = "RUNNING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    COMPLETED = "COMPLETED"
    DELETED = "DELETED"
    NOT_INITIALIZED = "NOT_INITIALIZED"


class CacheRun(enum.Enum):
    """The two kinds of runs of a cache. The status shows the last run of each kind."""

    INCREMENTAL = "incremental"
    FULL_REFRESH = "full refresh"


@attrs.frozen
class Schedule(Model):
    """How often a cache is refreshed.

    `expression` is an ISO 8601 duration such as `PT15M`, `PT10H` or `P2D`. It is checked before it is sent, because the
    service ignores an invalid expression and answers 200.
    """

    type: ScheduleType | str | None = None
    expression: str | None = None

    @classmethod
    def every(cls, duration: str) -> Schedule:
        """Refresh at an interval.

        Args:
            duration: an ISO 8601 duration of days, hours, minutes and seconds.

        Raises:
            ConfigurationError: the duration is invalid.
        """
        schedule = cls(ScheduleType.BASIC, duration)
        schedule.check()
        return schedule

    @classmethod
    def never(cls) -> Schedule:
        """Refresh only if a run is started by a call."""
        return cls(ScheduleType.NONE)

    def check(self) -> None:
        """Refuse a schedule that the service would ignore.

        Raises:
            ConfigurationError: the type is unknown, or the expression is invalid for the type.
        """
        if self.type == ScheduleType.NONE:
            return
        if self.type != ScheduleType.BASIC:
            problem = "type must be BASIC or NONE"
        elif self.expression is None or not _DURATION.fullmatch(self.expression):
            problem = "expression must be an ISO 8601 duration such as PT15M, PT10H or P2D"
        else:
            return
        msg = f"Schedule: {problem}. Nothing was sent."
        raise ConfigurationError(msg)


def _check_schedule(_: object, __: attrs.Attribute[Schedule | None], value: Schedule | None) -> None:
    if value is not None:
        value.check()


@attrs.frozen(kw_only=True)
class CacheRequest(Model):
    """A table to cache. Without schedules it is copied once.

    Raises:
        ConfigurationError: a schedule is invalid; the service would ignore it.
    """

    catalog_id: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    incremental_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)
    full_refresh_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)


@attrs.frozen(kw_only=True)
class CacheSettingsUpdateRequest(Model):
    """The schedules of a cache. Both are replaced: a schedule that is left out is switched off.

    Raises:
        ConfigurationError: a schedule is invalid; the service would ignore it.
    """

    incremental_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)
    full_refresh_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)


@attrs.frozen
class Cache(Model):
    """The settings of a cache."""

    id: str | None = None
    catalog_id: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    incremental_cache_schedule: Schedule | None = None
    full_refresh_cache_schedule: Schedule | None = None
    app_id: str | None = None
    project_id: str | None = None


@attrs.frozen
class CacheCreateStatus(Model):
    """The result of one request of a batch: a cache, or the text of an error."""

    success: bool | None = None
    error: str | dict[str, object] | None = None
    cache: Cache | None = None


@attrs.frozen
class CacheTrigger(Model):
    """The answer to a call that starts a run."""

    status: str | None = None
    message: str | None = None


@attrs.frozen
class CacheExecutionProgress(Model):
    """The progress of a run, in rows."""

    number_of_cached_records: int | None = None
    number_of_inserted_records: int | None = None
    number_of_updated_records: int | None = None
    number_of_deleted_records: int | None = None
    last_offset: str | int | float | None = None
    last_cache_tx_id: str | None = None


@attrs.frozen
class CacheExecutionInfo(Model):
    """One run of a cache. `execution_mode` says whether it is incremental or full."""

    id: str | None = None
    execution_mode: str | None = None
    status: CacheState | str | None = None
    error: dict[str, object] | str | None = None
    progress: CacheExecutionProgress | None = None
    created_at: datetime | str | None = None
    updated_at: datetime | str | None = None
    finished_at: datetime | str | None = None


@attrs.frozen
class CacheActionRecord(Model):
    """A line of a cache's log."""

    timestamp: datetime | str | None = None
    action: str | None = None
    message: str | None = None
    cache_type: str | None = None
    is_scheduled: bool | None = None


@attrs.frozen
class CacheStatus(Model):
    """The state of a cache, with the last run of each of its two kinds."""

    id: str | None = None
    status: CacheState | str | None = None
    catalog_id: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    last_incremental_cache_execution: CacheExecutionInfo | None = None
    last_full_refresh_cache_execution: CacheExecutionInfo | None = None
    cache_action_logs: list[CacheActionRecord] | None = None
    app_id: str | None = None
    project_id: str | None = None
