"""The requests that the methods of `workspaces` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.workspaces import Workspaces
from peaka_async.models import Workspace, WorkspaceRequest

WORKSPACE = WorkspaceRequest(name="name")
CALLS = [
    Call(
        "workspaces.list",
        ("o",),
        "GET",
        "/organizations/o/workspaces",
        returns=list[Workspace],
        safety=Safety.SAFE,
        partner_only=True,
    ),
    Call(
        "workspaces.create",
        ("o", WORKSPACE),
        "POST",
        "/organizations/o/workspaces",
        body=WORKSPACE,
        returns=Workspace,
        safety=Safety.ONCE,
        partner_only=True,
    ),
    Call(
        "workspaces.get",
        ("o", "w"),
        "GET",
        "/organizations/o/workspaces/w",
        returns=Workspace,
        safety=Safety.SAFE,
        partner_only=True,
    ),
    Call(
        "workspaces.update",
        ("o", "w", WORKSPACE),
        "PUT",
        "/organizations/o/workspaces/w",
        body=WORKSPACE,
        returns=Workspace,
        safety=Safety.IDEMPOTENT,
        partner_only=True,
    ),
    Call(
        "workspaces.delete",
        ("o", "w"),
        "DELETE",
        "/organizations/o/workspaces/w",
        safety=Safety.IDEMPOTENT,
        partner_only=True,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Workspaces, call) == call
