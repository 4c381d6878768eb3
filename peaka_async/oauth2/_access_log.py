"""Keeps codes and states out of access logs."""

from __future__ import annotations

import logging
import re
from typing import final
from urllib.parse import unquote_plus

__all__ = ["AccessLogFilter", "protect_access_logs"]

_ACCESS_LOGS = ("aiohttp.access", "uvicorn.access")

_QUERY = re.compile(r"""\?([^\s"'<>]*)""")
_HIDDEN = "?[redacted]"
_SECRET_NAME = re.compile(r"(code|state|token|secret|verifier|peaka_flow)\Z", re.IGNORECASE)

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
    parts = re.split("[?&;]", found[1])
    names = (unquote_plus(part.partition("=")[0]) for part in parts)
    return _HIDDEN if any(_SECRET_NAME.search(name) for name in names) else found[0]
