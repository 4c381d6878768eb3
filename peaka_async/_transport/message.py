"""Requests and answers as they are sent and received, before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, final

from multidict import CIMultiDict

from peaka_async._request import Content

MAX_HEAD_BYTES: Final = 65536
MAX_HEAD_FIELDS: Final = 200

_WITH_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})


@final
class Message:
    """One request. Its target is a path below the API's base URL, or the whole URL of a file on another host."""

    __slots__ = ("body", "elsewhere", "headers", "max_body", "method", "more", "target")

    def __init__(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        target: str,
        body: bytes | Content | None,
        headers: Headers,
        more: Mapping[str, str] | None,
        *,
        elsewhere: bool,
        max_body: int,
    ) -> None:
        self.method = method
        self.target = target
        self.body = body
        self.headers = headers
        self.more = more
        self.elsewhere = elsewhere
        self.max_body = max_body
        """The largest body of an answer, in bytes."""

    @property
    def is_head(self) -> bool:
        return self.method == "HEAD"

    def encoded(self, prefix: str, host: str, body: bytes | None) -> bytes:
        """The bytes of the request; `prefix` comes before the target, and `host` is a header line."""
        head = f"{self.method} {prefix}{self.target} HTTP/1.1\r\n{host}{self.headers.lines}"
        if self.more:
            head += header_lines(self.more)
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            return head.encode() + body
        head += "Content-Length: 0\r\n\r\n" if self.method in _WITH_CONTENT else "\r\n"
        return head.encode()


@final
class Headers:
    """The headers of all requests of a client, in the form of each lane."""

    __slots__ = ("fields", "lines")

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        self.lines = header_lines(fields)


def header_lines(headers: Mapping[str, str]) -> str:
    """The lines of headers, as they are sent.

    Raises:
        ValueError: a header holds a line end.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\r") == lines.count("\n") == len(headers) or "\0" in lines:
        msg = "a header holds a line end"
        raise ValueError(msg)
    return lines


class Version(NamedTuple):
    """A version of HTTP."""

    major: int
    minor: int


@final
class Fields(Mapping[str, str]):
    """The headers of an answer; names are in any case. They are decoded when they are first read, which is rare."""

    __slots__ = ("_decoded", "raw")

    def __init__(self) -> None:
        self.raw: list[tuple[bytes, bytes]] = []
        self._decoded: CIMultiDict[str] | None = None

    def _all(self) -> CIMultiDict[str]:
        if self._decoded is None:
            pairs = [(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in self.raw]
            self._decoded = CIMultiDict(pairs)
        return self._decoded

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self.raw)


@final
class Reply:
    """An answer, as far as it has arrived."""

    __slots__ = ("body", "headers", "is_cut", "status", "version")

    def __init__(self, headers: Mapping[str, str], status: int = 0, version: Version | None = None) -> None:
        self.status = status
        self.version = version
        self.headers = headers
        self.body = b""
        self.is_cut = False
        """Whether the body was larger than allowed; `body` is its beginning."""
