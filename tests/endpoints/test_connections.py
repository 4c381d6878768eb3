"""The requests that the methods of `connections` make."""

from __future__ import annotations

import json

import pytest
from aioresponses import aioresponses
from recording_sender import Call, made

from peaka_async import (
    Connection,
    ConnectionConfiguration,
    ConnectionRequest,
    DatabaseCredential,
    Oauth2Callback,
    PeakaClient,
    Safety,
    _codec,
)
from peaka_async.endpoints.connections import Connections

CALLBACK = Oauth2Callback("code=1&state=2")
REQUEST = ConnectionRequest("pg", "POSTGRES", DatabaseCredential(url="h", port=5432, use_ssl=False))
CALLS = [
    Call(
        "connections.list_configs",
        (),
        "GET",
        "/connections/config",
        returns=list[ConnectionConfiguration],
        safety=Safety.SAFE,
    ),
    Call(
        "connections.get_config",
        ("t",),
        "GET",
        "/connections/config/t",
        returns=ConnectionConfiguration,
        safety=Safety.SAFE,
    ),
    Call("connections.list", ("p",), "GET", "/connections/p", returns=list[Connection], safety=Safety.SAFE),
    Call(
        "connections.create",
        ("p", REQUEST),
        "POST",
        "/connections/p",
        body=REQUEST,
        returns=Connection,
        safety=Safety.ONCE,
    ),
    Call(
        "connections.oauth2_callback",
        ("p", CALLBACK),
        "POST",
        "/connections/p/oauth2",
        body=CALLBACK,
        returns=Connection,
        safety=Safety.ONCE,
    ),
    Call("connections.get", ("p", "c"), "GET", "/connections/p/c", returns=Connection, safety=Safety.SAFE),
    Call(
        "connections.update",
        ("p", "c", REQUEST),
        "PUT",
        "/connections/p/c",
        body=REQUEST,
        returns=Connection,
        safety=Safety.IDEMPOTENT,
    ),
    Call("connections.delete", ("p", "c"), "DELETE", "/connections/p/c", safety=Safety.IDEMPOTENT),
    Call(
        "connections.get_view",
        ("p", "c"),
        "GET",
        "/connections/p/c/detail",
        returns=dict[str, object],
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Connections, call) == call


def test_a_request_is_encoded_as_the_api_writes_it():
    """Names are in camelCase, unset fields are left out, and a mapping is sent unchanged."""
    assert _codec.encode(REQUEST) == (
        b'{"name":"pg","type":"POSTGRES","credential":{"url":"h","port":5432,"useSsl":false}}'
    )
    assert _codec.encode(ConnectionRequest("n", "t", {"a_b": None, "accessToken": "x"})) == (
        b'{"name":"n","type":"t","credential":{"a_b":null,"accessToken":"x"}}'
    )


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ([{"id": "1"}, {"id": "2"}], [Connection("1"), Connection("2")]),
        ({"id": "1"}, [Connection("1")]),
        ({"items": [{"id": "1"}]}, [Connection("1")]),
        ([], []),
        (None, []),
    ],
)
async def test_a_list_comes_in_three_forms(payload, expected):
    """The document says that the list is one object; the live service sends an array. Both are read."""
    with aioresponses() as mocked:
        mocked.get("https://partner.peaka.studio/api/v1/connections/p", body=json.dumps(payload))
        async with PeakaClient("key", zone="us") as peaka:
            assert await peaka.connections.list("p") == expected


async def test_detail_and_delete():
    """The view is a mapping, unchanged; an answer without a body is None."""
    base = "https://partner.peaka.studio/api/v1/connections/p/c"
    with aioresponses() as mocked:
        mocked.get(f"{base}/detail", payload={"type": "bullhorn", "swimlane": "123"})
        mocked.delete(base, status=204)
        async with PeakaClient("key", zone="us") as peaka:
            detail = await peaka.connections.get_view("p", "c")
            deleted = await peaka.connections.delete("p", "c")

    assert (detail, deleted) == ({"type": "bullhorn", "swimlane": "123"}, None)
