"""The requests that the methods of `deprecated_projects` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.deprecated_projects import DeprecatedProjects
from peaka_async.models import Project, ProjectRequest

PROJECT = ProjectRequest("name")
CALLS = [
    Call(
        "deprecated_projects.list", (), "GET", "/projects", returns=list[Project], safety=Safety.SAFE, partner_only=True
    ),
    Call(
        "deprecated_projects.create",
        (PROJECT,),
        "POST",
        "/projects",
        body=PROJECT,
        returns=Project,
        safety=Safety.ONCE,
        partner_only=True,
    ),
    Call(
        "deprecated_projects.get", ("p",), "GET", "/projects/p", returns=Project, safety=Safety.SAFE, partner_only=True
    ),
    Call(
        "deprecated_projects.update",
        ("p", PROJECT),
        "PUT",
        "/projects/p",
        body=PROJECT,
        returns=Project,
        safety=Safety.IDEMPOTENT,
        partner_only=True,
    ),
    Call("deprecated_projects.delete", ("p",), "DELETE", "/projects/p", safety=Safety.IDEMPOTENT, partner_only=True),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(DeprecatedProjects, call) == call
