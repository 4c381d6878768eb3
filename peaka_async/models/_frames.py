"""Query results as pandas and Arrow tables. Both libraries are imported only when they are first used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, final

import attrs

from peaka_async.errors import ConfigurationError
from peaka_async.models._cell_values import DECIMALS, FLOATS, INTEGERS, TEXTS, DataType, data_type_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_INT64 = range(-(2**63), 2**63)
_MAX_DECIMAL128_DIGITS = 38
_MAX_DECIMAL256_DIGITS = 76


@final
@attrs.define
class Series:
    """A column of a result, with the values of its cells and the raw cells."""

    data_type: DataType | None = None
    values: list[object] = attrs.field(factory=list)
    raw: list[object] = attrs.field(factory=list)

    def add(self, value: object, raw: object, data_type: str | None) -> None:
        """Add a cell. The column gets its type from the first cell that has one."""
        self.values.append(value)
        self.raw.append(raw)
        if self.data_type is None and data_type is not None:
            self.data_type = data_type_of(data_type)

    def pad(self, length: int) -> None:
        """Fill the column with None up to this length, for rows that do not have the column."""
        missing = length - len(self.values)
        self.values += [None] * missing
        self.raw += [None] * missing

    @property
    def base(self) -> str:
        return "" if self.data_type is None else self.data_type.base

    @property
    def zoned(self) -> bool:
        return self.data_type is not None and self.data_type.zoned

    def holds(self, kind: type) -> bool:
        """Whether each value is None or of exactly this type."""
        return all(value is None or type(value) is kind for value in self.values)

    def holds_int64(self) -> bool:
        return self.holds(int) and all(value is None or value in _INT64 for value in self.values)

    def instants(self) -> list[object]:
        """The timestamps; those with a time zone are converted to UTC."""
        return [
            value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value for value in self.values
        ]


def to_pandas(columns: Mapping[str, Series], row_count: int) -> pd.DataFrame:
    """Make a pandas DataFrame.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ImportError:
        pd = None
    if pd is None:
        raise _missing("to_pandas", "pandas")
    typed = {name: pd.Series(series.instants(), dtype=_pandas_type(series)) for name, series in columns.items()}
    return pd.DataFrame(typed, index=range(row_count))


def _pandas_type(series: Series) -> str:
    if series.base in INTEGERS and series.holds_int64():
        return "Int64"
    if series.base in FLOATS and series.holds(float):
        return "float64"
    if series.base == "boolean" and series.holds(bool):
        return "boolean"
    if series.base == "timestamp" and series.holds(datetime) and _is_uniform(series):
        return "datetime64[us, UTC]" if series.zoned else "datetime64[us]"
    if series.base in TEXTS and series.holds(str):
        return "string"
    return "object"


def _is_uniform(series: Series) -> bool:
    """Whether all timestamps have a time zone if the column's type has one, and no timestamp has one otherwise."""
    return all((value.tzinfo is not None) is series.zoned for value in series.values if isinstance(value, datetime))


def to_arrow(columns: Mapping[str, Series]) -> pa.Table:
    """Make an Arrow table.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
    except ImportError:
        pa = None
    if pa is None:
        raise _missing("to_arrow", "arrow")
    return pa.table({name: _arrow_array(pa, series) for name, series in columns.items()})


def _arrow_array(pa: ModuleType, series: Series) -> pa.Array:
    kind = _arrow_type(pa, series)
    if kind is not None:
        try:
            return pa.array(series.instants(), type=kind)
        except (pa.ArrowException, OverflowError):
            # Such as a decimal with more digits than its type allows, or a date that Arrow does not support.
            pass
    return pa.array(_texts(series.raw), type=pa.string())


def _arrow_type(pa: ModuleType, series: Series) -> pa.DataType | None:
    """The column's type in Arrow; None if it stays text."""
    if series.base in INTEGERS and series.holds_int64():
        return pa.int64()
    if series.base in FLOATS and series.holds(float):
        return pa.float64()
    if series.base in DECIMALS and series.holds(Decimal):
        return _arrow_decimal(pa, series)
    if series.base == "timestamp" and series.holds(datetime) and _is_uniform(series):
        return pa.timestamp("us", tz="UTC" if series.zoned else None)
    if series.base == "time" and series.holds(time) and not series.zoned:
        return pa.time64("us")
    simple = {"boolean": (bool, pa.bool_), "date": (date, pa.date32)}
    kind, make = simple.get(series.base, (object, None))
    return make() if make is not None and series.holds(kind) else None


def _arrow_decimal(pa: ModuleType, series: Series) -> pa.DataType | None:
    digits = series.data_type.parameters if series.data_type is not None else ()
    precision, scale = (*digits, 0)[:2] if digits else _digits_of(series.values)
    if not 1 <= precision <= _MAX_DECIMAL256_DIGITS:
        return None
    return (pa.decimal128 if precision <= _MAX_DECIMAL128_DIGITS else pa.decimal256)(precision, scale)


def _digits_of(values: Iterable[object]) -> tuple[int, int]:
    """The smallest precision and scale that fit all values."""
    whole, scale = 1, 0
    for value in values:
        if isinstance(value, Decimal):
            exponent = value.as_tuple().exponent
            scale = max(scale, -exponent if isinstance(exponent, int) else 0)
            whole = max(whole, value.adjusted() + 1)
    return whole + scale, scale


def _texts(cells: list[object]) -> list[str | None]:
    return [cell if cell is None or isinstance(cell, str) else json.dumps(cell) for cell in cells]


def _missing(method: str, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"{method} needs a package that is not installed: pip install 'peaka-async[{extra}]'. The result is complete."
    )
