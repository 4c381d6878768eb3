"""A request and an answer, of any framework; and the trace that a request belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import final

import attrs
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_PREFETCH = ("prefetch", "prerender", "preview")

_PROPAGATOR = TraceContextTextMapPropagator()


@final
@attrs.frozen
class Incoming:
    """A request; header names are in lower case, several cookie headers joined."""

    method: str
    raw_query: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    read: Callable[[int], Awaitable[bytes | None]] = attrs.field(repr=False)
    """The body; None where it is longer than that many bytes, or did not come to its end."""

    @property
    def speculative(self) -> bool:
        """Whether nobody has asked for it yet: a prefetch, a prerendering or a preview."""
        purposes = (self.headers.get(name, "").lower() for name in _PREFETCH_HEADERS)
        return any(word in purpose for purpose in purposes for word in _PREFETCH)

    @property
    def cross_site(self) -> bool:
        return self.headers.get("sec-fetch-site", "").lower() == "cross-site"

    def cookies(self) -> list[tuple[str, str]]:
        """The cookies, in the order in which the browser sent them."""
        pairs = (pair.partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return [(name.strip(), value.strip()) for name, _, value in pairs]


@final
@attrs.frozen
class Reply:
    """What a browser is answered; it is never stored, and gives no Referer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = attrs.field(default="", repr=False)

    def all_headers(self) -> list[tuple[str, str]]:
        given = [
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            *self.headers,
        ]
        return [*given, ("Content-Type", "text/html; charset=utf-8")] if self.body else given


@contextlib.contextmanager
def trace_of(incoming: Incoming) -> Iterator[None]:
    """Go on with the caller's trace (W3C), unless the framework's own instrumentation did."""
    if trace.get_current_span().get_span_context().is_valid:
        yield
        return
    token = otel_context.attach(_PROPAGATOR.extract(dict(incoming.headers)))
    try:
        yield
    finally:
        otel_context.detach(token)
