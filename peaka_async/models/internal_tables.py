"""Internal tables: Peaka Tables and BI Tables, their columns, and the import of CSV files."""

from __future__ import annotations

import enum

import attrs

from peaka_async.errors import ConfigurationError
from peaka_async.models._model import Model

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
class Table(Model):
    """A table of a schema.

    `supported_cache_types` holds `FULL_REFRESH`, `INCREMENTAL` or both. It is empty if the table cannot be cached, and
    None if the service could not find out. A dynamic table has columns named `_q_…`, which need values in each query.
    If `is_cached` is true, queries read the cache, which may not be complete yet.
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
class ColumnRequest(Model):
    """A column to create, or the changes to a column.

    The service stores `default_value`. It has been seen to accept `is_not_null` and `is_unique` without effect. If you
    depend on them, list the columns to check.
    """

    name: str | None = None
    data_type: ColumnDataType | str | None = None
    display_name: str | None = None
    default_value: str | None = None
    is_not_null: bool | None = None
    is_unique: bool | None = None


@attrs.frozen
class ColumnDetail(Model):
    """A column of a table. `data_type` is a Trino type, such as `timestamp(6)`."""

    id: str | None = None
    name: str | None = None
    data_type: str | None = None
    display_name: str | None = None
    default_value: str | None = None
    is_not_null: bool | None = None
    is_unique: bool | None = None
    desc: str | None = None


@attrs.frozen
class CsvMapping(Model):
    """The column of a CSV file that fills the table's column `name`, given by its own name or by its index from 0."""

    name: str
    csv_column_name: str | None = attrs.field(default=None, kw_only=True)
    csv_column_index: int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.csv_column_name is None) == (self.csv_column_index is None):
            problem = "needs either csv_column_name or csv_column_index"
        elif self.csv_column_index is not None and self.csv_column_index < 0:
            problem = "counts csv_column_index from 0"
        else:
            return
        msg = f"CsvMapping: the mapping of {self.name!r} {problem}."
        raise ConfigurationError(msg)


@attrs.frozen
class CsvImportRequest(Model):
    """A mapping from the columns of a CSV file to the columns of a table.

    Columns of the table without a mapping get their defaults. If the file has no header line, all mappings must be by
    index.
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
        """Fill each of these columns from the column of the same name in the file."""
        return cls([CsvMapping(name, csv_column_name=name) for name in names])


@attrs.frozen
class ImportJob(Model):
    """An import. `start_time` and `end_time` are in milliseconds since 1970. `result["processed"]` counts the rows."""

    id: str | None = None
    status: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    progress: int | None = None
    result: dict[str, object] | None = None
