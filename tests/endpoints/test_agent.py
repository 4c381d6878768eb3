"""The requests that the methods of `agent` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.agent import Agent
from peaka_async.models import AIAgentChatRequestDto, AIAgentThreadUpdateRequest

MESSAGE = AIAgentChatRequestDto(message="message")
THREAD = AIAgentThreadUpdateRequest(display_name="display")
CALLS = [
    Call("agent.get_workflow_image", (), "GET", "/ai-agent/workflow/png", returns=bytes, safety=Safety.SAFE),
    Call(
        "agent.chat",
        ("p", MESSAGE),
        "POST",
        "/ai-agent/p/chat",
        body=MESSAGE,
        returns=dict[str, object],
        safety=Safety.ONCE,
    ),
    Call("agent.list_threads", ("p",), "GET", "/ai-agent/p/threads", returns=dict[str, object], safety=Safety.SAFE),
    Call(
        "agent.get_thread", ("p", "th"), "GET", "/ai-agent/p/threads/th", returns=dict[str, object], safety=Safety.SAFE
    ),
    Call(
        "agent.update_thread",
        ("p", "th", THREAD),
        "PUT",
        "/ai-agent/p/threads/th",
        body=THREAD,
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "agent.delete_thread",
        ("p", "th"),
        "DELETE",
        "/ai-agent/p/threads/th",
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Agent, call) == call
