"""Parametric tables: tables of REST sources, with values for their parameters."""

from __future__ import annotations

from peaka_async.emulator._groups.catalogs import catalog_in, table_names
from peaka_async.emulator._operation import Answer, Call, Operation, not_found, objects, text, wrong_request
from peaka_async.emulator._sql.relations import table_of
from peaka_async.emulator._state import ParametricTable
from peaka_async.emulator._world import World


class ParametricTables:
    """The parametric tables of a catalog."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        path = "/data/projects/{projectId}/catalogs/{catalogId}/parametricTables"
        return (
            Operation("parametric_tables.list", "GET", path, self._list),
            Operation("parametric_tables.create", "POST", path, self._create),
            Operation("parametric_tables.delete", "DELETE", path, self._delete),
        )

    def _list(self, call: Call) -> object:
        return [_shown(each) for each in catalog_in(self._world, call).parametric]

    def _create(self, call: Call) -> object:
        catalog, body = catalog_in(self._world, call), call.json_object()
        table = ParametricTable(
            from_schema=text(body, "fromSchema"),
            from_table=text(body, "fromTable"),
            to_schema=text(body, "toSchema"),
            to_table=text(body, "toTable"),
            param_values=objects(body, "paramValues"),
        )
        source = table_of(catalog, table.from_schema, table.from_table)
        if source is None:
            raise wrong_request(f"There is no table '{table.from_schema}.{table.from_table}'")
        known = {column.name for column in source.columns}
        unknown = [each["key"] for each in table.param_values if each.get("key") not in known]
        if unknown:
            raise wrong_request(f"The table has no parameter '{unknown[0]}'")
        if table.to_table in table_names(self._world.project(call), catalog, table.to_schema):
            raise wrong_request("Target table already exists")
        catalog.parametric.append(table)
        return _shown(table)

    def _delete(self, call: Call) -> Answer:
        catalog = catalog_in(self._world, call)
        wanted = call.query.get("toSchema"), call.query.get("toTable")
        found = [each for each in catalog.parametric if (each.to_schema, each.to_table) == wanted]
        if not found:
            raise not_found("Parametric table not found")
        catalog.parametric.remove(found[0])
        return Answer(204)


def _shown(table: ParametricTable) -> dict[str, object]:
    return {
        "fromSchema": table.from_schema,
        "fromTable": table.from_table,
        "toSchema": table.to_schema,
        "toTable": table.to_table,
        "paramValues": table.param_values,
    }
