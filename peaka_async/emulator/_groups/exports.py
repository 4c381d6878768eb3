"""Exports: queries and tables written to files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from peaka_async.emulator._clock import iso
from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._files import Files
from peaka_async.emulator._groups.catalogs import catalog_in, schema_in, table_names
from peaka_async.emulator._operation import (
    Answer,
    Call,
    Operation,
    Refusal,
    failed,
    not_found,
    optional_number,
    optional_object,
    optional_text,
    texts,
    unreadable,
)
from peaka_async.emulator._sql.relations import table_of
from peaka_async.emulator._state import ExportJob, ProjectRecord
from peaka_async.emulator._world import Oddity, World

if TYPE_CHECKING:
    from peaka_async.emulator._sql.engine import Result

_FORMATS = ("CSV", "JSONL")
_COMPRESSIONS = (None, "NONE", "GZIP")
_MOST_ROWS = 1_000_000
_ROWS_OF_A_FILE = 10_000
_PAGE, _LONGEST_PAGE = 50, 200
_KEPT = timedelta(days=1)


class Exports:
    """The exports of a project: first queued, then running, then with links to files."""

    def __init__(self, world: World, files: Files) -> None:
        self._world, self._files = world, files
        world.on("export begins", self._begins)
        world.on("export ends", self._ends)

    def operations(self) -> tuple[Operation, ...]:
        data = "/data/projects/{projectId}"
        table = f"{data}/catalogs/{{catalogId}}/schemas/{{schemaName}}/tables/{{tableName}}"
        one = f"{data}/exports/{{exportId}}"
        return (
            Operation("exports.start_query", "POST", f"{data}/queries/{{queryId}}/exports", self._start_query),
            Operation("exports.start_table", "POST", f"{table}/exports", self._start_table),
            Operation("exports.list", "GET", f"{data}/exports", self._list),
            Operation("exports.get", "GET", one, self._get),
            Operation("exports.cancel", "DELETE", one, self._cancel),
        )

    def _start_query(self, call: Call) -> Answer:
        query, job = self._world.query(call), self._job(call)
        job.query_id, job.source = query.id, f'peaka.query."{query.name}"'
        return self._start(call, job)

    def _start_table(self, call: Call) -> Answer:
        catalog = catalog_in(self._world, call)
        schema, name = schema_in(catalog, call), call.path["tableName"]
        if name not in table_names(self._world.project(call), catalog, schema):
            raise not_found(f"There is no table '{schema}.{name}'")
        job = self._job(call)
        job.catalog_id, job.schema, job.table = catalog.id, schema, name
        job.source = f'{catalog.name}.{schema}."{name}"'
        return self._start(call, job)

    def _job(self, call: Call) -> ExportJob:
        """The job for a request, if the request is valid."""
        body = call.json_object()
        if body.get("format", "CSV") not in _FORMATS:
            raise unreadable(name="format", value=body["format"])
        if body.get("compression") not in _COMPRESSIONS:
            raise unreadable(name="compression", value=body["compression"])
        optional_number(body, "limit")
        texts(body, "columns")
        return ExportJob(id=str(uuid.uuid4()), created_at=self._world.now, request=body, owner=call.caller.key_prefix)

    def _start(self, call: Call, job: ExportJob) -> Answer:
        project = self._world.project(call)
        project.exports[job.id] = job
        self._world.later(self._world.pace.waits, "export begins", project, job.id)
        return Answer(202, {"id": job.id, "status": self._status(job)})

    def _list(self, call: Call) -> object:
        limit = min(max(call.whole_number("limit", _PAGE), 1), _LONGEST_PAGE)
        wanted = {each for value in call.request.query.getall("status", []) for each in value.split(",")}
        before = _moment(call.query.get("createdBefore"))
        jobs = sorted(self._world.project(call).exports.values(), key=lambda job: job.created_at, reverse=True)
        shown = [self._shown(job, call) for job in jobs if before is None or job.created_at < before]
        return [each for each in shown if not wanted or each["status"] in wanted][:limit]

    def _get(self, call: Call) -> object:
        job = self._find(call)
        shown = self._shown(job, call)
        if shown["downloadable"]:
            expired = Oddity.LINKS_EXPIRED in self._world.oddities
            seconds = -1.0 if expired else self._world.pace.links
            shown["files"] = [
                {
                    "name": name,
                    "url": self._files.link(job.id, name, seconds),
                    "bytes": self._files.size(job.id, name),
                }
                for name in job.files
            ]
            shown["expiresAt"] = iso(self._world.now + timedelta(seconds=seconds))
        return shown

    def _cancel(self, call: Call) -> Answer:
        job = self._find(call)
        if job.status in {"QUEUED", "RUNNING"}:
            job.status, job.finished_at = "CANCELLED", self._world.now
        return Answer(204)

    def _find(self, call: Call) -> ExportJob:
        job = self._world.project(call).exports.get(call.path["exportId"])
        if job is None:
            raise not_found(f"There is no export with id {call.path['exportId']}")
        return job

    def _status(self, job: ExportJob) -> str:
        if job.status == "QUEUED" and not self._world.deviates(Deviation.QUEUED_EXPORT):
            return "PENDING"
        if job.status == "SUCCEEDED" and self._is_gone(job):
            return "EXPIRED"
        return job.status

    def _is_gone(self, job: ExportJob) -> bool:
        """Whether the files were removed: after a day, or because the emulator that made them has stopped."""
        if job.finished_at is not None and self._world.now >= job.finished_at + _KEPT:
            self._files.remove(job.id)
        return any(self._files.size(job.id, name) is None for name in job.files)

    def _shown(self, job: ExportJob, call: Call) -> dict[str, object]:
        status = self._status(job)
        sizes = [self._files.size(job.id, name) or 0 for name in job.files]
        took = None if job.finished_at is None else int((job.finished_at - job.created_at).total_seconds() * 1000)
        return {
            "id": job.id,
            "status": status,
            "format": job.request.get("format", "CSV"),
            "compression": job.request.get("compression", "NONE"),
            "rowCount": job.row_count,
            "bytes": sum(sizes) if job.files else None,
            "durationMs": took,
            "downloadable": status == "SUCCEEDED" and job.owner == call.caller.key_prefix,
            "error": job.error,
            "createdAt": iso(job.created_at),
            "queryId": job.query_id,
            "catalogId": job.catalog_id,
            "schemaName": job.schema,
            "tableName": job.table,
            "source": job.source,
            "userId": self._world.state.user_id,
            "userName": self._world.state.email,
            "apiKeyPrefix": job.owner,
            "clientSource": "peaka-api",
        }

    def _begins(self, project: ProjectRecord, export_id: str, _: int) -> None:
        job = project.exports.get(export_id)
        if job is None or job.status != "QUEUED":
            return
        job.status = "RUNNING"
        if Oddity.EXPORT_HANGS not in self._world.oddities:
            self._world.later(self._world.pace.runs, "export ends", project, export_id)

    def _ends(self, project: ProjectRecord, export_id: str, _: int) -> None:
        job = project.exports.get(export_id)
        if job is None or job.status != "RUNNING":
            return
        job.finished_at = self._world.now
        try:
            if Oddity.EXPORT_FAILS in self._world.oddities:
                raise failed("Query exceeded the maximum run time")
            self._write(job, self._result(project, job))
        except Refusal as refusal:
            job.status = "FAILED"
            job.error = str(refusal.body["message"]) if isinstance(refusal.body, dict) else "Query execution failed"
        else:
            job.status = "SUCCEEDED"

    def _result(self, project: ProjectRecord, job: ExportJob) -> Result:
        wanted = texts(job.request, "columns") or self._columns(project, job)
        chosen = ", ".join('"' + name.replace('"', '""') + '"' for name in wanted) if wanted else "*"
        if job.query_id is not None:
            query = project.queries.get(job.query_id)
            if query is None:
                raise self._world.no_query(job.query_id)
            source = f"({query.sql})"
        else:
            source = f'"{project.catalogs[str(job.catalog_id)].name}"."{job.schema}"."{job.table}"'
        limit = min(max(optional_number(job.request, "limit") or _MOST_ROWS, 1), _MOST_ROWS)
        return self._world.engine.run(project, f"SELECT {chosen} FROM {source} LIMIT {limit}")  # noqa: S608 - bound

    def _columns(self, project: ProjectRecord, job: ExportJob) -> list[str]:
        """The columns of a table; empty for a query, and for a table that is a saved query."""
        catalog = project.catalogs.get(str(job.catalog_id))
        table = table_of(catalog, str(job.schema), str(job.table)) if catalog is not None else None
        if table is None:
            return []
        with_system = self._world.deviates(Deviation.SYSTEM_COLUMNS) or job.request.get("includeSystemColumns") is True
        return [column.name for column in table.visible if with_system or not column.system]

    def _write(self, job: ExportJob, result: Result) -> None:
        if not result.rows:
            raise failed("The export produced no files")
        compressed = job.request.get("compression") == "GZIP"
        ending = f"{str(job.request.get('format', 'CSV')).lower()}{'.gz' if compressed else ''}"
        for number, start in enumerate(range(0, len(result.rows), _ROWS_OF_A_FILE)):
            name = f"part-{number:04d}.{ending}"
            content = _content(job.request, result, start).encode()
            self._files.put(job.id, name, gzip.compress(content, mtime=0) if compressed else content)
            job.files.append(name)
        job.row_count = len(result.rows)


def _content(request: dict[str, object], result: Result, start: int) -> str:
    rows = result.rows[start : start + _ROWS_OF_A_FILE]
    names = [column.name for column in result.columns]
    if request.get("format") == "JSONL":
        return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    options = optional_object(request, "csvOptions") or {}
    null = optional_text(options, "nullValue") or ""
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=(optional_text(options, "delimiter") or ",")[0],
        quotechar=(optional_text(options, "quoteChar") or '"')[0],
        lineterminator=optional_text(options, "recordSeparator") or "\n",
    )
    if options.get("includeHeader") is not False:
        writer.writerow(names)
    writer.writerows([null if cell is None else cell for cell in row] for row in rows)
    return out.getvalue()


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Refusal(400, error="Bad Request", message="Parameter 'createdBefore' is not a timestamp") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
