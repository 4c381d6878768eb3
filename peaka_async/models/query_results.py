"""The result of a query: its raw cells, and records with typed values."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast, final

import attrs

from peaka_async._codec import BULKY
from peaka_async.models._cell_values import value_of_cell
from peaka_async.models._model import Model

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from peaka_async.models._frames import Series

__all__ = ["QueryResult", "Record", "ResultCell", "ResultColumn"]


@attrs.frozen
class ResultColumn(Model):
    """The source of a column of a result."""

    catalog_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    column_name: str | None = None


@attrs.frozen
class ResultCell(Model):
    """A cell as the service sends it in the format CELL_TYPED.

    `value` is text for every `data_type`, or None for SQL's NULL. `order` is the column's position, from 0.
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

    Iteration gives the values. `record[0]` is the first value, `record["amount"]` the value of that column.

    Attributes:
        names: the columns' names; two columns can have the same name.
        values: the values, converted to the types of their columns.
        raw: the cells as the service sent them.
    """

    names: tuple[str, ...]
    values: tuple[object, ...]
    raw: tuple[object, ...] = attrs.field(repr=False, eq=False)

    def __iter__(self) -> Iterator[object]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: int | str) -> object:
        """Return the value at a position, or of a column.

        Raises:
            KeyError: no column has the name, or several columns have it; `all` returns the values of all of them.
            IndexError: there is no such position.
        """
        if isinstance(key, int):
            return self.values[key]
        found = self.all(key)
        if len(found) != 1:
            raise KeyError(f"{len(found)} columns are named {key!r}" if found else key)
        return found[0]

    def all(self, name: str) -> tuple[object, ...]:
        """The values of all columns with this name, in order."""
        return tuple(value for known, value in zip(self.names, self.values, strict=True) if known == name)

    def as_dict(self) -> dict[str, object]:
        """The values by name; the second column named `id` is `id_2`, the third `id_3`."""
        return dict(zip(unique_names(self.names), self.values, strict=True))


@final
@attrs.frozen
class QueryResult(Model):
    """The result of a query.

    Iteration gives a `Record` for each row, and does not keep it. In the format CELL_TYPED, the default, values are
    converted to their columns' types: boolean → bool; tinyint, smallint, integer and bigint → int; decimal → Decimal;
    real and double → float; date, time and timestamp → date, time and datetime, with a time zone if the column has one,
    and cut at microseconds; uuid → UUID; json → the parsed JSON. Other types, and text that is not valid for its type,
    stay text.

    Attributes:
        columns: the sources of the columns; None if the service does not say.
        data: the rows as the service sent them: lists of cells (CELL_TYPED), objects (SIMPLE) or lists of values
            (COMPACT).
    """

    columns: list[ResultColumn] | None = None
    data: list[list[ResultCell]] | list[dict[str, object]] | list[list[object]] | None = attrs.field(
        default=None, repr=False, metadata={BULKY: True}
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
        """All rows. They are made at the first use and kept."""
        return list(self)

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return len(self.data or ())

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, from the first row, or from `columns` if there are no rows."""
        for record in self:
            return record.names
        return tuple(_name(column.column_name, index) for index, column in enumerate(self.columns or ()))

    @property
    def data_types(self) -> tuple[str | None, ...]:
        """The Trino types of the columns. They are None if there are no rows, or if the format is not CELL_TYPED."""
        for row in self.data or ():
            return tuple(cell.data_type if isinstance(cell, ResultCell) else None for cell in row)
        return tuple(None for _ in self.columns or ())

    def to_pandas(self) -> pd.DataFrame:
        """Return the result as a DataFrame; a second column named `id` is `id_2`.

        Integers become `Int64`, booleans `boolean`, real and double `float64`, texts `string`, and timestamps
        `datetime64[us]` (in UTC if they have a time zone). All other columns hold Python objects.

        Raises:
            ConfigurationError: pandas is not installed: `pip install peaka-async[pandas]`.
        """
        from peaka_async.models import _frames  # noqa: PLC0415 - loaded only if it is needed

        return _frames.to_pandas(self._series(), self.row_count)

    def to_arrow(self) -> pa.Table:
        """Return the result as an Arrow table; a second column named `id` is `id_2`.

        Timestamps with a time zone are converted to UTC. These columns stay text: uuid, json, `time with time zone`,
        columns without a type, and columns with a cell that is not valid for its type.

        Raises:
            ConfigurationError: pyarrow is not installed: `pip install peaka-async[arrow]`.
        """
        from peaka_async.models import _frames  # noqa: PLC0415 - only those who ask for a table pay for it

        return _frames.to_arrow(self._series())

    def _series(self) -> dict[str, Series]:
        """The result by columns, under unique names; None if a row does not have the column."""
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
    """Make names unique: the second `id` becomes `id_2`, the third `id_3`."""
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
    """Make a record. If its names are those of the previous row, both share one tuple."""
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
    """The name, or the name that Trino gives to an unnamed column."""
    return f"_col{index}" if name is None else name
