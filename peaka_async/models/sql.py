"""SQL: from Peaka's dialect, Trino's, into others."""

from __future__ import annotations

import attrs

__all__ = ["SQLTranspileQueryRequest", "TranspiledQuery"]


@attrs.frozen
class SQLTranspileQueryRequest:
    """A query in Trino's SQL."""

    query: str | None = None


@attrs.frozen
class TranspiledQuery:
    """A query in the other dialect; the service answers it as `query` or as `result`, and `sql` is the one there is."""

    query: str | None = None
    result: str | None = None

    @property
    def sql(self) -> str | None:
        """The translated query."""
        return self.query if self.query is not None else self.result
