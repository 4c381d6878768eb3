"""Trino's names of types, and the texts of values: every cell is sent as text or null."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal

_TO_DUCKDB = {"real": "FLOAT", "objectid": "BLOB", "varbinary": "BLOB"}
_TO_TRINO = {
    "VARCHAR": "varchar",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "UTINYINT": "smallint",
    "USMALLINT": "integer",
    "UINTEGER": "bigint",
    # DuckDB adds integers in 128 bits; Trino has at most 64 bits.
    "UBIGINT": "bigint",
    "HUGEINT": "bigint",
    "FLOAT": "real",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIME": "time(6)",
    "TIMESTAMP": "timestamp(6)",
    "TIMESTAMP_S": "timestamp(0)",
    "TIMESTAMP_MS": "timestamp(3)",
    "TIMESTAMP WITH TIME ZONE": "timestamp(6) with time zone",
    "UUID": "uuid",
    "BLOB": "varbinary",
    "JSON": "json",
    "INTERVAL": "interval day to second",
    '"NULL"': "unknown",
    "NULL": "unknown",
}
_FRACTION = re.compile(r"\((\d)\)")
_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e7


def duckdb_type(trino: str) -> str:
    """DuckDB's type for a Trino type."""
    base = trino.partition("(")[0].strip()
    if base == "decimal":
        return trino
    if base in {"timestamp", "time"}:
        return f"{base} with time zone" if trino.endswith("with time zone") else base
    return _TO_DUCKDB.get(base, base)


def trino_type(duckdb: str) -> str:
    """Trino's name for a DuckDB type."""
    if duckdb.endswith("[]"):
        return f"array({trino_type(duckdb[:-2])})"
    return _TO_TRINO.get(duckdb, duckdb.lower())


def cell(value: object, type_: str) -> str | None:
    """The text that the service sends for a value."""
    if value is None:
        return None
    return _writer_of(type(value))(value, type_)


def _writer_of(kind: type) -> Callable[[object, str], str]:
    return _WRITERS.get(kind, _plain)


def _plain(value: object, _: str) -> str:
    return str(value)


def _boolean(value: object, _: str) -> str:
    return "true" if value else "false"


def _bytes(value: object, _: str) -> str:
    """Hexadecimal pairs, as Trino prints binary values."""
    return bytes(value).hex(" ") if isinstance(value, bytes | bytearray) else str(value)


def _decimal(value: object, _: str) -> str:
    return f"{value:f}"


def _compound(value: object, _: str) -> str:
    return json.dumps(value, default=str, separators=(",", ":"))


def _timestamp(value: object, type_: str) -> str:
    if not isinstance(value, datetime):
        return str(value)
    text = f"{value:%Y-%m-%d %H:%M:%S}{_fraction(value.microsecond, type_)}"
    return f"{text} UTC" if type_.endswith("with time zone") else text


def _time(value: object, type_: str) -> str:
    if not isinstance(value, time):
        return str(value)
    return f"{value:%H:%M:%S}{_fraction(value.microsecond, type_)}"


def _fraction(microseconds: int, type_: str) -> str:
    found = _FRACTION.search(type_)
    digits = int(found[1]) if found else 3
    return f".{microseconds:06d}"[: digits + 1] if digits else ""


def _double(value: object, _: str) -> str:
    """Java's text of a double: `12.5`, `1.254740786E7`, `1.0E-5`."""
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or _PLAIN_FROM <= abs(value) < _PLAIN_TO:
        return f"{Decimal(repr(value)):f}" if value else repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, *rest = map(str, digits)
    power = int(exponent) + len(digits) - 1
    return f"{'-' if sign else ''}{first}.{''.join(rest) or '0'}E{power}"


_WRITERS: dict[type, Callable[[object, str], str]] = {
    bool: _boolean,
    float: _double,
    Decimal: _decimal,
    bytes: _bytes,
    datetime: _timestamp,
    time: _time,
    date: _plain,
    list: _compound,
    dict: _compound,
}
