"""Warnings about results that may be cut off: reads of uncached API tables silently stop at 100 rows. No I/O."""

from __future__ import annotations

import re
import warnings

from peaka_async.errors import CappedReadWarning
from peaka_async.models.queries import (
    ExecutableQuery,
    QueryExecuteRequest,
    QueryExecuteRequestId,
    QueryExecuteRequestName,
    TableForQuery,
)
from peaka_async.models.query_results import QueryResult

READ_CAP = 100
"""The number of rows at which the service stops."""

_INTERNAL = "peaka"
_TOKEN = re.compile(r"""'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|\w+|[^\s\w]""", re.DOTALL)
_NOT_READ = ("'", "--", "/*")
_CLAUSES = frozenset({"SELECT", "WHERE", "GROUP", "ORDER", "HAVING", "ON", "USING", "WINDOW", "UNION", "OFFSET"})
_LIMITS = frozenset({"LIMIT", "FETCH"})


def warn_if_capped(query: ExecutableQuery, result: QueryResult) -> QueryResult:
    """Warn if the result has exactly 100 rows, and the query has no limit and reads tables that can be capped."""
    if result.row_count != READ_CAP or _has_limit(query):
        return result
    names = [
        f"{table.catalog_name or table.catalog_id}.{table.schema_name}.{table.table_name}"
        for table in tables_of(query)
        if table.catalog_name != _INTERNAL and table.catalog_id not in {"1", "2"}
    ]
    if names:
        msg = (
            f"The result has exactly {READ_CAP} rows. If {', '.join(names)} belongs to an API connector and is not "
            "cached, the service has cut the read off. Check with catalogs.read_is_capped; cache the table to get all."
        )
        # Show the caller's line: the frames are this function, the method, the caller.
        warnings.warn(msg, CappedReadWarning, stacklevel=3)
    return result


def tables_of(query: ExecutableQuery) -> list[TableForQuery]:
    """The tables that a query names in full. The tables of a saved query are unknown."""
    if isinstance(query, QueryExecuteRequest):
        return list(query.from_)
    if isinstance(query, QueryExecuteRequestId):
        return []
    if isinstance(query, QueryExecuteRequestName):
        return _tables(["FROM", *_tokens(query.qualified_name)])
    return _tables(_tokens(query.statement))


def _has_limit(query: ExecutableQuery) -> bool:
    if isinstance(query, QueryExecuteRequest):
        return query.limit is not None
    if isinstance(query, QueryExecuteRequestId | QueryExecuteRequestName):
        return False
    return any(token.upper() in _LIMITS for token in _tokens(query.statement))


def _tokens(sql: str) -> list[str]:
    """The words, quoted names and signs of SQL, without string literals and comments."""
    return [token for token in _TOKEN.findall(sql) if not token.startswith(_NOT_READ)]


def _tables(tokens: list[str]) -> list[TableForQuery]:
    """The three-part names after FROM or JOIN, or after a comma in a list of tables."""
    found = []
    among_tables = False
    for index, token in enumerate(tokens):
        word = token.upper()
        if word in {"FROM", "JOIN"}:
            among_tables = True
        elif word in _CLAUSES:
            among_tables = False
        if word in {"FROM", "JOIN"} or (word == "," and among_tables):
            name = tokens[index + 1 : index + 6]
            if len(name) == 5 and name[1::2] == [".", "."]:  # noqa: PLR2004 - three names and two dots
                catalog, schema, table = (_name(part) for part in name[::2])
                found.append(TableForQuery(catalog_name=catalog, schema_name=schema, table_name=table))
    return found


def _name(token: str) -> str:
    """A name as SQL reads it: quoted names are unchanged, others are in lower case."""
    return token[1:-1].replace('""', '"') if token.startswith('"') else token.lower()
