"""Queries: saved SQL, and its execution."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from aiohttp import web

from peaka_async.emulator._groups.materialized_queries import MaterializedQueries
from peaka_async.emulator._groups.query_folders import folder_at, path_of
from peaka_async.emulator._operation import (
    Call,
    Operation,
    Refusal,
    failed,
    optional_object,
    optional_text,
    text,
    texts,
    wrong_request,
)
from peaka_async.emulator._state import ProjectRecord, SavedQuery
from peaka_async.emulator._world import World

if TYPE_CHECKING:
    from peaka_async.emulator._sql.engine import Result

_TYPES = ("PLAIN", "MATERIALIZED")
_FORMATS = ("CELL_TYPED", "SIMPLE", "COMPACT")


class Queries:
    """The saved queries of a project, and the execution of queries."""

    def __init__(self, world: World, materialized: MaterializedQueries) -> None:
        self._world, self._materialized = world, materialized

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/data/projects/{projectId}/queries"
        one = f"{all_}/{{queryId}}"
        return (
            Operation("queries.list", "GET", all_, self._list),
            Operation("queries.create", "POST", all_, self._create),
            Operation("queries.execute", "POST", f"{all_}/execute", self._execute),
            Operation("queries.get", "GET", one, self._get),
            Operation("queries.update", "PUT", one, self._update),
            Operation("queries.delete", "DELETE", one, self._delete),
            Operation("queries.update_path", "PATCH", f"{one}/path", self._update_path),
        )

    def _list(self, call: Call) -> object:
        project = self._world.project(call)
        return [shown(project, each) for each in project.queries.values()]

    def _create(self, call: Call) -> object:
        project, body = self._world.project(call), call.json_object()
        name = text(body, "displayName")
        type_ = optional_text(body, "queryType") or "PLAIN"
        if type_ not in _TYPES:
            raise wrong_request(f"Unknown query type '{type_}'")
        query = SavedQuery(
            id=self._world.state.new_id(),
            display_name=name,
            name=_free_name(project, name),
            sql=self._sql_of(project, body, call) or text(body, "inputQuery"),
            type=type_,
            schedule=optional_object(body, "schedule"),
            folder_id=self._folder_of(project, body),
        )
        project.queries[query.id] = query
        self._materialized.begin(project, query)
        return shown(project, query)

    def _get(self, call: Call) -> object:
        return shown(self._world.project(call), self._world.query(call))

    def _update(self, call: Call) -> object:
        """Change the given fields. Fields that are left out do not change."""
        project, query, body = self._world.project(call), self._world.query(call), call.json_object()
        type_ = optional_text(body, "queryType") or query.type
        if type_ not in _TYPES:
            raise wrong_request(f"Unknown query type '{type_}'")
        sql = self._sql_of(project, body, call) or query.sql
        query.display_name = optional_text(body, "displayName") or query.display_name
        changed = (sql, type_) != (query.sql, query.type)
        query.sql, query.type = sql, type_
        if "path" in body:
            query.folder_id = self._folder_of(project, body)
        if "schedule" in body:
            query.schedule = optional_object(body, "schedule")
        if changed or "schedule" in body:
            self._materialized.begin(project, query)
        return shown(project, query)

    def _delete(self, call: Call) -> None:
        del self._world.project(call).queries[self._world.query(call).id]

    def _update_path(self, call: Call) -> None:
        query = self._world.query(call)
        query.folder_id = folder_at(self._world, self._world.project(call), text(call.json_object(), "path"))

    def _sql_of(self, project: ProjectRecord, body: dict[str, object], call: Call) -> str | None:
        """The SQL of a request: its own SQL, or that of the query that it refers to. It must be valid SQL."""
        reference = optional_text(body, "inputQueryRefId")
        if reference is not None:
            if reference not in project.queries:
                raise self._world.no_query(reference)
            return project.queries[reference].sql
        sql = optional_text(body, "inputQuery")
        if sql is not None:
            self._check(project, sql, bind=call.query.get("checkSchemaExists") == "true")
        return sql

    def _check(self, project: ProjectRecord, sql: str, *, bind: bool) -> None:
        """Check SQL. Names are bound when a query runs, or here if the request asks for it."""
        from peaka_async.emulator._sql.statement import parse  # noqa: PLC0415 - it loads sqlglot

        if bind:
            self._world.engine.bind(project, sql)
        else:
            parse(sql)

    def _folder_of(self, project: ProjectRecord, body: dict[str, object]) -> str | None:
        path = optional_text(body, "path")
        return None if path is None else folder_at(self._world, project, path)

    def _execute(self, call: Call) -> object:
        project, body = self._world.project(call), call.json_object()
        form = call.query.get("format", "CELL_TYPED")
        if form not in _FORMATS:
            raise Refusal(400, error="Bad Request", message=f"Unknown format '{form}'")
        bindings = texts(body, "bindings")
        result = self._world.engine.run(project, self._statement(project, body), bindings)
        return web.Response(text=json.dumps(_formatted(result, form)), content_type="application/json")

    def _statement(self, project: ProjectRecord, body: dict[str, object]) -> str:
        """The statement for a request of one of the four types."""
        if "statement" in body:
            return text(body, "statement")
        if "id" in body:
            query_id = body["id"]
            if not isinstance(query_id, str):
                raise wrong_request("A query's id is a string")
            if query_id not in project.queries:
                raise self._world.no_query(query_id)
            return project.queries[query_id].sql
        if "qualifiedName" in body:
            return f"SELECT * FROM {_qualified(text(body, 'qualifiedName'))}"  # noqa: S608 - quoted, and bound
        if "from" in body:
            from peaka_async.emulator._sql.builder import statement_of  # noqa: PLC0415 - it loads sqlglot

            return statement_of(project, body)
        raise wrong_request("The body is not of one of the four types of requests")


def shown(project: ProjectRecord, query: SavedQuery) -> dict[str, object]:
    """A query as the API shows it."""
    return {
        "id": query.id,
        "displayName": query.display_name,
        "name": query.name,
        "inputQuery": query.sql,
        "queryType": query.type,
        "schedule": query.schedule,
        "path": path_of(project, query.folder_id),
        "folderId": query.folder_id,
    }


def _free_name(project: ProjectRecord, display_name: str) -> str:
    """A name for SQL: letters and digits of the shown name, with a number if it is taken."""
    name = re.sub(r"[^a-z0-9_]", "", display_name.lower()) or "query"
    taken = {each.name for each in project.queries.values()}
    return next(each for each in (name, *(f"{name}{count}" for count in range(2, len(taken) + 3))) if each not in taken)


def _qualified(name: str) -> str:
    parts = [part.strip('"') for part in name.split(".")]
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - catalog, schema and table
        raise failed(f"'{name}' is not of the form catalog.schema.table")
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _formatted(result: Result, form: str) -> dict[str, object]:
    columns = [
        {
            "catalogName": each.catalog,
            "schemaName": each.schema,
            "tableName": each.table,
            "columnName": each.name,
        }
        for each in result.columns
    ]
    if form == "COMPACT":
        return {"columns": columns, "data": result.rows}
    names = [each.name for each in result.columns]
    if form == "SIMPLE":
        # If several columns have the same name, only one is in the object.
        return {"columns": columns, "data": [dict(zip(names, row, strict=True)) for row in result.rows]}
    heads = [
        {"name": each.name, "displayName": each.name, "dataType": each.type, "order": order}
        for order, each in enumerate(result.columns)
    ]
    rows = [[{**head, "value": value} for head, value in zip(heads, row, strict=True)] for row in result.rows]
    return {"columns": columns, "data": cast("list[object]", rows)}
