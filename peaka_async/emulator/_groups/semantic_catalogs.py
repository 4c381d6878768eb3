"""Semantic catalogs: catalogs whose tables are saved queries."""

from __future__ import annotations

from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._groups.catalogs import catalog_in, refuse_taken_name, share, shown, table_names
from peaka_async.emulator._operation import Call, Operation, not_found, text, wrong_request
from peaka_async.emulator._state import Catalog
from peaka_async.emulator._world import World

_TYPE = "semantic"


class SemanticCatalogs:
    """The semantic catalogs of a project."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/data/projects/{projectId}/semantic-catalogs"
        one = f"{all_}/{{catalogId}}"
        return (
            Operation("semantic_catalogs.create", "POST", all_, self._create),
            Operation("semantic_catalogs.create_table", "POST", one, self._create_table),
            Operation("semantic_catalogs.share", "POST", f"{one}/share", self._share),
            Operation("semantic_catalogs.delete_table", "DELETE", f"{one}/table/{{tableId}}", self._delete_table),
        )

    def _create(self, call: Call) -> object:
        project, name = self._world.project(call), text(call.json_object(), "name")
        catalog = Catalog(id=self._world.state.new_id(), name=name.lower(), display_name=name, type=_TYPE)
        refuse_taken_name(self._world, project, catalog.name)
        project.catalogs[catalog.id] = catalog
        more = {"type": _TYPE.upper()} if self._world.deviates(Deviation.SEMANTIC_CATALOG_TYPE) else {}
        return {**shown(catalog), **more}

    def _create_table(self, call: Call) -> object:
        project, catalog, body = self._world.project(call), self._find(call), call.json_object()
        schema, name, query_id = text(body, "schemaName"), text(body, "tableName"), text(body, "queryId")
        if query_id not in project.queries:
            raise self._world.no_query(query_id)
        if name in table_names(project, catalog, schema):
            raise wrong_request(f"There is a table '{schema}.{name}' already")
        table_id = self._world.state.new_id()
        catalog.semantic[table_id] = {"schema": schema.lower(), "table": name.lower(), "query": query_id}
        return {
            "catalogId": catalog.id,
            "catalogName": catalog.name,
            "schemaName": schema,
            "tableName": name,
            "tableId": table_id,
        }

    def _share(self, call: Call) -> None:
        share(self._world, self._find(call), text(call.json_object(), "target"))

    def _delete_table(self, call: Call) -> None:
        """Delete the table. The saved query stays."""
        catalog, table_id = self._find(call), call.path["tableId"]
        if table_id not in catalog.semantic:
            raise not_found(f"There is no table with id {table_id}")
        del catalog.semantic[table_id]

    def _find(self, call: Call) -> Catalog:
        catalog = catalog_in(self._world, call)
        if catalog.type != _TYPE:
            raise wrong_request(f"The catalog with id {catalog.id} is not a semantic one")
        return catalog
