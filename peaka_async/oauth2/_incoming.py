"""A request and a reply of any framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import final
from urllib.parse import unquote, urlsplit

import attrs

_PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_PREFETCH = ("prefetch", "prerender", "preview")

# Only the spaces that RFC 6265 trims: a name with another kind of space is another name.
_BLANKS = b" \t"


@final
@attrs.frozen(kw_only=True)
class Incoming:
    """A request. Header names are in lower case."""

    method: str
    path: str = ""
    """The path from the framework. A mount or a proxy can have removed a part of it."""

    raw_query: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    raw_cookies: bytes = attrs.field(default=b"", repr=False)
    """The unchanged cookie headers, joined by `;`."""

    read: Callable[[int], Awaitable[bytes | None]] = attrs.field(repr=False)
    """Reads the body; None if it is longer than the limit, or incomplete."""

    @property
    def is_speculative(self) -> bool:
        """Whether it is a prefetch, a prerendering or a preview, which no person has asked for."""
        purposes = (self.headers.get(name, "").lower() for name in _PREFETCH_HEADERS)
        return any(word in purpose for purpose in purposes for word in _PREFETCH)

    @property
    def may_be_from_elsewhere(self) -> bool:
        """Whether a page of another origin can have sent it."""
        return self.headers.get("sec-fetch-site") not in {"same-origin", "none"}

    def is_navigation_from(self, origins: Collection[str]) -> bool:
        """Whether a person navigated here from this origin, from one of the given origins, or by the address bar.

        Browsers say so in `Sec-Fetch-Site` and `Sec-Fetch-Mode`
        ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/)). For other browsers, `Origin` or `Referer` is used.
        """
        if self.headers.get("sec-fetch-mode", "navigate") != "navigate":
            return False
        site = self.headers.get("sec-fetch-site")
        if site in {"same-origin", "none"}:
            return True
        source = self.headers.get("origin") or _origin_of(self.headers.get("referer", ""))
        if source in origins:
            return True
        host = self.headers.get("host", "")
        return site is None and bool(host) and urlsplit(source).netloc.lower() == host.lower()

    def is_at(self, url: str) -> bool:
        """Whether it was sent to the URL, as far as mounts and proxies leave the path unchanged."""
        return unquote(urlsplit(url).path).rstrip("/").endswith(unquote(self.path).rstrip("/"))

    def cookies(self) -> list[tuple[bytes, bytes]]:
        """The cookies in the browser's order, byte for byte."""
        pairs = (pair.partition(b"=") for pair in self.raw_cookies.split(b";"))
        return [(name.strip(_BLANKS), value.strip(_BLANKS)) for name, _, value in pairs]


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


@final
@attrs.frozen
class Reply:
    """The answer to a browser. It is not cached, and sends no Referer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = attrs.field(default="", repr=False)

    def with_headers(self, *headers: tuple[str, str]) -> Reply:
        return attrs.evolve(self, headers=(*self.headers, *headers))

    def all_headers(self) -> list[tuple[str, str]]:
        given = [
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            *self.headers,
        ]
        return [*given, ("Content-Type", "text/html; charset=utf-8")] if self.body else given
