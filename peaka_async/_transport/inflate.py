"""Decompression of bodies, in steps of limited size and with a check of the end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, final

from peaka_async._transport.wire import AnswerTooLargeError, BrokenExchangeError

_STEP: Final = 65536
_GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})
_UNCODED: Final = frozenset({"", "identity"})


def inflater(coding: str | None, limit: int) -> Inflater | None:
    """Make an inflater for a body with this `Content-Encoding`; None if the body is not compressed.

    Raises:
        BrokenExchangeError: the request did not accept this coding.
    """
    name = "" if coding is None else coding.strip().lower()
    if name in _UNCODED:
        return None
    if name in _GZIP_NAMES or name == "deflate":
        return Inflater(is_gzip=name != "deflate", limit=limit)
    msg = "its content has a coding that was not asked for"
    raise BrokenExchangeError(msg)


@final
class Inflater:
    """Inflates one body.

    It never holds more than one step of the inflated body, even if a small body inflates to a large one.
    """

    __slots__ = ("_inflate", "_is_gzip", "_left")

    def __init__(self, *, is_gzip: bool, limit: int) -> None:
        self._is_gzip = is_gzip
        self._inflate: zlib._Decompress | None = None
        self._left = limit

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflate the next piece of the body.

        Raises:
            AnswerTooLargeError: the body is larger than the limit; the part within the limit was yielded before.
            BrokenExchangeError: the body is not valid for its coding.
        """
        while data:
            inflate = self._inflate = self._inflate or zlib.decompressobj(self._format(data))
            piece = _inflated(inflate, data)
            while piece:
                self._left -= len(piece)
                if self._left < 0:
                    yield piece[: self._left]
                    raise AnswerTooLargeError
                yield piece
                # There can be more output after all input was used.
                piece = _inflated(inflate, inflate.unconsumed_tail) if len(piece) == _STEP else b""
            data = self._rest(inflate)

    def _format(self, data: bytes) -> int:
        if self._is_gzip:
            return 16 + zlib.MAX_WBITS
        # In the standard, `deflate` is zlib's format; some servers send its raw content instead.
        return zlib.MAX_WBITS if data[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS

    def _rest(self, inflate: zlib._Decompress) -> bytes:
        if not inflate.eof:
            return inflate.unconsumed_tail
        if inflate.unused_data and self._is_gzip:
            self._inflate = None  # gzip can consist of several members
        elif inflate.unused_data:
            msg = "its compressed content goes on after its end"
            raise BrokenExchangeError(msg)
        return inflate.unused_data

    def end(self) -> None:
        """Check that the compressed content is complete at the end of the body.

        Raises:
            BrokenExchangeError: it is not complete.
        """
        if self._inflate is not None and not self._inflate.eof:
            msg = "its compressed content breaks off"
            raise BrokenExchangeError(msg)


def _inflated(inflate: zlib._Decompress, data: bytes) -> bytes:
    try:
        return inflate.decompress(data, _STEP)
    except zlib.error:
        pass
    msg = "its compressed content is damaged"
    raise BrokenExchangeError(msg)
