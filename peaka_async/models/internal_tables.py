"""Internal tables: Peaka Tables and BI Tables, their columns, and the import of CSV files."""

from __future__ import annotations

import enum

import attrs

from peaka_async.errors import ConfigurationError

__all__ = [
    "ColumnDataType",
    "ColumnDetail",
    "ColumnRequest",
    "CsvImportRequest",
    "CsvMapping",
    "ImportJob",
    "Table",
]


class ColumnDataType(enum.StrEnum):
    """The type of a column to create."""

    VARCHAR = "VARCHAR"
    BIGINT = "BIGINT"
    BOOLEAN = "BOOLEAN"
    DECIMAL = "DECIMAL"
    TIMESTAMP = "TIMESTAMP"
    TIME = "TIME"
    DATE = "DATE"
    UUID = "UUID"


@attrs.frozen
class Table:
    """A table of a schema.

    `supported_cache_types` holds `FULL_REFRESH`, `INCREMENTAL`, both, or nothing for a table that cannot be cached; it
    is None where the service could not find out. A dynamic table has columns, `_q_…`, that a query must give values
    for. `is_cached` says that queries read the cache, which may still be filling.
    """

    catalog_id: str | None = None
    catalog_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    supported_cache_types: list[str] | None = None
    is_cacheable: bool | None = None
    is_dynamic_table: bool | None = None
    is_cached: bool | None = None


@attrs.frozen
class ColumnRequest:
    """A column to create, or what to change of one.

    The service keeps `default_value`; it has been seen to accept `is_not_null` and `is_unique` without effect: read
    the columns back where they matter.
    """

    name: str | None = None
    data_type: ColumnDataType | str | None = None
    display_name: str | None = None
    default_value: str | None = None
    is_not_null: bool | None = None
    is_unique: bool | None = None


@attrs.frozen
class ColumnDetail:
    """A column of a table. `data_type` is Trino's name of the type, such as `timestamp(6)`."""

    id: str | None = None
    name: str | None = None
    data_type: str | None = None
    display_name: str | None = None
    default_value: str | None = None
    is_not_null: bool | None = None
    is_unique: bool | None = None
    desc: str | None = None


@attrs.frozen
class CsvMapping:
    """Which column of a CSV file fills the table's column `name`: the one so named, or the one at an index from 0."""

    name: str
    csv_column_name: str | None = attrs.field(default=None, kw_only=True)
    csv_column_index: int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.csv_column_name is None) == (self.csv_column_index is None):
            problem = "takes either csv_column_name or csv_column_index"
        elif self.csv_column_index is not None and self.csv_column_index < 0:
            problem = "counts csv_column_index from 0"
        else:
            return
        msg = f"CsvMapping: the mapping of {self.name!r} {problem}."
        raise ConfigurationError(msg)


@attrs.frozen
class CsvImportRequest:
    """How a CSV file's columns fill a table's.

    Columns of the table without a mapping get their defaults. A file without a header line takes mappings by index
    only.
    """

    mappings: list[CsvMapping]
    contains_header: bool = True

    def __attrs_post_init__(self) -> None:
        names = [mapping.name for mapping in self.mappings]
        by_name = [mapping.name for mapping in self.mappings if mapping.csv_column_name is not None]
        if not names:
            problem = "at least one mapping is needed"
        elif len(set(names)) < len(names):
            problem = "a column of the table is mapped twice"
        elif by_name and not self.contains_header:
            problem = f"without a header line {', '.join(by_name)} must be mapped by csv_column_index"
        else:
            return
        msg = f"CsvImportRequest: {problem}."
        raise ConfigurationError(msg)

    @classmethod
    def of_columns(cls, *names: str) -> CsvImportRequest:
        """Fill columns from those that have the same names in the file's header."""
        return cls([CsvMapping(name, csv_column_name=name) for name in names])


@attrs.frozen
class ImportJob:
    """An import. `start_time` and `end_time` are milliseconds since 1970; `result["processed"]` counts the rows."""

    id: str | None = None
    status: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    progress: int | None = None
    result: dict[str, object] | None = None
