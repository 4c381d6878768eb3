"""The requests that the methods of `api_keys` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.api_keys import ApiKeys
from peaka_async.models import ApiKey, ApiKeyRequest

API_KEY = ApiKeyRequest(name="name")
CALLS = [
    Call(
        "api_keys.list",
        ("p",),
        "GET",
        "/projects/p/apiKeys",
        returns=list[ApiKey],
        safety=Safety.SAFE,
        partner_only=True,
    ),
    Call(
        "api_keys.create",
        ("p", API_KEY),
        "POST",
        "/projects/p/apiKeys",
        body=API_KEY,
        returns=ApiKey,
        safety=Safety.ONCE,
        partner_only=True,
    ),
    Call("api_keys.delete", ("p", "a"), "DELETE", "/projects/p/apiKeys/a", safety=Safety.IDEMPOTENT, partner_only=True),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(ApiKeys, call) == call
