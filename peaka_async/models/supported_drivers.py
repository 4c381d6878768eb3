"""Supported drivers: connection strings for tools that use Peaka's query engine."""

from __future__ import annotations

import json
import re
from typing import Self

import attrs

from peaka_async.models._model import Model

__all__ = ["ConnectionStrings"]

_JDBC = re.compile(r"jdbc:peaka:[^\s\"',}]+")
_SQL_ALCHEMY = re.compile(r"(?<!jdbc:)peaka://\S+")


@attrs.frozen
class ConnectionStrings(Model):
    """Connection strings. They hold the caller's API key, so the repr leaves them out.

    Attributes:
        jdbc: the string for JDBC tools; None if missing.
        sql_alchemy: the string for SQLAlchemy; None if missing.
        raw: the answer as the service sent it.
    """

    jdbc: str | None = attrs.field(default=None, repr=False)
    sql_alchemy: str | None = attrs.field(default=None, repr=False)
    raw: str = attrs.field(default="", repr=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an answer: a JSON object with a string per driver, or text that is almost one."""
        try:
            members = json.loads(text)
        except ValueError:
            members = None
        if isinstance(members, dict):
            jdbc, sql_alchemy = members.get("JDBC"), members.get("SQL_ALCHEMY")
        else:
            # The service sends an object with a trailing comma, which is not valid JSON.
            found = _JDBC.search(text), _SQL_ALCHEMY.search(text)
            jdbc, sql_alchemy = (match and match[0] for match in found)
        return cls(jdbc if isinstance(jdbc, str) else None, sql_alchemy if isinstance(sql_alchemy, str) else None, text)
