"""Headers that an application adds to each request, for a gateway in front of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping

from peaka_async.errors import ConfigurationError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")

# Each of these would change the end, the content or the owner of the request, or the way its answer is read.
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
    """Check the headers that are sent with each request.

    Raises:
        ConfigurationError: a name or value is invalid, or the client sets the header. The value is not shown.
    """
    if not isinstance(headers, Mapping):
        msg = f"headers must be a mapping of names to values, not {type(headers).__name__}. Nothing was sent."
        raise ConfigurationError(msg)
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problem = "a name is not valid for a header"
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
    """Merge headers. If both have a name, in any case, the value of `more` is used."""
    replaced = {name.lower() for name in more}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **more}
