"""Downloads of exported files: resumed if the connection breaks, with a new link if the old one has expired."""

from __future__ import annotations

import asyncio
import os
import secrets
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, final

from peaka_async._request import Request, Safety, Streamed
from peaka_async.errors import APIError, ConfigurationError, DecodeError, PeakaError, TransportError, WireProgress
from peaka_async.models.exports import ExportFile

_OPERATION = "exports.download"
_MAX_FAILURES = 5
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_PARTIAL = 206
_PAUSE = 0.2
_GZIP = 31

Refresh = Callable[[], Awaitable[ExportFile]]
Stream = Callable[[Request[bytes]], Awaitable[Streamed]]


@final
class Download:
    """A file of an export: iterate over its pieces, or save it.

    ```python
    async with peaka.exports.download("mtKDhe1U", export_id, "part-0.csv") as download:
        async for piece in download:
            ...
    ```

    If the connection breaks, the download resumes at the same place. If the link expires, a new one is fetched. The
    file comes from another host; the API key and the trace context are not sent to it.
    """

    def __init__(self, stream: Stream, refresh: Refresh, *, decompress: bool) -> None:
        self._stream, self._refresh = stream, refresh
        self._pieces = _inflated(self._read()) if decompress else self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Save the file. It appears under its name only when it is complete.

        Raises:
            PeakaError: the download failed after several attempts; no partial file is left.
            OSError: the file cannot be written.
        """
        target = Path(path)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        file = await asyncio.to_thread(part.open, "xb")
        try:
            with file:
                async for piece in self:
                    await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(part.replace, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            await self.aclose()
        return target

    async def aclose(self) -> None:
        """Close the connection. A second call does nothing."""
        await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read(self) -> AsyncGenerator[bytes, None]:
        done, failures, tag = 0, 0, ""
        file = await self._refresh()
        while True:
            size, failure = None, None
            try:
                answer = await self._stream(_request(file, done, tag))
                try:
                    tag = _same_version(tag, answer, done)
                    size = _whole_size(answer, done)
                    async for piece in _from(answer, done):
                        done, failures = done + len(piece), 0
                        yield piece
                finally:
                    await answer.aclose()
            except (APIError, TransportError) as error:
                failure = error
            if failure is None and (size is None or done >= size):
                return
            failures += 1
            if failures >= _MAX_FAILURES or not _may_resume(failure):
                raise failure or _short(done, size)
            await asyncio.sleep(_PAUSE * 2**failures)
            file = await self._refresh()


def _request(file: ExportFile, done: int, tag: str) -> Request[bytes]:
    if not file.url or not file.url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        msg = "the export has no https:// link to this file. Only the user who started an export can download it."
        raise DecodeError(msg, operation=_OPERATION)
    headers = {}
    if done:
        headers["Range"] = f"bytes={done}-"
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    return Request(_OPERATION, "GET", "/", url=file.url, headers=headers, returns=bytes, safety=Safety.SAFE)


def _whole_size(answer: Streamed, done: int) -> int | None:
    """The size of the whole file, from the answer's headers; None if they do not say."""
    length = answer.headers.get("Content-Length")
    if length is None or not length.isdecimal():
        return None
    size = int(length) + (done if answer.status == _PARTIAL else 0)
    if size < done:
        raise _changed()
    return size


def _same_version(tag: str, answer: Streamed, done: int) -> str:
    """The answer's ETag. What was read so far must be of the same version of the file."""
    found = answer.headers.get("ETag", "")
    if done and tag and found and found != tag:
        raise _changed()
    return found


def _changed() -> DecodeError:
    msg = "the file changed during the download, so the first part is of another version. Download it again."
    return DecodeError(msg, operation=_OPERATION)


async def _from(answer: Streamed, done: int) -> AsyncIterator[bytes]:
    """The pieces after the first `done` bytes of the file; a server may send the file from its start again."""
    skip = 0 if answer.status == _PARTIAL else done
    if answer.status == _PARTIAL and not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
        msg = "the file's host sent a different range than the client asked for."
        raise DecodeError(msg, operation=_OPERATION)
    async for piece in answer:
        if len(piece) > skip:
            yield piece[skip:]
        skip = max(0, skip - len(piece))


def _may_resume(failure: PeakaError | None) -> bool:
    return not isinstance(failure, APIError) or failure.status in _EXPIRED or failure.status >= 500  # noqa: PLR2004


def _short(done: int, size: int | None) -> TransportError:
    msg = f"the file ended after {done} of {size} bytes, {_MAX_FAILURES} times in a row."
    return TransportError(msg, operation=_OPERATION, progress=WireProgress.MAYBE_SENT)


async def _inflated(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Decompress a gzip file, which can have several members."""
    inflater, complete = zlib.decompressobj(_GZIP), False
    try:
        async for piece in pieces:
            rest = piece
            while rest:
                try:
                    plain = inflater.decompress(rest)
                except zlib.error:
                    plain = None
                if plain is None:
                    msg = "the file is not gzip; leave out decompress."
                    raise DecodeError(msg, operation=_OPERATION)
                rest, complete = inflater.unused_data, inflater.eof
                if complete:
                    inflater = zlib.decompressobj(_GZIP)
                if plain:
                    yield plain
        if not complete:
            msg = "the gzip file is incomplete."
            raise DecodeError(msg, operation=_OPERATION)
    finally:
        await pieces.aclose()


def file_named(files: list[ExportFile] | None, name: str | None) -> ExportFile:
    """The file with that name; without a name, the only file.

    Raises:
        ConfigurationError: no file has the name, or the name is missing and there are several files.
    """
    names = [file.name for file in files or ()]
    found = [file for file in files or () if name is None or file.name == name]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(map(str, names)) or "none. Only the user who started an export sees them, once it has succeeded"
    msg = f"{'pass the name of one of' if found else 'there is no such file among'} the export's files: {shown}."
    raise ConfigurationError(msg, operation=_OPERATION)
