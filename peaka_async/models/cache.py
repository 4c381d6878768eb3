"""Caches: copies of tables that the service keeps in step with their source."""

from __future__ import annotations

import enum
import re
from datetime import datetime

import attrs

from peaka_async.errors import ConfigurationError
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
    """Whether a cache is refreshed by itself."""

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
    """The two kinds of a cache's runs; each has a record of its own."""

    INCREMENTAL = "incremental"
    FULL_REFRESH = "full refresh"


@attrs.frozen
class Schedule:
    """How often a cache is refreshed.

    `expression` is an ISO 8601 duration such as `PT15M`, `PT10H` or `P2D`. It is checked when a schedule is made for a
    request: the service answers 200 to one that it cannot read, and ignores it.
    """

    type: ScheduleType | str | None = None
    expression: str | None = None

    @classmethod
    def every(cls, duration: str) -> Schedule:
        """Refresh at an interval.

        Args:
            duration: an ISO 8601 duration of days, hours, minutes and seconds.

        Raises:
            ConfigurationError: it is no such duration.
        """
        schedule = cls(ScheduleType.BASIC, duration)
        schedule.check()
        return schedule

    @classmethod
    def never(cls) -> Schedule:
        """Refresh only when told to."""
        return cls(ScheduleType.NONE)

    def check(self) -> None:
        """Refuse what the service would ignore.

        Raises:
            ConfigurationError: the type is unknown, or the expression is not what the type wants.
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
class CacheRequest:
    """A table to cache. Without schedules it is copied once.

    Raises:
        ConfigurationError: a schedule is one that the service would ignore.
    """

    catalog_id: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    incremental_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)
    full_refresh_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)


@attrs.frozen(kw_only=True)
class CacheSettingsUpdateRequest:
    """The schedules of a cache. Both are replaced: one that is left out is switched off.

    Raises:
        ConfigurationError: a schedule is one that the service would ignore.
    """

    incremental_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)
    full_refresh_cache_schedule: Schedule | None = attrs.field(default=None, validator=_check_schedule)


@attrs.frozen
class Cache:
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
class CacheCreateStatus:
    """What became of one request of a batch: a cache, or an error's text."""

    success: bool | None = None
    error: str | None = None
    cache: Cache | None = None


@attrs.frozen
class CacheTrigger:
    """The answer to a trigger."""

    status: str | None = None
    message: str | None = None


@attrs.frozen
class CacheExecutionProgress:
    """How far a run got, in rows."""

    number_of_cached_records: int | None = None
    number_of_inserted_records: int | None = None
    number_of_updated_records: int | None = None
    number_of_deleted_records: int | None = None
    last_offset: str | None = None
    last_cache_tx_id: str | None = None


@attrs.frozen
class CacheExecutionInfo:
    """One run of a cache, incremental or full by its `execution_mode`."""

    id: str | None = None
    execution_mode: str | None = None
    status: CacheState | str | None = None
    error: dict[str, object] | None = None
    progress: CacheExecutionProgress | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None


@attrs.frozen
class CacheActionRecord:
    """A line of a cache's log."""

    timestamp: datetime | None = None
    action: str | None = None
    message: str | None = None
    cache_type: str | None = None
    is_scheduled: bool | None = None


@attrs.frozen
class CacheStatus:
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
