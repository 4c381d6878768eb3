"""The description of one call: what it sends, and the type that it returns. No I/O."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, final
from urllib.parse import quote, urlencode

import attrs

from peaka_async.errors import ConfigurationError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

QueryValue = str | int | bool | datetime | Sequence[str] | None

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_MAX_SEGMENT_CHARS = 2048

# URL normalisation removes them, even if their dots are percent-encoded.
_DOT_SEGMENTS = frozenset({".", ".."})


class Safety(enum.Enum):
    """The effect of executing an operation twice. It decides which failures may be retried."""

    SAFE = "safe"
    """It changes nothing: reads, and POSTs that only compute."""

    IDEMPOTENT = "idempotent"
    """A second execution leaves the same state: PUT, DELETE, cancel."""

    ONCE = "once"
    """A second execution may do harm: creates, imports, triggers, `oauth2_callback`."""


@final
@attrs.frozen(kw_only=True)
class Content:
    """A request body that is not JSON.

    `chunks` is called once per attempt. `size` is the length in bytes; with None the body is sent chunked. A body that
    is not `repeatable` is sent again only if none of its chunks was read.
    """

    media_type: str
    chunks: Callable[[], AsyncIterator[bytes]] = attrs.field(repr=False)
    size: int | None = None
    repeatable: bool = True


@final
@attrs.frozen
class Request(Generic[T_co]):
    """One call of one operation.

    `path` and `query` have keys in snake_case, which are sent in the API's camelCase. Query values of None are left
    out. `body` is an attrs object, a list of them or a mapping, which is sent as JSON, or a `Content`; None sends
    no body. `server_timeout` is the time in seconds that the server is asked to spend; the call's own limits are
    raised above it. `partner_only` operations do not accept Project keys. `headers` are sent in addition to the
    client's. `empty` is the value of a good answer without a body; with None such an answer is an error, unless the
    operation returns nothing. `url` is an absolute URL on another host, instead of a path of the API; the key and
    the trace context are not sent to it.
    """

    operation: str
    method: str
    template: str
    returns: type[T_co] = attrs.field(kw_only=True)
    safety: Safety = attrs.field(kw_only=True)
    path: Mapping[str, str] = attrs.field(kw_only=True, default=_NOTHING)
    query: Mapping[str, QueryValue] = attrs.field(kw_only=True, default=_NOTHING)
    body: object = attrs.field(kw_only=True, default=None, repr=False)
    takes: type[object] | None = attrs.field(kw_only=True, default=None)
    """The class that the body must be an instance of; None if it can have several forms."""
    headers: Mapping[str, str] = attrs.field(kw_only=True, default=_NOTHING, repr=False)
    server_timeout: float | None = attrs.field(kw_only=True, default=None)
    partner_only: bool = attrs.field(kw_only=True, default=False)
    empty: T_co | None = attrs.field(kw_only=True, default=None)
    url: str | None = attrs.field(kw_only=True, default=None, repr=False)

    @property
    def elsewhere(self) -> bool:
        """Whether it goes to another host than the API: without the key, the trace context and the API's rate limit."""
        return self.url is not None

    @property
    def route(self) -> str:
        """The template as the API writes it: `/connections/{projectId}/oauth2`."""
        return _route(self.template)

    def target(self) -> str:
        """The path and query to send, percent-encoded; the whole URL if it goes to another host.

        Raises:
            ConfigurationError: a path parameter is not a string, is empty or too long, is a dot segment, or holds a
                character that is not allowed in a path.
        """
        if self.url is not None:
            return self.url
        path = _fill(self.template, self.path, self.operation)
        if self.query:
            pairs = [(camel(k), _query_text(k, v, self.operation)) for k, v in self.query.items() if v is not None]
            if pairs:
                return f"{path}?{urlencode(pairs, quote_via=quote)}"
        return path


class Streamed(Protocol):
    """An answer whose body is read piece by piece. Close it, or read it to its end."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class Sender(Protocol):
    """Sends requests to the API, as the transport does."""

    async def send(self, request: Request[T], /) -> T:
        """Send the request and return a value of the type that it declares."""
        ...

    async def stream(self, request: Request[bytes], /) -> Streamed:
        """Send the request and return its answer when the head has arrived; the body follows."""
        ...


@functools.cache
def camel(name: str) -> str:
    """`project_id` → `projectId`."""
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


@functools.cache
def _route(template: str) -> str:
    return _PLACEHOLDER.sub(lambda found: "{" + camel(found[1]) + "}", template)


@functools.cache
def _split(template: str) -> tuple[tuple[str, str], ...]:
    """The template as (literal, parameter name) pairs; the last name may be empty."""
    parts = _PLACEHOLDER.split(template)
    return tuple(zip(parts[::2], [*parts[1::2], ""], strict=True))


def _fill(template: str, values: Mapping[str, str], operation: str) -> str:
    path = ""
    for literal, name in _split(template):
        path += literal
        if name:
            path += _segment(name, values[name], operation)
    return path


def _segment(name: str, value: object, operation: str) -> str:
    """Encode a value so that it stays one path segment."""
    if isinstance(value, str) and (quoted := _quoted(value)):
        return quoted
    if not isinstance(value, str):
        problem = f"must be a string, not {type(value).__name__}"
    elif not value or value.isspace():
        problem = "must not be empty"
    elif len(value) > _MAX_SEGMENT_CHARS:
        problem = f"is longer than {_MAX_SEGMENT_CHARS} characters"
    elif value in _DOT_SEGMENTS:
        problem = "must not be a dot segment: it would address another path"
    else:
        problem = "holds a control character"
    msg = f"{operation}: {name} {problem}. Nothing was sent."
    raise ConfigurationError(msg, operation=operation)


@functools.lru_cache(maxsize=1024)
def _quoted(value: str) -> str:
    """The value percent-encoded; empty if it cannot be a path segment."""
    if value.isspace() or len(value) > _MAX_SEGMENT_CHARS or value in _DOT_SEGMENTS or not value.isprintable():
        return ""
    return quote(value, safe="")


def _query_text(name: str, value: QueryValue, operation: str) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, datetime):
        text = (
            value.isoformat() if value.tzinfo is None else f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
        )
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ",".join(_query_text(name, each, operation) for each in value)
    else:
        text = str(value)
    if text.isascii() or text.encode(errors="ignore").decode() == text:
        return text
    msg = f"{operation}: {name} holds a lone surrogate, which no URL can carry. Nothing was sent."
    raise ConfigurationError(msg, operation=operation)
