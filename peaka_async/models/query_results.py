"""The result of a query: the cells as they came, and records of what they mean."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast, final

import attrs

from peaka_async.models._cell_values import value_of_cell

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from peaka_async.models._frames import Series

__all__ = ["QueryResult", "Record", "ResultCell", "ResultColumn"]


@attrs.frozen
class ResultColumn:
    """A column of a result, by where it comes from."""

    catalog_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    column_name: str | None = None


@attrs.frozen
class ResultCell:
    """A cell as the service sends it in the format CELL_TYPED.

    `value` is a text, or None for SQL's NULL, whatever `data_type` says. `order` is the column's position from 0.
    """

    name: str | None = None
    display_name: str | None = None
    data_type: str | None = None
    order: int | None = None
    value: object = None


@final
@attrs.frozen
class Record:
    """A row of a result.

    Iteration gives the values. `record[0]` is the first, `record["amount"]` the one of that column.

    Attributes:
        names: the columns' names; two columns can have the same.
        values: what the cells mean, by the types of their columns.
        raw: the cells as they came.
    """

    names: tuple[str, ...]
    values: tuple[object, ...]
    raw: tuple[object, ...] = attrs.field(repr=False, eq=False)

    def __iter__(self) -> Iterator[object]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: int | str) -> object:
        """Give the value at a position or of a column.

        Raises:
            KeyError: no column has the name, or several do; `all` gives the values of all of them.
            IndexError: there is no such position.
        """
        if isinstance(key, int):
            return self.values[key]
        found = self.all(key)
        if len(found) != 1:
            raise KeyError(f"{len(found)} columns are named {key!r}" if found else key)
        return found[0]

    def all(self, name: str) -> tuple[object, ...]:
        """The values of all columns of a name, in order."""
        return tuple(value for known, value in zip(self.names, self.values, strict=True) if known == name)

    def as_dict(self) -> dict[str, object]:
        """The values by name; the second column named `id` is `id_2`, the third `id_3`."""
        return dict(zip(unique_names(self.names), self.values, strict=True))


@final
@attrs.frozen
class QueryResult:
    """The result of a query.

    Iteration gives a `Record` for each row and keeps none of them. Values have their columns' types where the result
    came in the format CELL_TYPED, the default: boolean → bool; tinyint to bigint → int; decimal → Decimal; real and
    double → float; date, time and timestamp → date, time and datetime, with a time zone where the column has one,
    fractions of a second cut at microseconds; uuid → UUID; json → what it says. All else, and a text that is none of
    its type, stays the text that came.

    Attributes:
        columns: where the columns come from; None where the service does not say.
        data: the rows as they came, by the format: lists of cells (CELL_TYPED), objects (SIMPLE), lists of values
            (COMPACT).
    """

    columns: list[ResultColumn] | None = None
    data: list[list[ResultCell]] | list[dict[str, object]] | list[list[object]] | None = attrs.field(
        default=None, repr=False
    )

    def __iter__(self) -> Iterator[Record]:
        named = tuple(column.column_name for column in self.columns or ())
        names: tuple[str, ...] = ()
        for row in self.data or ():
            record = _record(row, named, names)
            names = record.names
            yield record

    @functools.cached_property
    def records(self) -> list[Record]:
        """All rows; made at the first use and kept."""
        return list(self)

    @property
    def row_count(self) -> int:
        """How many rows came."""
        return len(self.data or ())

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, as the first row has them; without rows as `columns` has them."""
        for record in self:
            return record.names
        return tuple(_name(column.column_name, index) for index, column in enumerate(self.columns or ()))

    @property
    def data_types(self) -> tuple[str | None, ...]:
        """Trino's names of the columns' types; None where they are not known: without rows, or in another format."""
        for row in self.data or ():
            return tuple(cell.data_type if isinstance(cell, ResultCell) else None for cell in row)
        return tuple(None for _ in self.columns or ())

    def to_pandas(self) -> pd.DataFrame:
        """The result as a DataFrame; a second column named `id` is `id_2`.

        Whole numbers become `Int64`, booleans `boolean`, real and double `float64`, texts `string`, timestamps
        `datetime64[us]` (those with a time zone in UTC); all other columns hold Python objects.

        Raises:
            ConfigurationError: pandas is not installed: `pip install peaka-async[pandas]`.
        """
        from peaka_async.models import _frames  # noqa: PLC0415 - only those who ask for a frame pay for it

        return _frames.to_pandas(self._series(), self.row_count)

    def to_arrow(self) -> pa.Table:
        """The result as an Arrow table; a second column named `id` is `id_2`.

        Timestamps with a time zone become UTC; uuid, json, `time with time zone` and what has no type stay text, as
        does a column with a cell that is none of its type.

        Raises:
            ConfigurationError: pyarrow is not installed: `pip install peaka-async[arrow]`.
        """
        from peaka_async.models import _frames  # noqa: PLC0415 - only those who ask for a table pay for it

        return _frames.to_arrow(self._series())

    def _series(self) -> dict[str, Series]:
        """The result by columns, under unique names; a row that lacks a column has None in it."""
        from peaka_async.models._frames import Series  # noqa: PLC0415 - only those who ask for a frame pay for it

        columns = {name: Series() for name in unique_names(self.column_names)}
        count = 0
        for count, (record, row) in enumerate(zip(self, self.data or (), strict=True), start=1):
            cells = zip(
                unique_names(record.names), record.values, record.raw, cast("Iterable[object]", row), strict=True
            )
            for name, value, raw, cell in cells:
                series = columns.setdefault(name, Series())
                series.pad(count - 1)
                series.add(value, raw, cell.data_type if isinstance(cell, ResultCell) else None)
        for series in columns.values():
            series.pad(count)
        return columns


@functools.lru_cache(maxsize=128)
def unique_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, with `_2`, `_3` … after those that stood before."""
    taken = set(names)
    unique: dict[str, None] = {}
    for name in names:
        free, count = name, 1
        while free in unique or (count > 1 and free in taken):
            count += 1
            free = f"{name}_{count}"
        unique[free] = None
    return tuple(unique)


def _record(
    row: list[ResultCell] | dict[str, object] | list[object], named: tuple[str | None, ...], before: tuple[str, ...]
) -> Record:
    """A record; it shares its names with the row before where they are the same."""
    if isinstance(row, dict):
        names, raw = tuple(row), tuple(row.values())
        values = raw
    else:
        names = tuple(_name(_own_name(cell) or _at(named, index), index) for index, cell in enumerate(row))
        raw = tuple(cell.value if isinstance(cell, ResultCell) else cell for cell in row)
        values = tuple(
            value_of_cell(cell.value, cell.data_type) if isinstance(cell, ResultCell) else cell for cell in row
        )
    return Record(before if names == before else names, values, raw)


def _own_name(cell: object) -> str | None:
    return cell.name if isinstance(cell, ResultCell) else None


def _at(names: tuple[str | None, ...], index: int) -> str | None:
    return names[index] if index < len(names) else None


def _name(name: str | None, index: int) -> str:
    """The name, or the one that Trino gives to a column without."""
    return f"_col{index}" if name is None else name
