"""Materialized queries: saved queries whose results are stored."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.endpoints._waiting import DEFAULT_WAITING, Polled, Waiting, state_name, wait
from peaka_async.models.materialized_queries import MaterializedQueryState, MaterializedQueryStatusView


class MaterializedQueries(Group):
    """The refreshes of materialized queries."""

    async def list_statuses(self, project_id: str) -> list[MaterializedQueryStatusView]:
        """List the states of all materialized queries.

        [API page](https://docs.peaka.com/api-reference/materialized-queries/list-materialized-query-statuses)
        """
        return await self._send(
            Request(
                "materialized_queries.list_statuses",
                "GET",
                "/data/projects/{project_id}/materialized-queries/status",
                path={"project_id": project_id},
                returns=list[MaterializedQueryStatusView],
                safety=Safety.SAFE,
            )
        )

    async def cancel(self, project_id: str, query_id: str) -> None:
        """Cancel the running refresh of a materialized query.

        [API page](https://docs.peaka.com/api-reference/materialized-queries/cancel-materialized-query-refresh)
        """
        return await self._send(
            Request(
                "materialized_queries.cancel",
                "POST",
                "/data/projects/{project_id}/materialized-queries/{query_id}/cancel",
                path={"project_id": project_id, "query_id": query_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def refresh(self, project_id: str, query_id: str) -> None:
        """Start to refresh a materialized query.

        [API page](https://docs.peaka.com/api-reference/materialized-queries/refresh-materialized-query)
        """
        return await self._send(
            Request(
                "materialized_queries.refresh",
                "POST",
                "/data/projects/{project_id}/materialized-queries/{query_id}/refresh",
                path={"project_id": project_id, "query_id": query_id},
                returns=NoneType,
                safety=Safety.ONCE,
            )
        )

    async def get_status(self, project_id: str, query_id: str) -> MaterializedQueryStatusView:
        """Get the state of a materialized query.

        [API page](https://docs.peaka.com/api-reference/materialized-queries/read-materialized-query-status)

        Raises:
            NotFoundError: there is no such query.
        """
        return await self._send(
            Request(
                "materialized_queries.get_status",
                "GET",
                "/data/projects/{project_id}/materialized-queries/{query_id}/status",
                path={"project_id": project_id, "query_id": query_id},
                returns=MaterializedQueryStatusView,
                safety=Safety.SAFE,
            )
        )

    async def run_refresh(
        self,
        project_id: str,
        query_id: str,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[MaterializedQueryStatusView], object] | None = None,
    ) -> MaterializedQueryStatusView:
        """Refresh a materialized query and wait for the refresh to end.

        Raises:
            WorkFailedError: the refresh failed or was cancelled.
            WaitTimeoutError: the refresh has not ended in time; it goes on.
            WaitStalledError: the refresh shows no progress.
        """
        before = await self.get_status(project_id, query_id)
        await self.refresh(project_id, query_id)
        read = functools.partial(read_next_refresh, after=before.last_execution_start_time)
        return await self._wait(project_id, query_id, read, waiting, on_progress)

    async def wait_for_refresh(
        self,
        project_id: str,
        query_id: str,
        *,
        after: datetime | str | None = None,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[MaterializedQueryStatusView], object] | None = None,
    ) -> MaterializedQueryStatusView:
        """Wait for a refresh of a materialized query to end.

        The status shows the last refresh until the next one begins. To wait for a new refresh, pass the
        `last_execution_start_time` of the previous one as `after`. Without `after` this waits for the refresh that the
        status shows now.

        Raises:
            WorkFailedError: the refresh failed or was cancelled.
            WaitTimeoutError: the refresh has not ended in time; it goes on.
            WaitStalledError: the refresh shows no progress.
        """
        read = read_refresh if after is None else functools.partial(read_next_refresh, after=after)
        return await self._wait(project_id, query_id, read, waiting, on_progress)

    async def _wait(
        self,
        project_id: str,
        query_id: str,
        read: Callable[[MaterializedQueryStatusView], Polled],
        waiting: Waiting,
        on_progress: Callable[[MaterializedQueryStatusView], object] | None,
    ) -> MaterializedQueryStatusView:
        return await wait(
            functools.partial(self.get_status, project_id, query_id),
            read,
            operation="materialized_queries.wait_for_refresh",
            waiting=waiting,
            on_progress=on_progress,
        )


def read_next_refresh(status: MaterializedQueryStatusView, *, after: datetime | str | None) -> Polled:
    """Read the refresh that follows the one started at `after` from a status.

    The status of a query that was never refreshed is COMPLETED too, without a start time.
    """
    if status.last_execution_start_time == after:
        return Polled(state="NOT BEGUN")
    return read_refresh(status)


def read_refresh(status: MaterializedQueryStatusView) -> Polled:
    """Read the refresh that a status shows."""
    state = state_name(status.status)
    if status.status == MaterializedQueryState.COMPLETED:
        return Polled(state=state, ended=True, progress=state)
    if status.status in {MaterializedQueryState.FAILED, MaterializedQueryState.CANCELED}:
        failure = f"the refresh of {status.query_name or 'the query'} is {state}"
        return Polled(state=state, failure=failure, progress=state)
    return Polled(state=state, progress=(state, status.last_update_time))
