"""The values of a result's cells, read from their text by the Trino type of their column."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import final
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs

_TYPE = re.compile(r"([a-z][a-z ]*?)\s*(?:\(([^()]*)\))?\s*(with time zone|without time zone)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity", "+Infinity"})
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,12}))?)?"
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_TIME = re.compile(rf"{_CLOCK} ?(Z|UTC|[+-][0-9]{{2}}:?[0-9]{{2}})?")
_TIMESTAMP = re.compile(
    rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[ T]{_CLOCK} ?(Z|[+-][0-9]{{2}}:?[0-9]{{2}}|[A-Za-z][\w+/-]*)?"
)


@final
@attrs.frozen
class DataType:
    """A Trino type, such as `decimal(12,2)` or `timestamp(6) with time zone`."""

    base: str
    parameters: tuple[int, ...] = ()
    zoned: bool = False


@functools.lru_cache(maxsize=1024)
def data_type_of(name: str) -> DataType | None:
    """Parse the name of a type; None if it is not a type's name, or is a type that contains other types."""
    found = _TYPE.fullmatch(name.strip().lower())
    if found is None:
        return None
    base, parameters, zone = found.groups()
    numbers = [part.strip() for part in parameters.split(",")] if parameters else []
    if not all(number.isdecimal() for number in numbers):
        return None
    return DataType(base, tuple(map(int, numbers)), zone == "with time zone")


def value_of_cell(cell: object, data_type: str | None) -> object:
    """Convert a cell to a value of its type.

    Returns the cell itself if it is not text, if its type is unknown, or if the text is not valid for the type.
    """
    if not isinstance(cell, str) or data_type is None:
        return cell
    read = _reader_of(data_type)
    if read is None:
        return cell
    try:
        return read(cell)
    except (ValueError, LookupError, ArithmeticError, OSError, RecursionError):
        # Decimal raises ArithmeticError for an exponent that is too large.
        # ZoneInfo raises LookupError for an unknown zone, and OSError for a folder of zones.
        return cell


@functools.lru_cache(maxsize=1024)
def _reader_of(name: str) -> Callable[[str], object] | None:
    data_type = data_type_of(name)
    if data_type is None:
        return None
    if data_type.zoned:
        return _ZONED_READERS.get(data_type.base)
    return _READERS.get(data_type.base)


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _integer(text: str) -> int:
    _require(_INTEGER.fullmatch(text))
    return int(text)


def _float(text: str) -> float:
    _require(_DECIMAL.fullmatch(text) or text in _NOT_FINITE)
    return float(text)


def _decimal(text: str) -> Decimal:
    _require(_DECIMAL.fullmatch(text))
    return Decimal(text)


def _date(text: str) -> date:
    _require(_DATE.fullmatch(text))
    return date.fromisoformat(text)


def _time(text: str) -> time:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError
    *clock, zone = found.groups()
    return _clock(*clock).replace(tzinfo=_zone(zone))


def _timestamp(text: str) -> datetime:
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError
    day, *clock, zone = found.groups()
    return datetime.combine(date.fromisoformat(day), _clock(*clock), tzinfo=_zone(zone))


def _zoned_time(text: str) -> time:
    value = _time(text)
    _require(value.tzinfo)
    return value


def _zoned_timestamp(text: str) -> datetime:
    value = _timestamp(text)
    _require(value.tzinfo)
    return value


def _json(text: str) -> object:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _clock(hours: str, minutes: str, seconds: str | None, fraction: str | None) -> time:
    # Python has microseconds; further digits remain in the raw cell only.
    return time(int(hours), int(minutes), int(seconds or 0), int(f"{(fraction or '0')[:6]:0<6}"))


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    if name in {"Z", "UTC"}:
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return ZoneInfo(name)
    sign, hours, minutes = offset.groups()
    distance = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-distance if sign == "-" else distance)


def _require(condition: object) -> None:
    if not condition:
        raise ValueError


INTEGERS = frozenset({"tinyint", "smallint", "int", "integer", "bigint"})
FLOATS = frozenset({"real", "float", "double", "double precision"})
DECIMALS = frozenset({"decimal", "numeric"})
TEXTS = frozenset({"varchar", "char", "text"})

_READERS: dict[str, Callable[[str], object]] = {
    "boolean": _boolean,
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(FLOATS, _float),
    **dict.fromkeys(DECIMALS, _decimal),
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "uuid": UUID,
    "json": _json,
}
_ZONED_READERS: dict[str, Callable[[str], object]] = {"time": _zoned_time, "timestamp": _zoned_timestamp}
