"""Headers that an application adds to each request, for a gateway before the API."""

from __future__ import annotations

import re
from collections.abc import Mapping

from peaka_async.errors import ConfigurationError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")

# Each of these would change where the request ends, what it holds, whose it is or how its answer is read.
_RESERVED = frozenset(
    {
        "accept-encoding",
        "authorization",
        "baggage",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "if-range",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def checked_headers(headers: object) -> dict[str, str]:
    """Headers that can be sent with each request.

    Raises:
        ConfigurationError: one of them has no valid name or value, or belongs to the client. The value is not shown.
    """
    if not isinstance(headers, Mapping):
        msg = f"headers must be a mapping of names to values, not {type(headers).__name__}. Nothing was sent."
        raise ConfigurationError(msg)
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problem = "a name is no header's name"
        elif name.lower() in _RESERVED:
            problem = f"{name} is set by the client itself"
        elif not isinstance(value, str) or not _VALUE.fullmatch(value):
            problem = f"the value of {name} must be printable ASCII, without a line end or spaces around it"
        else:
            continue
        msg = f"headers: {problem}. Nothing was sent."
        raise ConfigurationError(msg)
    return dict(headers)


def merged(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Both; if a name is in both, in whatever case, the value is that of `more`."""
    replaced = {name.lower() for name in more}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **more}
