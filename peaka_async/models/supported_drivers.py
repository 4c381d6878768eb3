"""Supported drivers: how other tools connect to Peaka's query engine."""

from __future__ import annotations

import json
import re
from typing import Self

import attrs

__all__ = ["ConnectionStrings"]

_JDBC = re.compile(r"jdbc:peaka:[^\s\"',}]+")
_SQL_ALCHEMY = re.compile(r"(?<!jdbc:)peaka://\S+")


@attrs.frozen
class ConnectionStrings:
    """Connection strings. They hold the caller's API key, so they are kept out of the repr.

    Attributes:
        jdbc: for JDBC tools; None where the answer has none.
        sql_alchemy: for SQLAlchemy; None where the answer has none.
        raw: the answer as it came.
    """

    jdbc: str | None = attrs.field(default=None, repr=False)
    sql_alchemy: str | None = attrs.field(default=None, repr=False)
    raw: str = attrs.field(default="", repr=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an answer: an object of strings by driver, or what was meant as one."""
        try:
            members = json.loads(text)
        except ValueError:
            members = None
        if isinstance(members, dict):
            jdbc, sql_alchemy = members.get("JDBC"), members.get("SQL_ALCHEMY")
        else:
            # The service has put the object together by hand, with a comma too many.
            found = _JDBC.search(text), _SQL_ALCHEMY.search(text)
            jdbc, sql_alchemy = (match and match[0] for match in found)
        return cls(jdbc if isinstance(jdbc, str) else None, sql_alchemy if isinstance(sql_alchemy, str) else None, text)
