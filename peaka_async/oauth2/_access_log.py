"""A filter that keeps codes and states out of the logs of servers and task queues."""

from __future__ import annotations

import logging
import re
from typing import final
from urllib.parse import unquote_plus

__all__ = ["AccessLogFilter", "protect_access_logs"]

_LOGS = (
    "aiohttp.access",
    "aiohttp.server",  # shows the line of a request that it cannot read
    "uvicorn.access",
    "arq.worker",  # these show the arguments of a job
    "celery.app.trace",
    "celery.worker.strategy",
    "saq",
)

_QUERY = re.compile(r"""(?:\?|%3F)([^\s"]*)""", re.IGNORECASE)
_HIDDEN = "?[redacted]"

# Characters around a query without a URL, such as one in the argument of a job.
_WORD = re.compile(r"""[^\s"]+""")
_BEFORE, _AFTER = "'([{,<:", "')]}>,;:."

_SECRET = re.compile(r"(?:^|[?&;])[^=?&;]*(?:code|state|token|secret|verifier|peaka_flow)=", re.IGNORECASE)

# A URL in the query of another URL is encoded twice, such as the `next` parameter of a login page.
_LEVELS = 3

# The other attributes of a record, which never hold text from a request.
_OWN = frozenset(vars(logging.makeLogRecord({}))) - {"msg", "args"}


@final
class AccessLogFilter(logging.Filter):
    """Removes queries that hold a code, a state or a token from log records, with or without their URL.

    It checks the message, its arguments, the traceback, and data that the server adds, such as the Referer.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record, and accept it."""
        for name, value in list(vars(record).items()):
            if name not in _OWN:
                setattr(record, name, _redacted(value))
        if isinstance(record.args, tuple):
            record.args = tuple(_redacted_text(each) for each in record.args)
        if record.exc_info:
            _redact_traceback(record)
        return True


def protect_access_logs(*names: str) -> None:
    """Add an `AccessLogFilter` to loggers. By default: the loggers of aiohttp, uvicorn, arq, Celery and SAQ."""
    for name in names or _LOGS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, AccessLogFilter) for each in logger.filters):
            logger.addFilter(AccessLogFilter())


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return _WORD.sub(_word_without_secret, _QUERY.sub(_without_secret, value))
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


def _word_without_secret(found: re.Match[str]) -> str:
    """Remove the query from a word. A query has at least two parameters, so "code=1" is not a query."""
    word = found[0]
    if "&" not in word or "=" not in word or not _SECRET.search(word):
        return word
    name = word[: word.index("=")]
    start = max(name.rfind(mark) for mark in _BEFORE) + 1
    end = len(word.rstrip(_AFTER))
    return f"{word[:start]}[redacted]{word[end:]}"


def _redacted_text(value: object) -> object:
    """Redact the text of an argument. A queue passes the job, and its text shows the job's arguments."""
    if value is None or isinstance(value, int | float | str | bytes | tuple | dict):
        return value
    text = str(value)
    shown = _redacted(text)
    return value if shown == text else shown


def _redact_traceback(record: logging.LogRecord) -> None:
    if not record.exc_info:
        return
    text = logging.Formatter().formatException(record.exc_info)
    shown = _redacted(text)
    if shown != text:
        record.exc_text, record.exc_info = str(shown), None
