"""The requests that the methods of `embedded` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.embedded import Embedded
from peaka_async.models import EmbeddedSession, InitSessionRequest

SESSION = InitSessionRequest(project_id="project")
CALLS = [
    Call(
        "embedded.init_session_from_query",
        ("p",),
        "GET",
        "/ui/initSession?projectId=p&timeoutInSeconds=60&theme=theme&themeOverride=true",
        options={"timeout_in_seconds": 60, "theme": "theme", "theme_override": True},
        returns=EmbeddedSession,
        safety=Safety.SAFE,
    ),
    Call(
        "embedded.init_session",
        (SESSION,),
        "POST",
        "/ui/initSession",
        body=SESSION,
        returns=EmbeddedSession,
        safety=Safety.ONCE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Embedded, call) == call
