"""From one dialect of SQL into another."""

from __future__ import annotations

import sqlglot
from sqlglot.errors import SqlglotError

from peaka_async.emulator._operation import failed
from peaka_async.emulator._sql.statement import syntax_error


def transpile(query: str, *, read: str, write: str) -> str:
    """Translate a query.

    Raises:
        Refusal: the dialect is not known, or the query is not of it.
    """
    try:
        return "; ".join(sqlglot.transpile(query, read=read, write=write))
    except SqlglotError as error:
        raise syntax_error(error) from None
    except ValueError:
        raise failed(f"Unknown dialect '{write if read == 'trino' else read}'") from None
