"""Translation of SQL from one dialect into another."""

from __future__ import annotations

import sqlglot
from sqlglot.errors import SqlglotError

from peaka_async.emulator._operation import failed
from peaka_async.emulator._sql.statement import syntax_error


def transpile(query: str, *, read: str, write: str) -> str:
    """Translate a query.

    Raises:
        Refusal: the dialect is unknown, or the query is not valid in it.
    """
    try:
        return "; ".join(sqlglot.transpile(query, read=read, write=write))
    except SqlglotError as error:
        raise syntax_error(error) from None
    except ValueError:
        raise failed(f"Unknown dialect '{write if read == 'trino' else read}'") from None
