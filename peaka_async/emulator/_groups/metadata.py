"""Metadata: what the AI agent knows about a project's tables."""

from __future__ import annotations

import uuid

from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._groups.catalogs import catalog_in, schema_in
from peaka_async.emulator._operation import (
    Call,
    Operation,
    Refusal,
    not_found,
    objects,
    optional_number,
    optional_text,
    text,
    unreadable,
    wrong_request,
)
from peaka_async.emulator._sql.relations import table_of
from peaka_async.emulator._state import QUERY_CATALOG, Catalog, Column, GoldenSql, Notes, ProjectRecord, Relation, Table
from peaka_async.emulator._world import Oddity, World

_RELATIONS = ("MANY_TO_ONE", "ONE_TO_MANY", "ONE_TO_ONE")
_FREQUENCIES = (None, "NONE", "DAILY", "WEEKLY", "MONTHLY")
_VALUES = 50
_MATCHES = 5


class Metadata:
    """The metadata of a project. A refresh waits, is active and ends; meanwhile the metadata stays."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.on("metadata refresh begins", self._begins)
        world.on("metadata refresh ends", self._ends)

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/metadata/{projectId}"
        table = "{catalogId}/{schemaName}/{tableName}"
        categorical = f"{all_}/categorical/{table}/{{columnName}}"
        relation = f"{all_}/relations/{table}/{{relationId}}"
        callback = f"{all_}/refresh/callback"
        golden = f"{all_}/golden-sqls"
        return (
            Operation("metadata.get", "GET", all_, self._get),
            Operation("metadata.generate_categorical_column_values", "PUT", categorical, self._generate_categorical),
            Operation("metadata.delete_categorical_column_values", "DELETE", categorical, self._delete_categorical),
            Operation("metadata.query_golden_sqls", "GET", f"{all_}/golden-sql/query", self._query_golden_sqls),
            Operation("metadata.list_golden_sqls", "GET", golden, self._list_golden_sqls),
            Operation("metadata.add_golden_sql", "POST", golden, self._add_golden_sql),
            Operation("metadata.delete_golden_sql", "DELETE", f"{golden}/{{id}}", self._delete_golden_sql),
            Operation("metadata.query", "GET", f"{all_}/query", self._query),
            Operation("metadata.generate_sample_questions", "GET", f"{all_}/questions/generate", self._questions),
            Operation("metadata.refresh", "POST", f"{all_}/refresh", self._refresh),
            Operation("metadata.get_refresh_callback", "GET", callback, self._get_callback),
            Operation("metadata.register_refresh_callback", "POST", callback, self._register_callback),
            Operation("metadata.unregister_refresh_callback", "DELETE", callback, self._unregister_callback),
            Operation("metadata.get_refresh_status", "GET", f"{all_}/refresh/{{catalogId}}", self._get_refresh_status),
            Operation("metadata.list_relations", "GET", f"{all_}/relations/{{catalogId}}", self._list_relations),
            Operation("metadata.add_relation", "POST", f"{all_}/relations/{table}/{{columnName}}", self._add_relation),
            Operation("metadata.update_relation", "PUT", relation, self._update_relation),
            Operation("metadata.delete_relation", "DELETE", relation, self._delete_relation),
            Operation("metadata.generate_semantics", "POST", f"{all_}/semantics/{table}", self._semantics),
            Operation("metadata.update_catalog", "PUT", f"{all_}/{{catalogId}}", self._update_usage),
            Operation("metadata.update_schema", "PUT", f"{all_}/{{catalogId}}/{{schemaName}}", self._update_usage),
            Operation("metadata.update_table", "PUT", f"{all_}/{table}", self._update_table),
        )

    def _get(self, call: Call) -> object:
        project = self._world.project(call)
        catalog_id, schema_name = call.query.get("catalogId"), call.query.get("schemaName")
        chosen = [
            _document(project, catalog, schema, table)
            for catalog, schema, table in project.tables()
            if catalog_id in {None, catalog.id} and schema_name in {None, schema}
        ]
        return {"metadata": chosen}

    def _generate_categorical(self, call: Call) -> object:
        body = call.json_object()
        limit, frequency = optional_number(body, "limit"), optional_text(body, "frequency")
        if frequency not in _FREQUENCIES:
            raise unreadable(name="frequency", value=frequency)
        place = self._place(call)
        column = place.column(call)
        sql = (
            f'SELECT DISTINCT CAST("{column.name}" AS VARCHAR) FROM {place.name} '  # noqa: S608 - all names are known
            f'WHERE "{column.name}" IS NOT NULL ORDER BY 1 LIMIT {_VALUES if limit is None else limit}'
        )
        values = [row[0] for row in self._world.engine.run(place.project, sql).rows]
        place.notes.columns.setdefault(column.name, {}).update(isCategorical=True, categoricalValues=values)
        return {"categoricalValues": values, "frequency": frequency or "NONE"}

    def _delete_categorical(self, call: Call) -> object:
        place = self._place(call)
        place.notes.columns.setdefault(place.column(call).name, {}).update(isCategorical=False, categoricalValues=[])
        return _done()

    def _query_golden_sqls(self, call: Call) -> object:
        words = _words(call, "q")
        known = self._world.project(call).golden_sqls.values()
        return {"result": [{"question": each.prompt, "sql": each.sql} for each in known if words & _split(each.prompt)]}

    def _list_golden_sqls(self, call: Call) -> object:
        project = self._world.project(call)
        return {"result": [_golden(project, each) for each in project.golden_sqls.values()]}

    def _add_golden_sql(self, call: Call) -> object:
        project, body = self._world.project(call), call.json_object()
        golden = GoldenSql(id=str(uuid.uuid4()), prompt=text(body, "prompt"), sql=text(body, "sql"))
        project.golden_sqls[golden.id] = golden
        return {"result": _golden(project, golden)}

    def _delete_golden_sql(self, call: Call) -> object:
        if self._world.project(call).golden_sqls.pop(call.path["id"], None) is None:
            raise not_found(f"There is no golden SQL with id {call.path['id']}")
        return _done()

    def _query(self, call: Call) -> object:
        """The tables whose names and columns share most words with the text."""
        project, words = self._world.project(call), _words(call, "table")
        scored = [(len(words & _known_words(place[2])), place) for place in project.tables()]
        best = sorted((each for each in scored if each[0]), key=lambda each: -each[0])
        count = call.whole_number("topK", _MATCHES)
        return {"result": [_table_metadata(project, *place) for _, place in best[:count]]}

    def _questions(self, call: Call) -> object:
        question = call.query.get("question", "")
        tables = [table.name for _, _, table in self._world.project(call).tables()][:3]
        asked = [{"question": f"How many {name} are there?", "category": "count"} for name in tables]
        return {"questions": asked, "threadId": _thread_for(question)}

    def _refresh(self, call: Call) -> object:
        project, body = self._world.project(call), call.json_object()
        catalog_id = text(body, "catalogId")
        if catalog_id not in project.catalogs:
            raise wrong_request(f"There is no catalog with id {catalog_id}")
        project.metadata_refreshes[catalog_id] = "waiting"
        self._world.later(self._world.pace.waits, "metadata refresh begins", project, catalog_id)
        return {"status": "waiting", "catalogId": catalog_id}

    def _begins(self, project: ProjectRecord, catalog_id: str, _: int) -> None:
        project.metadata_refreshes[catalog_id] = "active"
        self._world.later(self._world.pace.runs, "metadata refresh ends", project, catalog_id)

    def _ends(self, project: ProjectRecord, catalog_id: str, _: int) -> None:
        stuck = Oddity.METADATA_STUCK in self._world.oddities
        project.metadata_refreshes[catalog_id] = "stuck" if stuck else "completed"

    def _get_refresh_status(self, call: Call) -> object:
        status = self._world.project(call).metadata_refreshes.get(call.path["catalogId"], "not-active")
        if not self._world.deviates(Deviation.REFRESH_STATUS):
            status = status.upper().replace("-", "_")
        return {"status": status}

    def _get_callback(self, call: Call) -> object:
        return {"callback": self._world.project(call).metadata_callback}

    def _register_callback(self, call: Call) -> object:
        body = call.json_object()
        callback: dict[str, object] = {"callbackURL": text(body, "callbackURL")}
        self._world.project(call).metadata_callback = callback
        return {"callback": callback}

    def _unregister_callback(self, call: Call) -> object:
        self._world.project(call).metadata_callback = {}
        return _done()

    def _list_relations(self, call: Call) -> object:
        project, catalog_id = self._world.project(call), call.path["catalogId"]
        found = [each for each in project.relations.values() if each.source[0] == catalog_id]
        return {"relations": [_relation(project, each) for each in found]}

    def _add_relation(self, call: Call) -> object:
        place, body = self._place(call), call.json_object()
        target = [text(body, f"target{name}") for name in ("CatalogId", "SchemaName", "TableName", "ColumnName")]
        source = [place.catalog.id, place.schema, place.table.name, place.column(call).name]
        relation = Relation(id=str(uuid.uuid4()), source=source, target=target, type=_relation_type(body))
        place.project.relations[relation.id] = relation
        return {"relation": _relation(place.project, relation)}

    def _update_relation(self, call: Call) -> object:
        relation = self._find_relation(call)
        relation.type = _relation_type(call.json_object())
        return {"relation": _relation(self._world.project(call), relation)}

    def _delete_relation(self, call: Call) -> object:
        del self._world.project(call).relations[self._find_relation(call).id]
        return _done()

    def _find_relation(self, call: Call) -> Relation:
        relation = self._world.project(call).relations.get(call.path["relationId"])
        if relation is None:
            raise not_found(f"There is no relation with id {call.path['relationId']}")
        return relation

    def _semantics(self, call: Call) -> object:
        place, body = self._place(call), call.json_object()
        place.notes.description = f"Rows of {place.table.name}, with {len(place.table.visible)} columns."
        for column in place.table.visible:
            described = {"columnDescription": f"The {column.name} of {place.table.name}."}
            place.notes.columns.setdefault(column.name, {}).update(described)
        thread = optional_text(body, "threadId") or _thread_for(place.name)
        return {
            "metadata": _table_metadata(place.project, place.catalog, place.schema, place.table),
            "threadId": thread,
        }

    def _update_usage(self, call: Call) -> object:
        """Set whether the agent may use the tables of a catalog or schema."""
        usage = call.json_object().get("useWithAI")
        if not isinstance(usage, bool):
            raise unreadable(name="useWithAI", value=usage)
        project, catalog = self._world.project(call), catalog_in(self._world, call)
        schema = call.path.get("schemaName")
        if schema is not None:
            schema_in(catalog, call)
        for found, name, table in project.tables():
            if found is catalog and schema in {None, name}:
                _notes(project, catalog, name, table).use_with_ai = usage
        return _done()

    def _update_table(self, call: Call) -> object:
        place, body = self._place(call), call.json_object()
        place.notes.description = optional_text(body, "tableDescription") or place.notes.description
        usage = body.get("useWithAI")
        place.notes.use_with_ai = usage if isinstance(usage, bool) else place.notes.use_with_ai
        known = {column.name for column in place.table.columns}
        for column in objects(body, "columns"):
            name = text(column, "columnName")
            if name not in known:
                raise wrong_request(f"There is no column '{name}'")
            place.notes.columns.setdefault(name, {}).update(column)
        return {"metadata": _table_metadata(place.project, place.catalog, place.schema, place.table)}

    def _place(self, call: Call) -> _Place:
        catalog = catalog_in(self._world, call)
        schema, name = schema_in(catalog, call), call.path["tableName"]
        table = table_of(catalog, schema, name) if catalog.id != QUERY_CATALOG else None
        if table is None:
            raise not_found(f"There is no table '{schema}.{name}'")
        return _Place(self._world.project(call), catalog, schema, table)


class _Place:
    """A table, by a call's path."""

    def __init__(self, project: ProjectRecord, catalog: Catalog, schema: str, table: Table) -> None:
        self.project, self.catalog, self.schema, self.table = project, catalog, schema, table
        self.notes = _notes(project, catalog, schema, table)
        self.name = f'"{catalog.name}"."{schema}"."{table.name}"'

    def column(self, call: Call) -> Column:
        name = call.path["columnName"]
        found = [column for column in self.table.columns if column.name == name]
        if not found:
            raise not_found(f"There is no column '{name}'")
        return found[0]


def _notes(project: ProjectRecord, catalog: Catalog, schema: str, table: Table) -> Notes:
    return project.notes.setdefault(f"{catalog.id}/{schema}/{table.name}", Notes())


def _done() -> dict[str, object]:
    return {"success": True}


def _split(words: str) -> set[str]:
    return {word for word in words.lower().replace("_", " ").replace("?", " ").split() if len(word) > 1}


def _known_words(table: Table) -> set[str]:
    return _split(f"{table.name} {' '.join(column.name for column in table.visible)}")


def _words(call: Call, name: str) -> set[str]:
    """The words of a required query parameter."""
    value = call.query.get(name)
    if not value:
        raise Refusal(400, error="Bad Request", message=f"Missing parameter '{name}'")
    return _split(value)


def _thread_for(subject: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, subject))


def _relation_type(body: dict[str, object]) -> str:
    type_ = text(body, "type")
    if type_ not in _RELATIONS:
        raise unreadable(name="type", value=type_)
    return type_


def _golden(project: ProjectRecord, golden: GoldenSql) -> dict[str, object]:
    return {
        "id": golden.id,
        "content": golden.prompt,
        "metadata": {"sql": golden.sql, "prompt": golden.prompt, "projectId": project.id},
    }


def _relation(project: ProjectRecord, relation: Relation) -> dict[str, object]:
    names = ("CatalogId", "SchemaName", "TableName", "ColumnName")
    source = {f"source{name}": value for name, value in zip(names, relation.source, strict=True)}
    target = {f"target{name}": value for name, value in zip(names, relation.target, strict=True)}
    return {"id": relation.id, "projectId": project.id, **source, **target, "type": relation.type}


def _document(project: ProjectRecord, catalog: Catalog, schema: str, table: Table) -> dict[str, object]:
    name = f"{catalog.name}.{schema}.{table.name}"
    return {
        "id": _thread_for(f"{project.id}/{name}"),
        "content": f"{name}: {', '.join(column.name for column in table.visible)}",
        "metadata": _table_metadata(project, catalog, schema, table),
    }


def _table_metadata(project: ProjectRecord, catalog: Catalog, schema: str, table: Table) -> dict[str, object]:
    notes = project.notes.get(f"{catalog.id}/{schema}/{table.name}") or Notes()
    place = [catalog.id, schema, table.name]
    columns = [_column(order, column, notes) for order, column in enumerate(table.visible)]
    return {
        "projectId": project.id,
        "catalogId": catalog.id,
        "catalogType": "internal" if catalog.connection_id is None else "external",
        "catalogSubType": catalog.type,
        "catalogQueryName": catalog.name,
        "catalogDisplayName": catalog.display_name,
        "schemaName": schema,
        "tableName": table.name,
        "tableDescription": notes.description,
        "isCacheable": bool(table.cache_types),
        "isDynamicTable": table.parametric,
        "useWithAI": notes.use_with_ai,
        "columns": columns,
        "relations": [_relation(project, each) for each in project.relations.values() if each.source[:3] == place],
    }


def _column(order: int, column: Column, notes: Notes) -> dict[str, object]:
    shown: dict[str, object] = {
        "columnName": column.name,
        "columnDescription": None,
        "dataType": column.type,
        "order": order,
        "isNotNull": column.is_not_null,
        "isSystem": column.system,
        "isUnique": column.is_unique,
        "isPrimary": column.name == "id",
        "isCategorical": False,
        "categoricalValues": [],
        "lineage": [],
        "sampleValues": [f"{column.name} 1", f"{column.name} 2"],
    }
    return {**shown, **notes.columns.get(column.name, {})}
