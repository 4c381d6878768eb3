"""Catalogs: the data sources of a project, with their schemas, tables and columns."""

from __future__ import annotations

from collections.abc import Iterator

from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._operation import Call, Operation, Refusal, not_found, optional_number, optional_text, text
from peaka_async.emulator._seed import catalog_of
from peaka_async.emulator._sql.relations import schemas_of, table_of
from peaka_async.emulator._state import INTERNAL_CATALOG, QUERY_CATALOG, Catalog, Column, ProjectRecord, Table
from peaka_async.emulator._world import World

_PAGE = 100
_MOST = 1000
_WITH_STATISTICS = "peaka_postgres"


class Catalogs:
    """The catalogs of a project."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/data/projects/{projectId}/catalogs"
        one = f"{all_}/{{catalogId}}"
        tables = f"{one}/schemas/{{schemaName}}/tables"
        table = f"{tables}/{{tableName}}"
        return (
            Operation("catalogs.list", "GET", all_, self._list),
            Operation("catalogs.create", "POST", all_, self._create),
            Operation("catalogs.get", "GET", one, self._get),
            Operation("catalogs.delete", "DELETE", one, self._delete),
            Operation("catalogs.list_schemas", "GET", f"{one}/schemas", self._list_schemas),
            Operation("catalogs.list_tables", "GET", tables, self._list_tables),
            Operation("catalogs.list_columns", "GET", f"{table}/columns", self._list_columns),
            Operation("catalogs.is_cached", "GET", f"{table}/isCached", self._is_cached),
            Operation("catalogs.get_table_statistics", "GET", f"{table}/statistics", self._statistics),
            Operation("catalogs.share", "POST", f"{one}/share", self._share),
            Operation("catalogs.search", "POST", "/data/projects/{projectId}/search", self._search),
        )

    def _list(self, call: Call) -> object:
        return [shown(each) for each in self._world.project(call).catalogs.values()]

    def _create(self, call: Call) -> object:
        project, body = self._world.project(call), call.json_object()
        connection = self._world.state.connections.get(text(body, "connectionId"))
        if connection is None or connection.project_id != project.id:
            raise _no_connection(str(body["connectionId"]))
        if not connection.active:
            raise Refusal(400, error="INVALID_CONNECTION_ID", message="The connection waits for its consent")
        catalog = catalog_of(self._world.state, connection, text(body, "name"))
        refuse_taken_name(self._world, project, catalog.name)
        project.catalogs[catalog.id] = catalog
        return shown(catalog)

    def _get(self, call: Call) -> object:
        return shown(catalog_in(self._world, call))

    def _delete(self, call: Call) -> None:
        catalog = catalog_in(self._world, call)
        if catalog.id in {INTERNAL_CATALOG, QUERY_CATALOG}:
            raise Refusal(400, errorCode=100, message="A built-in catalog cannot be deleted")
        project = self._world.project(call)
        del project.catalogs[catalog.id]
        for cache in [each for each in project.caches.values() if each.catalog_id == catalog.id]:
            del project.caches[cache.id]

    def _list_schemas(self, call: Call) -> object:
        catalog = self._readable(call)
        return [
            {"catalogId": catalog.id, "catalogName": catalog.name, "schemaName": name} for name in schemas_of(catalog)
        ]

    def _list_tables(self, call: Call) -> object:
        project, catalog, schema = (
            self._world.project(call),
            self._readable(call),
            schema_in(self._readable(call), call),
        )
        names = table_names(project, catalog, schema)
        return [self._shown_table(project, catalog, schema, name) for name in names]

    def _shown_table(self, project: ProjectRecord, catalog: Catalog, schema: str, name: str) -> dict[str, object]:
        return shown_table(project, catalog, schema, name, table_of(catalog, schema, name))

    def _list_columns(self, call: Call) -> object:
        return [shown_column(each) for each in self.columns(call)]

    def columns(self, call: Call) -> list[Column]:
        """The visible columns of a call's table; for a saved query they come from its execution."""
        catalog = self._readable(call)
        schema, name = schema_in(catalog, call), call.path["tableName"]
        table = table_of(catalog, schema, name)
        if table is not None:
            return table.visible
        project = self._world.project(call)
        if name not in table_names(project, catalog, schema):
            raise _no_table(schema, name)
        sql = f'SELECT * FROM "{catalog.name}"."{schema}"."{name}" LIMIT 0'  # noqa: S608 - both names are known
        return [Column(name=each.name, type=each.type) for each in self._world.engine.run(project, sql).columns]

    def _is_cached(self, call: Call) -> object:
        catalog = self._readable(call)
        schema, name = schema_in(catalog, call), call.path["tableName"]
        project = self._world.project(call)
        table = table_of(catalog, schema, name)
        if table is None and name not in table_names(project, catalog, schema):
            raise _no_table(schema, name)
        if table is None:
            # The service has no further data about a saved query.
            return {"isCached": False}
        found = shown_table(project, catalog, schema, name, table)
        return {each: found[each] for each in ("supportedCacheTypes", "isCached", "isCacheable")}

    def _statistics(self, call: Call) -> object:
        catalog = self._readable(call)
        schema, name = schema_in(catalog, call), call.path["tableName"]
        if catalog.type != _WITH_STATISTICS and self._world.deviates(Deviation.STATISTICS):
            raise Refusal(400, errorCode=100, message=f"Catalog type: {catalog.type} is not being supported yet")
        table = table_of(catalog, schema, name)
        if table is None:
            raise _no_table(schema, name)
        figures = self._figures(self._world.project(call), catalog, schema, table) if table.statistics else []
        return {"catalogId": catalog.id, "schemaName": schema, "tableName": name, "columnStatistics": figures}

    def _figures(self, project: ProjectRecord, catalog: Catalog, schema: str, table: Table) -> list[dict[str, object]]:
        """PostgreSQL's n_distinct: minus the fraction of rows that are distinct."""
        counts = ", ".join(f'COUNT(DISTINCT "{each.name}")' for each in table.visible)
        sql = f'SELECT {counts} FROM "{catalog.name}"."{schema}"."{table.name}"'  # noqa: S608 - the names are the seed's
        (row,) = self._world.engine.run(project, sql).rows
        return [
            {"columnName": column.name, "distinctFraction": -round(int(count or 0) / max(table.count, 1), 4)}
            for column, count in zip(table.visible, row, strict=True)
        ]

    def _share(self, call: Call) -> object:
        catalog = catalog_in(self._world, call)
        return {"sharedCatalogId": share(self._world, catalog, text(call.json_object(), "targetProjectId"))}

    def _search(self, call: Call) -> object:
        body = call.json_object()
        query = optional_text(body, "query") or ""
        limit = optional_number(body, "limit")
        limit = _PAGE if limit is None else min(limit, _MOST)
        offset = optional_number(body, "offset") or 0
        project = self._world.project(call)
        matches = list(_matches(project, query.lower(), optional_text(body, "catalog"), optional_text(body, "schema")))
        page = matches[offset : offset + limit]
        following = offset + limit if offset + limit < len(matches) else None
        return {
            "matchedCatalogs": _of_size(page, 1),
            "matchedSchemas": _of_size(page, 2),
            "matchedTables": _of_size(page, 3),
            "meta": {
                "page": {"limit": limit, "offset": offset, "nextOffset": following},
                "query": {"text": query},
            },
        }

    def _readable(self, call: Call) -> Catalog:
        """The catalog of a call. Its source is read, so its connection must exist."""
        catalog = catalog_in(self._world, call)
        if catalog.connection_id is not None and catalog.connection_id not in self._world.state.connections:
            raise _no_connection(catalog.connection_id)
        return catalog


def catalog_in(world: World, call: Call) -> Catalog:
    """The catalog of a call."""
    catalog = world.project(call).catalogs.get(call.path["catalogId"])
    if catalog is None:
        raise not_found(f"There is no catalog with id {call.path['catalogId']}")
    return catalog


def schema_in(catalog: Catalog, call: Call) -> str:
    """The schema of a call."""
    schema = call.path["schemaName"]
    if schema not in schemas_of(catalog):
        raise not_found(f"There is no schema '{schema}' in catalog '{catalog.name}'")
    return schema


def table_names(project: ProjectRecord, catalog: Catalog, schema: str) -> list[str]:
    """The names of a schema's tables."""
    if catalog.id == QUERY_CATALOG:
        stored = schema == "mtquery"
        return [each.name for each in project.queries.values() if stored <= (each.type == "MATERIALIZED")]
    more = [each.to_table for each in catalog.parametric if each.to_schema == schema]
    more += [each["table"] for each in catalog.semantic.values() if each["schema"] == schema]
    return [*catalog.schemas.get(schema, {}), *more]


def refuse_taken_name(world: World, project: ProjectRecord, name: str) -> None:
    """Refuse a name that another catalog of the project has."""
    if any(each.name == name for each in project.catalogs.values()):
        message = "There are already a catalog with same name!!"
        if world.deviates(Deviation.DUPLICATE_CATALOG):
            raise Refusal(400, errorCode=100, message=message)
        raise Refusal(400, text=message)


def share(world: World, catalog: Catalog, target: str) -> str:
    """Give another project a catalog with the same tables; return the id that it has there."""
    project = world.state.projects.get(target)
    if project is None:
        raise not_found(f"There is no project with id {target}")
    shared = Catalog(
        id=world.state.new_id(),
        name=catalog.name,
        display_name=catalog.display_name,
        type=catalog.type,
        connection_id=catalog.connection_id,
        capped=catalog.capped,
        schemas=catalog.schemas,
    )
    refuse_taken_name(world, project, shared.name)
    project.catalogs[shared.id] = shared
    return shared.id


def shown(catalog: Catalog) -> dict[str, object]:
    """A catalog as the API shows it."""
    return {
        "id": catalog.id,
        "name": catalog.name,
        "displayName": catalog.display_name,
        "catalogType": catalog.type,
        "connectionId": catalog.connection_id,
    }


def shown_table(
    project: ProjectRecord, catalog: Catalog, schema: str, name: str, table: Table | None
) -> dict[str, object]:
    """A table as the API shows it."""
    types = list(table.cache_types) if table is not None else []
    cached = any(
        (each.catalog_id, each.schema, each.table) == (catalog.id, schema, name) and not each.deleting
        for each in project.caches.values()
    )
    return {
        "catalogId": catalog.id,
        "catalogName": catalog.name,
        "schemaName": schema,
        "tableName": name,
        "supportedCacheTypes": types,
        "isCacheable": bool(types),
        "isDynamicTable": table is not None and table.parametric,
        "isCached": cached,
    }


def shown_column(column: Column) -> dict[str, object]:
    """A column as the API shows it."""
    return {
        "id": column.id,
        "name": column.name,
        "dataType": column.type,
        "displayName": column.display_name or column.name,
        "defaultValue": column.default_value,
        "isNotNull": column.is_not_null,
        "isUnique": column.is_unique,
        "desc": None,
    }


def _matches(project: ProjectRecord, query: str, catalog: str | None, schema: str | None) -> Iterator[tuple[str, ...]]:
    """The names that contain the text: of catalogs, then of schemas, then of tables."""
    chosen = [each for each in project.catalogs.values() if catalog is None or each.name == catalog]
    schemas = [(each, name) for each in chosen for name in schemas_of(each) if schema is None or name == schema]
    if schema is None:
        yield from dict.fromkeys((each.name,) for each in chosen if query in each.name.lower())
    yield from ((each.name, name) for each, name in schemas if query in name.lower())
    for each, name in schemas:
        yield from ((each.name, name, table) for table in table_names(project, each, name) if query in table.lower())


def _of_size(page: list[tuple[str, ...]], size: int) -> list[dict[str, str]] | None:
    names = ("catalog", "schema", "table")
    return [dict(zip(names, each, strict=False)) for each in page if len(each) == size] or None


def _no_connection(connection_id: str) -> Refusal:
    message = f"There is no connection with id {connection_id}"
    return Refusal(400, error="INVALID_CONNECTION_ID", message=message, errorCode="cn004")


def _no_table(schema: str, name: str) -> Refusal:
    return not_found(f"There is no table '{schema}.{name}'")
