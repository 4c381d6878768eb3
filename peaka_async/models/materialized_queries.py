"""Materialized queries: saved queries whose results are stored."""

from __future__ import annotations

from datetime import datetime

import attrs

from peaka_async.models._model import Model
from peaka_async.models._status import Status
from peaka_async.models.queries import MaterializedQuerySchedule

__all__ = ["MaterializedQueryState", "MaterializedQueryStatusView"]


class MaterializedQueryState(Status):
    """The state of a refresh."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@attrs.frozen
class MaterializedQueryStatusView(Model):
    """The last refresh of a materialized query, and the time of the next."""

    query_id: str | None = None
    query_name: str | None = None
    schedule_settings: MaterializedQuerySchedule | None = None
    next_execution_start_time: datetime | str | None = None
    status: MaterializedQueryState | str | None = None
    last_execution_start_time: datetime | str | None = None
    last_update_time: datetime | str | None = None
