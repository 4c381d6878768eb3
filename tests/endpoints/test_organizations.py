"""The requests that the methods of `organizations` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.organizations import Organizations
from peaka_async.models import Organization

CALLS = [
    Call(
        "organizations.list",
        (),
        "GET",
        "/organizations",
        returns=list[Organization],
        safety=Safety.SAFE,
        partner_only=True,
    ),
    Call(
        "organizations.get",
        ("o",),
        "GET",
        "/organizations/o",
        returns=Organization,
        safety=Safety.SAFE,
        partner_only=True,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Organizations, call) == call
