"""Downloads of exported files: resumed if the connection breaks, with a new link if the old one has expired."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, final
from urllib.parse import urlsplit

from peaka_async._request import LOOPBACK, Request, Safety, Streamed
from peaka_async.errors import APIError, ConfigurationError, DecodeError, PeakaError, TransportError, WireProgress
from peaka_async.models.exports import ExportFile

_OPERATION = "exports.download"
_MAX_FAILURES = 5
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_PARTIAL = 206
_PAUSE = 0.2
_GZIP = 31
_PIECE = 256 * 1024
_LARGE = 4 * 1024 * 1024

T = TypeVar("T")

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

    def __init__(
        self, stream: Stream, refresh: Refresh, *, decompress: bool = False, max_ratio: float | None = None
    ) -> None:
        self._stream, self._refresh = stream, refresh
        self._pieces = _inflated(self._read(), max_ratio) if decompress else self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def save(self, path: str | os.PathLike[str], *, mode: int = 0o600) -> Path:
        """Save the file. It appears under its name only when it is complete, and replaces a file of that name.

        Args:
            path: where to save it.
            mode: who may read it, as for `os.chmod`; the default is the owner alone. The process's umask applies.

        Raises:
            PeakaError: the download failed after several attempts; no partial file is left.
            OSError: the file cannot be written.
        """
        target = Path(path)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        opened: list[BinaryIO] = []
        try:
            await _in_thread(lambda: opened.append(_new_file(part, mode)))
            (file,) = opened
            async for piece in self:
                await _in_thread(functools.partial(file.write, piece))
            await _in_thread(file.close)
            await _in_thread(functools.partial(part.replace, target))
        except BaseException:
            with contextlib.suppress(OSError):
                for file in opened:
                    file.close()
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
    if not file.url or not _is_link(file.url):
        msg = "the export has no https:// link to this file. Only the user who started an export can download it."
        raise DecodeError(msg, operation=_OPERATION)
    headers = {}
    if done:
        headers["Range"] = f"bytes={done}-"
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    return Request(_OPERATION, "GET", "/", url=file.url, headers=headers, returns=bytes, safety=Safety.SAFE)


def _is_link(url: str) -> bool:
    """Whether it leads to a file over TLS, or on this machine, and says nothing of who asks."""
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    return is_address and is_safe and is_plain and "@" not in parts.netloc


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


async def _inflated(pieces: AsyncGenerator[bytes, None], max_ratio: float | None) -> AsyncGenerator[bytes, None]:
    """Decompress a gzip file, which can have several members, in pieces of limited size."""
    inflater, complete, taken, given = zlib.decompressobj(_GZIP), False, 0, 0
    try:
        async for piece in pieces:
            rest, taken = piece, taken + len(piece)
            while rest or (inflater.unconsumed_tail and not inflater.eof):
                # The first pieces are inflated at once; a large file is left to a thread, and the loop stays free.
                plain = (
                    _step(inflater, rest)
                    if given < _LARGE
                    else await _in_thread(functools.partial(_step, inflater, rest))
                )
                given += len(plain)
                if max_ratio is not None and given > max_ratio * taken:
                    msg = (
                        f"the file inflates to more than {max_ratio:g} times its size, which max_ratio does not allow."
                    )
                    raise DecodeError(msg, operation=_OPERATION)
                rest, complete = inflater.unused_data or inflater.unconsumed_tail, inflater.eof
                if complete:
                    inflater = zlib.decompressobj(_GZIP)
                if plain:
                    yield plain
        if not complete:
            msg = "the gzip file is incomplete."
            raise DecodeError(msg, operation=_OPERATION)
    finally:
        await pieces.aclose()


def _step(inflater: zlib._Decompress, data: bytes) -> bytes:
    try:
        return inflater.decompress(data, _PIECE)
    except zlib.error:
        pass
    msg = "the file is not gzip; leave out decompress."
    raise DecodeError(msg, operation=_OPERATION)


def _new_file(path: Path, mode: int) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    return os.fdopen(descriptor, "wb")


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what can block in a thread. If it is cancelled it waits until the thread is done, so that nothing is left."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        running.exception()
        raise cancelled
    return running.result()


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
