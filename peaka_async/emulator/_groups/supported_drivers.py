"""Supported drivers: connection strings, which hold the caller's key."""

from __future__ import annotations

from aiohttp import web

from peaka_async.emulator._deviations import Deviation
from peaka_async.emulator._operation import Call, Operation, Refusal
from peaka_async.emulator._world import World

_HOST = "dbc.peaka.studio:4567"


class SupportedDrivers:
    """Connection strings for other tools."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation("supported_drivers.get", "GET", "/supportedDrivers", self._get),
            Operation("supported_drivers.get_jdbc", "GET", "/supportedDrivers/jdbc", self._get_jdbc),
            Operation(
                "supported_drivers.get_sql_alchemy", "GET", "/supportedDrivers/sql_alchemy", self._get_sql_alchemy
            ),
        )

    def _get(self, call: Call) -> object:
        return {"JDBC": _jdbc(call), "SQL_ALCHEMY": _sql_alchemy(call, call.query.get("catalogName", "{catalogName}"))}

    def _get_jdbc(self, call: Call) -> object:
        if self._world.deviates(Deviation.DRIVERS_AS_OBJECT):
            return web.Response(text=f'{{\n    "JDBC": "{_jdbc(call)}",\n}}\n', content_type="application/json")
        return {"JDBC": _jdbc(call)}

    def _get_sql_alchemy(self, call: Call) -> object:
        catalog = call.query.get("catalogName")
        if not catalog:
            raise Refusal(400, error="Bad Request", message="Missing parameter 'catalogName'")
        return {"SQL_ALCHEMY": _sql_alchemy(call, catalog)}


def _jdbc(call: Call) -> str:
    return f"jdbc:peaka://{_HOST}/?extraCredentials=peakaKey:{call.caller.key}"


def _sql_alchemy(call: Call, catalog: str) -> str:
    credential = f'[["peakaKey","{call.caller.key}"]]'
    return f"peaka://{_HOST}/{catalog}?http_scheme=https&extra_credential={credential}&access_token=true"
