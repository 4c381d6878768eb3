"""Exports: queries and tables written to files."""

from __future__ import annotations

import enum
from datetime import datetime

import attrs

from peaka_async.models._model import Model
from peaka_async.models._status import Status

__all__ = [
    "ExportCompression",
    "ExportCsvOptions",
    "ExportFile",
    "ExportFormat",
    "ExportJobCreated",
    "ExportJobResponse",
    "ExportRequest",
    "ExportStatus",
]


class ExportFormat(enum.StrEnum):
    """The format of the exported files."""

    CSV = "CSV"
    JSONL = "JSONL"


class ExportCompression(enum.StrEnum):
    """The compression of the exported files. With GZIP their names end in `.gz`."""

    NONE = "NONE"
    GZIP = "GZIP"


class ExportStatus(Status):
    """The state of an export. EXPIRED means that it succeeded and its files have been removed."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


@attrs.frozen(kw_only=True)
class ExportCsvOptions(Model):
    """The format of a CSV file."""

    delimiter: str | None = None
    quote_char: str | None = None
    record_separator: str | None = None
    include_header: bool | None = None
    null_value: str | None = None


@attrs.frozen(kw_only=True)
class ExportRequest(Model):
    """An export to start.

    `limit` is the number of rows; the service changes it to a number from 1 to 1,000,000. Without `columns` all columns
    are exported. `include_system_columns` adds Peaka's own columns (`_id`, `_version`, …).
    """

    format: ExportFormat | str | None = None
    limit: int | None = None
    csv_options: ExportCsvOptions | None = None
    include_system_columns: bool | None = None
    columns: list[str] | None = None
    compression: ExportCompression | str | None = None


@attrs.frozen
class ExportJobCreated(Model):
    """An export that was accepted."""

    id: str | None = None
    status: ExportStatus | str | None = None


@attrs.frozen
class ExportFile(Model):
    """A file of an export. Until it expires, `url` works for anyone who has it, so the repr leaves it out.

    `bytes` is the size of the file.
    """

    name: str | None = None
    url: str | None = attrs.field(default=None, repr=False)
    bytes: int | None = None


@attrs.frozen
class ExportJobResponse(Model):
    """An export.

    `files` is set if the export has succeeded, for the user who started it, and only by `get`, not by `list`. The links
    expire at `expires_at`; call `get` again for new ones.
    """

    id: str | None = None
    status: ExportStatus | str | None = None
    format: ExportFormat | str | None = None
    compression: ExportCompression | str | None = None
    row_count: int | None = None
    bytes: int | None = None
    duration_ms: int | None = None
    files: list[ExportFile] | None = None
    expires_at: datetime | str | None = None
    downloadable: bool | None = None
    error: str | None = None
    created_at: datetime | str | None = None
    query_id: str | None = None
    catalog_id: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    source: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    api_key_prefix: str | None = None
    client_source: str | None = None
