"""The engine that runs SQL: DuckDB in memory. Tables are loaded when a statement first names them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import final

import attrs
import duckdb

from peaka_async.emulator._operation import Refusal, failed
from peaka_async.emulator._sql.binding import Binder, Bound, Origin
from peaka_async.emulator._sql.cells import cell, duckdb_type, trino_type
from peaka_async.emulator._state import Column, ProjectRecord, Table

_UNKNOWN_COLUMN = re.compile(r'column "([^"]+)" not found|does not have a column named "([^"]+)"', re.IGNORECASE)
_UNKNOWN_FUNCTION = re.compile(r"Function with name (\S+) does not exist")
_ZONED = "TIMESTAMP WITH TIME ZONE"
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET integer_division = true",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


@final
@attrs.frozen
class OutColumn:
    """A column of a result."""

    name: str
    type: str
    catalog: str | None = None
    schema: str | None = None
    table: str | None = None


@final
@attrs.frozen
class Result:
    """The rows of a statement; a cell is text or None."""

    columns: list[OutColumn]
    rows: list[list[str | None]]

    def stored(self, name: str, version: int) -> Table:
        """The result as a table that can be read later."""
        columns = [Column(name=each.name, type=each.type) for each in self.columns]
        return Table(name=name, columns=columns, rows=[[*row] for row in self.rows], version=version)


class Engine:
    """Runs the statements of all projects.

    Args:
        now: returns the current time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._duckdb = duckdb.connect(":memory:", config={"threads": 1, "autoload_known_extensions": False})
        for setting in _SETTINGS:
            self._duckdb.execute(setting)
        # A table is identified by the object, because its name can be given to another table.
        self._loaded: dict[int, tuple[Table, str, tuple[int, int]]] = {}
        self._count = 0

    def bind(self, project: ProjectRecord, sql: str, bindings: Sequence[str] = ()) -> Bound:
        """Find the tables and columns that a statement reads, without running it.

        Raises:
            Refusal: it is not a query, or a name does not exist.
        """
        return Binder(project, self._load, self._now()).bind(sql, list(bindings))

    def run(self, project: ProjectRecord, sql: str, bindings: Sequence[str] = ()) -> Result:
        """Run a statement.

        Raises:
            Refusal: it is not a query, a name does not exist, or it fails.
        """
        bound = self.bind(project, sql, bindings)
        return self._fetch(bound.sql, bound.origins)

    def _fetch(self, sql: str, origins: list[Origin | None] | None) -> Result:
        try:
            done = self._duckdb.execute(sql)
            description = done.description or []
            if any(str(each[1]) == _ZONED for each in description):
                # duckdb needs pytz to return such a value.
                done = self._duckdb.execute(_without_zones(sql, [str(each[1]) for each in description]))
            rows = done.fetchall()
        except duckdb.Error as error:
            raise _refusal(error) from None
        if origins is None or len(origins) != len(description):
            origins = [None for _ in description]
        columns = [
            _column(str(each[0]), str(each[1]), origin) for each, origin in zip(description, origins, strict=True)
        ]
        types = [each.type for each in columns]
        return Result(columns, [[cell(value, kind) for value, kind in zip(row, types, strict=True)] for row in rows])

    def _load(self, table: Table) -> str:
        """Load a table into DuckDB, unless its current rows are already there."""
        now = (table.version, max(table.count, table.most))
        known = self._loaded.get(id(table))
        if known is not None and known[2] == now:
            return known[1]
        if known is None:
            self._count += 1
        name = known[1] if known else f"r{self._count}"
        selection, parameters = _content(table)
        try:
            self._duckdb.execute(f'CREATE OR REPLACE TABLE "{name}" AS {selection}', parameters)
        except duckdb.Error as error:
            raise failed(f"Table '{table.name}' cannot be read: {error}") from None
        self._loaded[id(table)] = table, name, now
        return name


def _content(table: Table) -> tuple[str, list[str]]:
    """The query that selects a table's rows, with its parameters."""
    if table.rows is None:
        made = [(each, each.made or "NULL") for each in table.columns]
        columns = ", ".join(
            f"CAST({expression} AS {duckdb_type(each.type)}) AS {_quoted(each.name)}" for each, expression in made
        )
        return f"SELECT {columns} FROM range({max(table.count, table.most)}) numbers(i)", []  # noqa: S608 - the seed's own
    columns = ", ".join(_read_column(index, each) for index, each in enumerate(table.columns, start=1))
    rows = json.dumps(table.rows)
    return f"SELECT {columns} FROM (SELECT unnest(from_json(?, '[[\"VARCHAR\"]]')) AS cells)", [rows]  # noqa: S608


def _read_column(index: int, column: Column) -> str:
    kind = duckdb_type(column.type)
    text = f"cells[{index}]"
    if kind == "BLOB":
        return f"unhex(replace({text}, ' ', '')) AS {_quoted(column.name)}"
    if kind.endswith("with time zone"):
        text = f"replace({text}, ' UTC', '+00')"
    return f"CAST({text} AS {kind}) AS {_quoted(column.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _without_zones(sql: str, types: list[str]) -> str:
    names = [f"c{index}" for index in range(len(types))]
    chosen = ", ".join(
        f"CAST({name} AT TIME ZONE 'UTC' AS TIMESTAMP) AS {name}" if kind == _ZONED else name
        for name, kind in zip(names, types, strict=True)
    )
    return f"SELECT {chosen} FROM ({sql}) AS zoned({', '.join(names)})"  # noqa: S608 - read only, and checked before


def _column(name: str, kind: str, origin: Origin | None) -> OutColumn:
    if origin is None:
        return OutColumn(name, trino_type(kind))
    declared = origin.column.type
    # An expression can have the name of a column; the type shows whether it is the column.
    fits = duckdb_type(declared).upper() == kind or trino_type(kind) == declared
    return OutColumn(name, declared if fits else trino_type(kind), origin.catalog, origin.schema, origin.table)


def _refusal(error: Exception) -> Refusal:
    """DuckDB's error in Trino's words."""
    message = str(error)
    column = _UNKNOWN_COLUMN.search(message)
    if column is not None:
        return failed(f"line 1:8: Column '{column[1] or column[2]}' cannot be resolved")
    function = _UNKNOWN_FUNCTION.search(message)
    if function is not None:
        return failed(f"line 1:8: Function '{function[1]}' not registered")
    if "zero" in message.lower():
        return failed("Division by zero")
    return failed(message.split("\n", 1)[0].partition(": ")[2] or message)
