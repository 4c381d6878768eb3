"""Keeps codes and states out of access logs."""

from __future__ import annotations

import logging
import re
from typing import final
from urllib.parse import unquote_plus

__all__ = ["AccessLogFilter", "protect_access_logs"]

_ACCESS_LOGS = ("aiohttp.access", "uvicorn.access")

_QUERY = re.compile(r"""(?:\?|%3F)([^\s"]*)""", re.IGNORECASE)
_HIDDEN = "?[redacted]"
_SECRET = re.compile(r"(?:^|[?&;])[^=?&;]*(?:code|state|token|secret|verifier|peaka_flow)=", re.IGNORECASE)

# A URL in the query of a URL is encoded once more: a sign-in's `next` in a login page's own.
_LEVELS = 3

# What a record is made of beside the message and its arguments, and what is never text from a request.
_OWN = frozenset(vars(logging.makeLogRecord({}))) - {"msg", "args"}


@final
class AccessLogFilter(logging.Filter):
    """Takes the query out of every URL in a record that carries a code, a state or a token.

    It looks into the message, its arguments and what the server adds, such as the Referer.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record, and let it pass."""
        for name, value in list(vars(record).items()):
            if name not in _OWN:
                setattr(record, name, _redacted(value))
        return True


def protect_access_logs(*names: str) -> None:
    """Add an `AccessLogFilter` to loggers: to aiohttp's and uvicorn's access logs where none are named."""
    for name in names or _ACCESS_LOGS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, AccessLogFilter) for each in logger.filters):
            logger.addFilter(AccessLogFilter())


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return _QUERY.sub(_without_secret, value)
    if isinstance(value, bytes):
        return str(_redacted(value.decode("latin-1"))).encode("latin-1")
    if isinstance(value, tuple):
        return tuple(_redacted(each) for each in value)
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    return value


def _without_secret(found: re.Match[str]) -> str:
    query = found[1]
    for _ in range(_LEVELS):
        if _SECRET.search(query):
            return _HIDDEN
        query = unquote_plus(query)
    return found[0]
