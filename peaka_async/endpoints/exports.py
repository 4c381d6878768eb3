"""Exports: queries and tables written to files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.endpoints._download import Download, file_named
from peaka_async.endpoints._paging import Pages, ResultPage, made_token, read_token
from peaka_async.endpoints._waiting import DEFAULT_WAITING, Polled, Waiting, state_name, wait
from peaka_async.errors import DecodeError
from peaka_async.models.exports import ExportFile, ExportJobCreated, ExportJobResponse, ExportRequest, ExportStatus


class Exports(Group):
    """The exports of a project."""

    async def start_query(self, project_id: str, query_id: str, export: ExportRequest) -> ExportJobCreated:
        """Start to export the result of a saved query.

        [API page](https://docs.peaka.com/api-reference/exports/export-query-async)
        """
        return await self._send(
            Request(
                "exports.start_query",
                "POST",
                "/data/projects/{project_id}/queries/{query_id}/exports",
                path={"project_id": project_id, "query_id": query_id},
                body=export,
                returns=ExportJobCreated,
                safety=Safety.ONCE,
            )
        )

    async def start_table(
        self, project_id: str, catalog_id: str, schema_name: str, table_name: str, export: ExportRequest
    ) -> ExportJobCreated:
        """Start to export a table.

        [API page](https://docs.peaka.com/api-reference/exports/export-table-async)
        """
        return await self._send(
            Request(
                "exports.start_table",
                "POST",
                "/data/projects/{project_id}/catalogs/{catalog_id}/schemas/{schema_name}/tables/{table_name}/exports",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                },
                body=export,
                returns=ExportJobCreated,
                safety=Safety.ONCE,
            )
        )

    async def list(
        self,
        project_id: str,
        *,
        status: str | Sequence[str] | None = None,
        limit: int | None = None,
        created_before: datetime | None = None,
    ) -> List[ExportJobResponse]:
        """List one page of exports, the newest first, without their files; 200 exports at most.

        [API page](https://docs.peaka.com/api-reference/exports/list-exports)
        """
        return await self._send(
            Request(
                "exports.list",
                "GET",
                "/data/projects/{project_id}/exports",
                path={"project_id": project_id},
                query={"status": status, "limit": limit, "created_before": created_before},
                returns=list[ExportJobResponse],
                safety=Safety.SAFE,
            )
        )

    async def get(self, project_id: str, export_id: str) -> ExportJobResponse:
        """Get an export, with new links to its files.

        [API page](https://docs.peaka.com/api-reference/exports/read-export)

        Raises:
            NotFoundError: there is no such export.
        """
        return await self._send(
            Request(
                "exports.get",
                "GET",
                "/data/projects/{project_id}/exports/{export_id}",
                path={"project_id": project_id, "export_id": export_id},
                returns=ExportJobResponse,
                safety=Safety.SAFE,
            )
        )

    async def cancel(self, project_id: str, export_id: str) -> None:
        """Cancel an export. An export that has ended does not change.

        [API page](https://docs.peaka.com/api-reference/exports/cancel-export)
        """
        return await self._send(
            Request(
                "exports.cancel",
                "DELETE",
                "/data/projects/{project_id}/exports/{export_id}",
                path={"project_id": project_id, "export_id": export_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    def list_pages(
        self,
        project_id: str,
        *,
        status: str | Sequence[str] | None = None,
        page_size: int = 50,
        resume_token: str | None = None,
    ) -> Pages[ExportJobResponse]:
        """List all exports, the newest first, without their files, fetched a page at a time."""

        async def fetch(token: str | None) -> ResultPage[ExportJobResponse]:
            before = read_token("exports", token)
            found = await self.list(
                project_id,
                status=status,
                limit=page_size,
                created_before=None if before is None else datetime.fromisoformat(before),
            )
            last = found[-1].created_at if len(found) >= page_size else None
            resume = made_token("exports", last.isoformat()) if isinstance(last, datetime) else None
            return ResultPage(tuple(found), resume)

        return Pages(fetch, resume_token=resume_token)

    async def run_query(
        self,
        project_id: str,
        query_id: str,
        export: ExportRequest,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[ExportJobResponse], object] | None = None,
    ) -> ExportJobResponse:
        """Export the result of a saved query and wait for its files.

        Raises:
            WorkFailedError: the export failed, was cancelled or has expired, with the service's reason.
            WaitTimeoutError: the export has not ended in time; it goes on.
            WaitStalledError: the export shows no progress.
            DecodeError: the export was accepted, but the answer holds no id.
        """
        job = await self.start_query(project_id, query_id, export)
        return await self.wait(project_id, _id_of(job), waiting=waiting, on_progress=on_progress)

    async def run_table(
        self,
        project_id: str,
        catalog_id: str,
        schema_name: str,
        table_name: str,
        export: ExportRequest,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[ExportJobResponse], object] | None = None,
    ) -> ExportJobResponse:
        """Export a table and wait for its files.

        Raises:
            WorkFailedError: the export failed, was cancelled or has expired, with the service's reason.
            WaitTimeoutError: the export has not ended in time; it goes on.
            WaitStalledError: the export shows no progress.
            DecodeError: the export was accepted, but the answer holds no id.
        """
        job = await self.start_table(project_id, catalog_id, schema_name, table_name, export)
        return await self.wait(project_id, _id_of(job), waiting=waiting, on_progress=on_progress)

    async def wait(
        self,
        project_id: str,
        export_id: str,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[ExportJobResponse], object] | None = None,
    ) -> ExportJobResponse:
        """Wait for an export that was started before.

        Raises:
            WorkFailedError: the export failed, was cancelled or has expired, with the service's reason.
            WaitTimeoutError: the export has not ended in time; it goes on.
            WaitStalledError: the export shows no progress.
        """
        return await wait(
            functools.partial(self.get, project_id, export_id),
            read_export,
            operation="exports.wait",
            waiting=waiting,
            on_progress=on_progress,
        )

    def download(
        self,
        project_id: str,
        export_id: str,
        file_name: str | None = None,
        *,
        decompress: bool = False,
        max_ratio: float | None = None,
    ) -> Download:
        """Download a file of an export: iterate over its pieces, or `save` it.

        Args:
            project_id: the project.
            export_id: an export that has succeeded.
            file_name: the name of the file; not needed if the export has only one.
            decompress: whether to decompress a gzip file.
            max_ratio: how many times its size a file may inflate to; more is an error. Without it there is no limit,
                but no more than a small piece is in memory at a time.

        Raises:
            ConfigurationError: on reading: there is no such file, or there are several and no name was passed.
            PeakaError: on reading: the download failed after several attempts.
        """

        async def refresh() -> ExportFile:
            return file_named((await self.get(project_id, export_id)).files, file_name)

        return Download(self._stream, refresh, decompress=decompress, max_ratio=max_ratio)


def _id_of(job: ExportJobCreated) -> str:
    if job.id is None:
        msg = "the export was accepted, but the answer holds no id. List the exports to find it."
        raise DecodeError(msg, operation="exports.wait", path="$.id")
    return job.id


def read_export(job: ExportJobResponse) -> Polled:
    """Read the state of an export from an answer."""
    state = state_name(job.status)
    if job.status == ExportStatus.SUCCEEDED:
        return Polled(state=state, ended=True, progress=state)
    if job.status in {ExportStatus.FAILED, ExportStatus.CANCELLED, ExportStatus.EXPIRED}:
        return Polled(state=state, failure=job.error or f"the export is {state}", progress=state)
    return Polled(state=state, progress=(state, job.row_count, job.bytes))
