"""The requests that the methods of `projects` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.projects import Projects
from peaka_async.models import Project, ProjectRequest

PROJECT = ProjectRequest("name")
CALLS = [
    Call(
        "projects.list",
        ("o", "w"),
        "GET",
        "/organizations/o/workspaces/w/projects",
        returns=list[Project],
        safety=Safety.SAFE,
        partner_only=True,
    ),
    Call(
        "projects.create",
        ("o", "w", PROJECT),
        "POST",
        "/organizations/o/workspaces/w/projects",
        body=PROJECT,
        returns=Project,
        safety=Safety.ONCE,
        partner_only=True,
    ),
    Call(
        "projects.get",
        ("o", "w", "p"),
        "GET",
        "/organizations/o/workspaces/w/projects/p",
        returns=Project,
        safety=Safety.SAFE,
        partner_only=True,
    ),
    Call(
        "projects.update",
        ("o", "w", "p", PROJECT),
        "PUT",
        "/organizations/o/workspaces/w/projects/p",
        body=PROJECT,
        returns=Project,
        safety=Safety.IDEMPOTENT,
        partner_only=True,
    ),
    Call(
        "projects.delete",
        ("o", "w", "p"),
        "DELETE",
        "/organizations/o/workspaces/w/projects/p",
        safety=Safety.IDEMPOTENT,
        partner_only=True,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Projects, call) == call
