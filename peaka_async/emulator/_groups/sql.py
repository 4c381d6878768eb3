"""SQL: translation of statements from one dialect into another."""

from __future__ import annotations

from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._operation import Call, Operation, text
from peaka_async.emulator._world import World


class Sql:
    """Translation of SQL into other dialects."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        return (Operation("sql.transpile", "POST", "/sql/transpile/{dialect}", self._transpile),)

    def _transpile(self, call: Call) -> object:
        from peaka_async.emulator._sql.dialects import transpile  # noqa: PLC0415 - it loads sqlglot

        query, dialect = text(call.json_object(), "query"), call.path["dialect"].lower()
        if self._world.deviates(Deviation.TRANSPILE):
            return {"query": transpile(query, read=dialect, write="trino")}
        return {"result": transpile(query, read="trino", write=dialect)}
