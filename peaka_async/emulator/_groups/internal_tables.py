"""Internal tables: Peaka Tables and BI Tables, their columns, and the import of CSV files."""

from __future__ import annotations

import json
import uuid
from typing import cast

import attrs
from aiohttp import web

from peaka_async.emulator._csv_file import SAMPLE_ROWS, parts_of, rows_of, sample_of, value_of
from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._groups.catalogs import shown_column, shown_table
from peaka_async.emulator._operation import (
    Call,
    Operation,
    Refusal,
    not_found,
    objects,
    optional_text,
    text,
    unreadable,
    wrong_request,
)
from peaka_async.emulator._seed import system_columns
from peaka_async.emulator._state import INTERNAL_CATALOG, Column, ProjectRecord, Table
from peaka_async.emulator._world import World

_TYPES = {
    "VARCHAR": "varchar",
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "DECIMAL": "decimal(38,10)",
    "TIMESTAMP": "timestamp(3)",
    "TIME": "time(3)",
    "DATE": "date",
    "UUID": "uuid",
}


class InternalTables:
    """The internal tables of a project. Their rows come only from CSV files; BI Tables get no rows."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        tables, bi = (f"/data/projects/{{projectId}}/{schema}" for schema in ("table", "bitable"))
        one, bi_one = f"{tables}/{{tableName}}", f"{bi}/{{tableName}}"
        column, bi_column = f"{one}/columns/{{columnName}}", f"{bi_one}/columns/{{columnName}}"
        return (
            Operation("internal_tables.list", "GET", tables, self._list),
            Operation("internal_tables.list_bi_tables", "GET", bi, self._list),
            Operation("internal_tables.create", "POST", one, self._create),
            Operation("internal_tables.create_bi_table", "POST", bi_one, self._create),
            Operation("internal_tables.delete", "DELETE", one, self._delete),
            Operation("internal_tables.delete_bi_table", "DELETE", bi_one, self._delete),
            Operation("internal_tables.list_columns", "GET", f"{one}/columns", self._list_columns),
            Operation("internal_tables.list_bi_columns", "GET", f"{bi_one}/columns", self._list_columns),
            Operation("internal_tables.add_column", "POST", f"{one}/columns", self._add_column),
            Operation("internal_tables.add_bi_column", "POST", f"{bi_one}/columns", self._add_column),
            Operation("internal_tables.update_column", "PUT", column, self._update_column),
            Operation("internal_tables.update_bi_column", "PUT", bi_column, self._update_column),
            Operation("internal_tables.delete_column", "DELETE", column, self._delete_column),
            Operation("internal_tables.delete_bi_column", "DELETE", bi_column, self._delete_column),
            Operation("internal_tables.import_csv", "POST", f"{one}/import", self._import_csv),
            Operation("internal_tables.get_csv_sample", "GET", f"{one}/sample", self._sample),
        )

    def _place(self, call: Call) -> _Place:
        """The tables that a call is about: Peaka Tables or BI Tables."""
        project = self._world.project(call)
        bi = "/bitable" in call.request.path
        schema = "bitable" if bi else "table"
        return _Place(project, schema, project.catalogs[INTERNAL_CATALOG].schemas[schema], bi=bi)

    def _list(self, call: Call) -> object:
        place = self._place(call)
        return [place.shown(each) for each in place.tables.values()]

    def _create(self, call: Call) -> object:
        place = self._place(call)
        name = place.name_of(call.path["tableName"])
        if name in place.tables:
            if place.bi:
                # Two names can be stored as the same name.
                return place.shown(place.tables[name])
            raise _postgres(f'relation "{name}" already exists')
        columns = [attrs.evolve(each, id=self._world.state.new_id()) for each in system_columns(bi=place.bi)]
        place.tables[name] = Table(name=name, columns=columns, rows=[])
        return place.shown(place.tables[name])

    def _delete(self, call: Call) -> None:
        place = self._place(call)
        del place.tables[place.find(call).name]

    def _list_columns(self, call: Call) -> object:
        return [shown_column(each) for each in self._place(call).find(call).columns]

    def _add_column(self, call: Call) -> object:
        place = self._place(call)
        table, bodies = place.find(call), call.json_objects()
        columns = [self._column(place, each) for each in bodies]
        names = [each.name for each in table.columns]
        for column in columns:
            if column.name in names:
                raise _postgres(f'column "{column.name}" of relation "{table.name}" already exists')
            names.append(column.name)
        table.columns += columns
        table.rows = [[*row, *(each.default_value for each in columns)] for row in table.rows or []]
        table.version += 1
        return [self._answered(place, column, body) for column, body in zip(columns, bodies, strict=True)]

    def _column(self, place: _Place, body: dict[str, object]) -> Column:
        type_ = text(body, "dataType").upper()
        if type_ not in _TYPES:
            raise unreadable(name="dataType", value=body["dataType"])
        kept = not self._world.deviates(Deviation.COLUMN_FLAGS)
        column = Column(
            id=self._world.state.new_id(),
            name=place.name_of(text(body, "name")),
            type=_TYPES[type_],
            display_name=None if place.bi else optional_text(body, "displayName"),
            is_not_null=kept and body.get("isNotNull") is True,
            is_unique=kept and body.get("isUnique") is True,
        )
        default = optional_text(body, "defaultValue")
        column.default_value = None if default is None else value_of(default, column)
        return column

    def _answered(self, place: _Place, column: Column, body: dict[str, object]) -> dict[str, object]:
        """A column in the form of the answer. For a BI Table the answer has the requested name, not the stored one."""
        echoed = optional_text(body, "displayName") if place.bi else None
        return {**shown_column(column), "displayName": echoed or column.display_name or column.name}

    def _update_column(self, call: Call) -> object:
        """Replace a column's definition; the request must be complete."""
        place, body = self._place(call), call.json_object()
        table = place.find(call)
        index = _index_of(table, call)
        column = self._column(place, body)
        column.id = table.columns[index].id
        if column.name in {each.name for at, each in enumerate(table.columns) if at != index}:
            raise _postgres(f'column "{column.name}" of relation "{table.name}" already exists')
        rows = [[*row] for row in table.rows or []]
        for row in rows:
            cell = row[index]
            row[index] = value_of(cell, column) if isinstance(cell, str) else None
        table.columns[index], table.rows = column, rows
        table.version += 1
        answer = self._answered(place, column, body)
        return answer if self._world.deviates(Deviation.UPDATED_COLUMN) else [answer]

    def _delete_column(self, call: Call) -> None:
        table = self._place(call).find(call)
        index = _index_of(table, call)
        del table.columns[index]
        table.rows = [[cell for at, cell in enumerate(row) if at != index] for row in table.rows or []]
        table.version += 1

    def _import_csv(self, call: Call) -> object:
        """Append all rows of a file, or no row if a value is not valid for its column's type."""
        began = self._world.now
        table = self._place(call).find(call)
        parts = parts_of(call.request.headers.get("Content-Type", ""), call.body)
        if "file" not in parts or "request" not in parts:
            raise Refusal(400, error="Bad Request", message="The parts 'file' and 'request' are needed")
        lines = rows_of(parts["file"])
        mapping = _Mapping.of(parts["request"], table, lines)
        rows = [self._row(table, mapping, line) for line in lines[mapping.first_line :]]
        table.rows = [*(table.rows or []), *rows]
        table.version += 1
        return {
            "id": str(uuid.uuid4()),
            "status": "COMPLETED",
            "startTime": int(began.timestamp() * 1000),
            "endTime": int(self._world.now.timestamp() * 1000),
            "progress": 100,
            "result": {"processedRows": len(rows)},
        }

    def _row(self, table: Table, mapping: _Mapping, line: list[str]) -> list[object]:
        now = f"{self._world.now:%Y-%m-%d %H:%M:%S.%f}"
        email = self._world.state.email
        row: dict[str, object] = {
            "_id": str(uuid.uuid4()),
            "_created_at": now,
            "_created_by": email,
            "_updated_at": now,
            "_updated_by": email,
            "_version": "1",
        }
        for column in table.columns:
            if column.name in mapping.places:
                place = mapping.places[column.name]
                found = line[place] if place is not None and place < len(line) else None
                row[column.name] = None if found is None else value_of(found, column)
        return [row.get(column.name, column.default_value) for column in table.columns]

    def _sample(self, call: Call) -> web.Response:
        place = self._place(call)
        table = place.tables.get(call.path["tableName"])
        if table is None:
            return web.Response(text="\n" * SAMPLE_ROWS, content_type="text/csv")
        columns = [each for each in table.columns if not each.name.startswith("_")]
        return web.Response(text=sample_of(columns), content_type="text/csv")


@attrs.frozen
class _Place:
    """The Peaka Tables or the BI Tables of a project."""

    project: ProjectRecord
    schema: str
    tables: dict[str, Table]
    bi: bool

    def name_of(self, name: str) -> str:
        """The stored form of a name; names of BI Tables lose their underscores."""
        return name.lower().replace("_", "") if self.bi else name.lower()

    def find(self, call: Call) -> Table:
        name = self.name_of(call.path["tableName"])
        if name not in self.tables:
            raise not_found(f"There is no table '{name}'")
        return self.tables[name]

    def shown(self, table: Table) -> dict[str, object]:
        catalog = self.project.catalogs[INTERNAL_CATALOG]
        return shown_table(self.project, catalog, self.schema, table.name, table)


@attrs.frozen
class _Mapping:
    """A mapping from columns of a file to columns of a table; None for a column that the file does not have."""

    places: dict[str, int | None]
    first_line: int

    @classmethod
    def of(cls, request: bytes, table: Table, lines: list[list[str]]) -> _Mapping:
        try:
            body = json.loads(request)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, error="Bad Request", message="The part 'request' is not a JSON object")
        with_header = body.get("containsHeader") is not False
        header = lines[0] if with_header and lines else []
        known = {column.name for column in table.columns}
        places: dict[str, int | None] = {}
        for each in objects(cast("dict[str, object]", body), "mappings"):
            name = text(each, "name").lower()
            if name not in known:
                raise _postgres(f'column "{name}" of relation "{table.name}" does not exist')
            places[name] = _place_of(each, header)
        return cls(places, 1 if with_header else 0)


def _place_of(mapping: dict[str, object], header: list[str]) -> int | None:
    index = mapping.get("csvColumnIndex")
    if isinstance(index, int):
        return index
    name = mapping.get("csvColumnName")
    return header.index(name) if isinstance(name, str) and name in header else None


def _index_of(table: Table, call: Call) -> int:
    name = call.path["columnName"].lower()
    found = [index for index, each in enumerate(table.columns) if each.name == name]
    if not found:
        raise _postgres(f'column "{name}" of relation "{table.name}" does not exist')
    if table.columns[found[0]].system:
        raise wrong_request(f"The system column '{name}' cannot be changed")
    return found[0]


def _postgres(message: str) -> Refusal:
    """The database's message, which the service passes on."""
    return Refusal(400, errorCode=100, message=f"org.postgresql.util.PSQLException: ERROR: {message}")
