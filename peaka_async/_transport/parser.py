"""Reading of answers, with httptools' parser and further checks.

The parser is strict about messages: it refuses conflicting and malformed lengths, a length together with chunks, bare
line ends and folded headers. This module also checks for status 101 and statuses below 100, versions other than HTTP/1,
transfer codings other than `chunked`, all sizes, and data before and after an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn, Protocol, final

from httptools import HttpParserError, HttpResponseParser

from peaka_async._transport.inflate import Inflater, inflater
from peaka_async._transport.message import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, Fields, Reply, Version
from peaka_async._transport.wire import AnswerTooLargeError, BrokenExchangeError

# The limit of a chunked body's framing per byte of content, in addition to the limit of a head.
_MAX_FRAMING: Final = 16

_FIRST_BYTE: Final = b"H"[0]
_HEAD_END: Final = b"\r\n\r\n"
_LINE_ENDS: Final = frozenset(b"\r\n")
_LEAST, _SWITCHING, _LEAST_FINAL = 100, 101, 200
_NO_BODY: Final = "no body follows"
_BODILESS: Final = frozenset({204, 304})

# Headers that say how to read a body. The lengths of their names are compared first, which is faster.
_NOTED_LENGTHS: Final = frozenset({len("Content-Encoding"), len("Transfer-Encoding")})


_VERSIONS: Final = {"1.1": Version(1, 1), "1.0": Version(1, 0)}


class Course(Protocol):
    """Records how far an exchange got."""

    head: Any
    phase: str


@final
class ReplyParser:
    """Reads the answers of one connection, one after another."""

    __slots__ = (
        "_coding",
        "_course",
        "_fields",
        "_framing",
        "_head_at",
        "_inflater",
        "_is_head",
        "_max_body",
        "_parser",
        "_payload",
        "_pieces",
        "_problem",
        "_received",
        "_reply",
        "_tail",
        "is_complete",
        "is_last",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.is_complete = True
        """Whether no answer is awaited, or the awaited answer is complete."""
        self.is_last = False
        """Whether the connection cannot be used for a further answer."""

    def begin(self, course: Course, *, max_body: int, is_head: bool) -> Reply:
        """Await an answer. Its body is cut off after `max_body` bytes."""
        fields = Fields()
        self._fields = fields.raw
        reply = self._reply = Reply(fields)
        self._course = course
        self._max_body = max_body
        self._is_head = is_head
        self._pieces: list[bytes] = []
        self._received = self._payload = self._head_at = 0
        self._tail = b""
        self._coding: bytes | None = None
        self._framing: bytes | None = None
        self._inflater: Inflater | None = None
        self._problem: str | None = None
        self.is_complete = False
        return reply

    def feed(self, data: bytes) -> bool:
        """Read data; returns whether the answer is complete.

        Raises:
            BrokenExchangeError: the answer is invalid or not supported.
        """
        if not self._received and data[0] != _FIRST_BYTE:
            msg = "the server sent data that is not an HTTP answer"
            raise BrokenExchangeError(msg)
        before = self._payload
        self._received += len(data)
        problem = None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            problem = self._problem or f"the answer is malformed: {error}"
        if self.is_complete:
            self.is_last |= problem not in {None, _NO_BODY}
            if (self._is_head or data[-1] in _LINE_ENDS) and self._goes_on(data, self._payload - before):
                self.is_last = True
            return True
        self._tail = (self._tail + data[-5:])[-5:]
        if problem is None and self._received - self._payload > MAX_HEAD_BYTES + _MAX_FRAMING * self._payload:
            problem = "the answer's head or framing is too large"
        if problem is not None:
            raise BrokenExchangeError(problem)
        return False

    def feed_eof(self, *, is_torn: bool) -> None:
        """Handle the end of the connection; `is_torn` means that a TLS connection ended without TLS's own end.

        Raises:
            BrokenExchangeError: the answer is not complete.
        """
        self.is_last = True
        if self.is_complete:
            return
        if is_torn or not self._ends_with_connection():
            msg = "the server closed the connection"
            raise BrokenExchangeError(msg)
        try:
            self._complete()
        except BrokenExchangeError:
            if self._problem is None:
                raise
        if self._problem is not None:
            raise BrokenExchangeError(self._problem)

    def close(self) -> None:
        """Drop httptools' parser: both parsers refer to each other."""
        del self._parser

    def _is_head_too_large(self) -> bool:
        return self._received > MAX_HEAD_BYTES and _size(self._fields) > MAX_HEAD_BYTES

    def _ends_with_connection(self) -> bool:
        reply = self._reply
        return (
            reply.status not in _BODILESS
            and reply.status != 0
            and self._framing is None
            and all(name.lower() != b"content-length" for name, _ in self._fields)
        )

    def _goes_on(self, data: bytes, content: int) -> bool:
        """Whether line ends follow the answer, which the parser skips; `content` bytes of the data are content."""
        end = self._tail + data
        if self._framing is None and content:
            if self._head_at == self._received:
                return not end[:-content].endswith(_HEAD_END)
            return content != len(data)
        if self._is_head:
            return end.find(_HEAD_END) != len(end) - len(_HEAD_END)
        return not end.endswith(_HEAD_END) or end.endswith(b"\n" + _HEAD_END)

    # ── Callbacks of httptools ───────────────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        if self.is_complete:
            # Another answer follows without a request: the answer that was read does not change.
            self._refuse("it goes on after its end")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        if len(name) in _NOTED_LENGTHS:
            self._note(name.lower(), value.strip())

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            if self._framing is not None or value.lower() != b"chunked":
                self._refuse("its transfer coding is not known")
            self._framing = value
        elif name == b"content-encoding":
            if self._coding is not None:
                self._refuse("its content has more than one coding")
            self._coding = value

    def on_headers_complete(self) -> None:
        parser, reply = self._parser, self._reply
        if len(self._fields) > MAX_HEAD_FIELDS or self._is_head_too_large():
            self._refuse("its head is too large")
        version = _VERSIONS.get(parser.get_http_version())
        if version is None:
            self._refuse("its version is not HTTP/1")
        status = parser.get_status_code()
        if status < _LEAST_FINAL:
            if status < _LEAST or status == _SWITCHING:
                self._refuse(f"its status is {status}")
            return
        self._head_at = self._received
        reply.version = version
        reply.status = status
        self._course.head = reply
        self._course.phase = "body"
        if self._is_head:
            self._end_without_body()
        elif self._coding is not None:
            self._inflater = inflater(self._coding.decode("latin-1"), self._max_body)

    def _end_without_body(self) -> NoReturn:
        """Stop the parser: it would wait for a body, as after a GET."""
        self.is_last |= not self._parser.should_keep_alive()
        self._parser = HttpResponseParser(self)
        self.is_complete = True
        self._problem = _NO_BODY
        raise BrokenExchangeError(_NO_BODY)

    def on_body(self, data: bytes) -> None:
        self._payload += len(data)
        if self._inflater is not None:
            self._inflate(self._inflater, data)
        elif self._payload > self._max_body:
            self._pieces.append(data[: self._max_body - self._payload])
            self._cut()
        else:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if not self._reply.status:
            # An interim answer. Together, all interim answers may have as many bytes as one head.
            self._fields.clear()
            self._coding = self._framing = None
            return
        if not self._parser.should_keep_alive():
            self.is_last = True
        self._complete()

    # ── The body ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _inflate(self, inflate: Inflater, data: bytes) -> None:
        try:
            for piece in inflate.feed(data):
                self._pieces.append(piece)
        except AnswerTooLargeError:
            self._cut()
        except BrokenExchangeError as error:
            self._refuse(str(error))

    def _cut(self) -> None:
        self._reply.is_cut = self.is_last = True
        self._inflater = None
        self._complete()

    def _complete(self) -> None:
        if self._inflater is not None:
            try:
                self._inflater.end()
            except BrokenExchangeError as error:
                self._refuse(str(error))
        pieces = self._pieces
        self._reply.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.is_complete = True

    def _refuse(self, problem: str) -> NoReturn:
        """Stop the parser. The error that it raises does not say why, so the reason is kept here."""
        self._problem = f"the answer cannot be used: {problem}"
        raise BrokenExchangeError(self._problem)


def _size(fields: Sequence[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in fields)
