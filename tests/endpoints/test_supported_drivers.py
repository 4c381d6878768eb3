"""The requests that the methods of `supported_drivers` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.supported_drivers import SupportedDrivers
from peaka_async.models import ConnectionStrings

CALLS = [
    Call(
        "supported_drivers.get",
        (),
        "GET",
        "/supportedDrivers?catalogName=hive",
        options={"catalog_name": "hive"},
        returns=ConnectionStrings,
        safety=Safety.SAFE,
    ),
    Call(
        "supported_drivers.get_jdbc", (), "GET", "/supportedDrivers/jdbc", returns=ConnectionStrings, safety=Safety.SAFE
    ),
    Call(
        "supported_drivers.get_sql_alchemy",
        ("hive",),
        "GET",
        "/supportedDrivers/sql_alchemy?catalogName=hive",
        returns=ConnectionStrings,
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(SupportedDrivers, call) == call
