"""The AI agent: chats about a project's data."""

from __future__ import annotations

import json
from typing import cast

import attrs

from peaka_async.models._model import Model

__all__ = ["AIAgentChatRequestDto", "AIAgentChatStreamRequestDto", "AIAgentThreadUpdateRequest", "ChatEvent"]


@attrs.frozen
class AIAgentChatRequestDto(Model):
    """A message to the agent.

    `thread_id` continues a chat. With `no_execute` the agent writes SQL but does not run it.
    """

    message: str | None = None
    thread_id: str | None = attrs.field(default=None, kw_only=True)
    no_execute: bool | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class AIAgentChatStreamRequestDto(Model):
    """A message to the agent that is answered in pieces. `stream_modes` are LangGraph's, such as `updates`."""

    message: str | None = None
    thread_id: str | None = attrs.field(default=None, kw_only=True)
    no_execute: bool | None = attrs.field(default=None, kw_only=True)
    stream_modes: list[str] | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class AIAgentThreadUpdateRequest(Model):
    """A chat thread's new name."""

    display_name: str | None = None


@attrs.frozen
class ChatEvent(Model):
    """An event of a chat's stream.

    Attributes:
        data: the event's text, unchanged.
        event: the event's type; `message` if the service sent no type.
        id: the last id that the service sent; empty if it sent none.
    """

    data: str
    event: str = "message"
    id: str = ""

    def json(self) -> dict[str, object] | None:
        """The data as a JSON object; None if it is not one."""
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError):
            return None
        return cast("dict[str, object]", value) if isinstance(value, dict) else None
