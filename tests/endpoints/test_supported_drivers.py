"""What each method of `supported_drivers` sends."""

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
    """Verb, target, body, answer and safety are the API's."""
    assert await made(SupportedDrivers, call) == call
