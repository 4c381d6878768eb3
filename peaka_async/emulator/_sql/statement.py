"""Statements: parsed as Trino's SQL, and refused unless they are read-only."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType  # type: ignore[attr-defined] # documented to be there

from peaka_async.emulator._operation import Refusal, failed

_DIALECT = "trino"
_OTHER_STATEMENTS = frozenset(
    {
        *(
            "ALTER",
            "ANALYZE",
            "CALL",
            "COMMENT",
            "COMMIT",
            "CREATE",
            "DEALLOCATE",
            "DELETE",
            "DENY",
            "DESC",
            "DESCRIBE",
        ),
        *(
            "DROP",
            "EXECUTE",
            "EXPLAIN",
            "GRANT",
            "INSERT",
            "MERGE",
            "PREPARE",
            "REFRESH",
            "RESET",
            "REVOKE",
            "ROLLBACK",
        ),
        *("SET", "SHOW", "START", "TRUNCATE", "UPDATE", "USE"),
    }
)
_COUNTS = frozenset({TokenType.NUMBER, TokenType.ALL, TokenType.PLACEHOLDER})


def parse(sql: str) -> exp.Expr:
    """The tree of a read-only statement.

    Raises:
        Refusal: it is not read-only, or is not Trino's SQL.
    """
    try:
        tokens = sqlglot.tokenize(sql, read=_DIALECT)
    except SqlglotError as error:
        raise syntax_error(error) from None
    _check_kind(tokens)
    _check_order(tokens)
    try:
        trees = [tree for tree in sqlglot.parse(sql, read=_DIALECT) if tree is not None]
    except SqlglotError as error:
        raise syntax_error(error) from None
    if len(trees) != 1:
        raise failed("line 1:1: mismatched input: exactly one statement is expected")
    return _reading(trees[0])


def syntax_error(error: SqlglotError) -> Refusal:
    """The parser's error in Trino's words."""
    details = getattr(error, "errors", None) or [{}]
    line, column = details[0].get("line") or 1, details[0].get("col") or 1
    found = details[0].get("highlight") or "<EOF>"
    return failed(f"line {line}:{column}: mismatched input '{found}'")


def _check_kind(tokens: list[Token]) -> None:
    """Refuse a statement of another kind by its first word; the parser may not support it."""
    kind = tokens[0].text.upper() if tokens else ""
    if kind in _OTHER_STATEMENTS:
        raise not_allowed(kind)


def not_allowed(kind: str) -> Refusal:
    return failed(f"Statement type '{kind}' is not allowed")


def _check_order(tokens: list[Token]) -> None:
    """Refuse OFFSET after LIMIT, which is valid in other dialects but not in Trino."""
    for limit, count, offset in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (limit.token_type, offset.token_type) == (TokenType.LIMIT, TokenType.OFFSET) and count.token_type in _COUNTS:
            raise failed(f"line {offset.line}:{offset.col}: mismatched input 'OFFSET'. Expecting: <EOF>")


def _reading(tree: exp.Expr) -> exp.Expr:
    """Refuse statements that write, even inside a query."""
    writing = tree.find(exp.DML, exp.DDL, exp.Into, exp.Command)  # pyright: ignore[reportPrivateImportUsage]
    if writing is not None:
        raise not_allowed(writing.key.upper())
    if not isinstance(tree, exp.Query | exp.Values):
        raise not_allowed(tree.key.upper())
    return tree
