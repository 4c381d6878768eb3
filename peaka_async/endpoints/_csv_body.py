"""A CSV file as the body of an import: its header line is checked, then the file is sent piece by piece."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import functools
import io
import json
import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, cast

from peaka_async._request import Content
from peaka_async.errors import ConfigurationError
from peaka_async.models.internal_tables import CsvImportRequest

CsvFile = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
"""A path, the file's bytes, an open binary file, or an async iterable of pieces."""

_PIECE_BYTES = 256 * 1024
_MAX_HEADER_BYTES = 1024 * 1024
_SHOWN_COLUMNS = 20
_BOM = b"\xef\xbb\xbf"
_RECORD = re.compile(rb"""(?:[^"\r\n]|"[^"]*")*+[\r\n]""")
"""A record with its line end; quoted fields can contain line ends."""


def _again(file: CsvFile) -> Callable[[], AsyncGenerator[bytes, None]] | None:
    """A function that reads the file from its start; None for an open file and for pieces, which are read once."""
    if isinstance(file, bytes):
        return functools.partial(_of_bytes, file)
    if isinstance(file, str | os.PathLike):
        return functools.partial(_of_path, Path(file))
    return None


async def _of_bytes(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


async def _of_path(path: Path) -> AsyncGenerator[bytes, None]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
    finally:
        file.close()


async def _of_open(file: BinaryIO) -> AsyncIterator[bytes]:
    """The pieces of an open file from its current position."""
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        yield piece


async def _after(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the bytes that were read before, and then the other pieces."""
    yield head
    async for piece in pieces:
        yield piece


async def csv_content(file: CsvFile, request: CsvImportRequest, *, operation: str) -> Content:
    """Make the multipart body of an import, in a form that the live service is known to accept.

    The file comes first, and then `request` as a field without a Content-Type. The body has a Content-Length. The
    length of an async iterable is unknown, so it is sent chunked.

    To check the mapping, the file is read up to the end of its header line. The rest is read while it is sent.

    Raises:
        ConfigurationError: the file cannot be read, is empty, or lacks a mapped column. The service would import NULLs
            for it and report success.
    """
    size = await asyncio.to_thread(_size_of, file)
    source: Callable[[], AsyncIterator[bytes]]
    again = _again(file)
    if again is not None:
        source = again
        async with contextlib.aclosing(again()) as opened:
            head, problem = await _head(opened)
    else:
        pieces = aiter(file) if isinstance(file, AsyncIterable) else _of_open(cast("BinaryIO", file))
        head, problem = await _head(pieces)
        source = functools.partial(_after, head, pieces)
    problem = problem or _mismatch(head, request)
    if problem is not None:
        msg = f"{problem}. Nothing was sent."
        raise ConfigurationError(msg, operation=operation)
    boundary = f"peaka-{secrets.token_hex(16)}"
    before, after = _frame(boundary, _configuration(request))

    async def body() -> AsyncIterator[bytes]:
        yield before
        async for piece in source():
            yield piece
        yield after

    return Content(
        media_type=f"multipart/form-data; boundary={boundary}",
        chunks=body,
        size=None if size is None else len(before) + size + len(after),
        repeatable=again is not None,
    )


def _size_of(file: CsvFile) -> int | None:
    """The number of bytes from the file's current position to its end; None if it is unknown before reading."""
    if isinstance(file, bytes):
        return len(file)
    try:
        if isinstance(file, str | os.PathLike):
            return Path(file).stat().st_size
        if isinstance(file, AsyncIterable) or not file.seekable():
            return None
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
    except (OSError, AttributeError):
        # An unreadable file is reported when it is read.
        return None
    return end - start


async def _head(pieces: AsyncIterator[bytes]) -> tuple[bytes, str | None]:
    """Read pieces until the first record is complete; return them, and the reason if they cannot be read."""
    head = b""
    try:
        async for piece in pieces:
            if not isinstance(piece, bytes):
                return head, f"the file gives {type(piece).__name__} instead of bytes"
            head += piece
            if _RECORD.match(head.lstrip()) or len(head) > _MAX_HEADER_BYTES:
                break
    except OSError as error:
        return head, f"the file cannot be read: {error.strerror or type(error).__name__}"
    return head, None


def _configuration(request: CsvImportRequest) -> bytes:
    mappings = []
    for mapping in request.mappings:
        by_name = mapping.csv_column_name is not None
        column = {"csvColumnName": mapping.csv_column_name} if by_name else {"csvColumnIndex": mapping.csv_column_index}
        mappings.append({"name": mapping.name, **column})
    return json.dumps({"mappings": mappings, "containsHeader": request.contains_header}).encode()


def _frame(boundary: str, request: bytes) -> tuple[bytes, bytes]:
    """The parts of the multipart body before and after the file's bytes."""
    before = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="import.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    )
    between = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="request"\r\n\r\n'
    return before.encode(), between.encode() + request + f"\r\n--{boundary}--\r\n".encode()


def _mismatch(head: bytes, request: CsvImportRequest) -> str | None:
    """The reason why the file does not fit the mapping; None if it fits."""
    if not head.strip():
        return "the file is empty"
    text = head.removeprefix(_BOM).decode(errors="ignore")
    try:
        first = next(csv.reader(io.StringIO(text, newline="")))
    except (csv.Error, StopIteration):
        return "the file's first line is not CSV"
    names = [mapping.csv_column_name for mapping in request.mappings if mapping.csv_column_name is not None]
    missing = [name for name in names if name not in first]
    if missing:
        return f"the file has no column {', '.join(missing)}; its header has {', '.join(first[:_SHOWN_COLUMNS])}"
    indexes = [mapping.csv_column_index for mapping in request.mappings if mapping.csv_column_index is not None]
    if indexes and max(indexes) >= len(first):
        return f"the file has {len(first)} columns, but the mapping names a column at index {max(indexes)}"
    return None
