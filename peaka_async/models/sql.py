"""SQL: translation from Peaka's dialect (Trino's) into other dialects."""

from __future__ import annotations

import attrs

from peaka_async.models._model import Model

__all__ = ["SQLTranspileQueryRequest", "TranspiledQuery"]


@attrs.frozen
class SQLTranspileQueryRequest(Model):
    """A query in Trino's SQL."""

    query: str | None = None


@attrs.frozen
class TranspiledQuery(Model):
    """A query in the other dialect. The service sends it as `query` or as `result`; `sql` returns the one it sent."""

    query: str | None = None
    result: str | None = None

    @property
    def sql(self) -> str | None:
        """The translated query."""
        return self.query if self.query is not None else self.result
