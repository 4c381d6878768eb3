"""The AI agent: chats about a project's data."""

from __future__ import annotations

import functools

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.endpoints._event_stream import EventStream
from peaka_async.models.agent import AIAgentChatRequestDto, AIAgentChatStreamRequestDto, AIAgentThreadUpdateRequest


class Agent(Group):
    """The chats of a project with the AI agent."""

    async def get_workflow_image(self) -> bytes:
        """Get a PNG picture of the agent's workflow.

        [API page](https://docs.peaka.com/api-reference/agentv2/get-png-image-of-current-ai-workflow)
        """
        return await self._send(
            Request(
                "agent.get_workflow_image",
                "GET",
                "/ai-agent/workflow/png",
                returns=bytes,
                safety=Safety.SAFE,
            )
        )

    async def chat(self, project_id: str, message: AIAgentChatRequestDto) -> dict[str, object]:
        """Send a message to the agent and wait for its complete answer.

        [API page](https://docs.peaka.com/api-reference/agentv2/chat-with-agent)
        """
        return await self._send(
            Request(
                "agent.chat",
                "POST",
                "/ai-agent/{project_id}/chat",
                path={"project_id": project_id},
                body=message,
                returns=dict[str, object],
                safety=Safety.ONCE,
            )
        )

    def chat_stream(self, project_id: str, message: AIAgentChatStreamRequestDto) -> EventStream:
        """Send a message to the agent and get its answer in pieces, as events.

        [API page](https://docs.peaka.com/api-reference/agentv2/chat-with-agent-via-stream)

        Raises:
            TransportError: the stream broke while it was read. The message is not sent again.
        """
        return EventStream(
            functools.partial(
                self._stream,
                Request(
                    "agent.chat_stream",
                    "POST",
                    "/ai-agent/{project_id}/chat/stream",
                    path={"project_id": project_id},
                    body=message,
                    returns=bytes,
                    safety=Safety.ONCE,
                ),
            )
        )

    async def list_threads(self, project_id: str) -> dict[str, object]:
        """List the chat threads.

        [API page](https://docs.peaka.com/api-reference/agentv2/list-ai-agent-threads)
        """
        return await self._send(
            Request(
                "agent.list_threads",
                "GET",
                "/ai-agent/{project_id}/threads",
                path={"project_id": project_id},
                returns=dict[str, object],
                safety=Safety.SAFE,
            )
        )

    async def get_thread(self, project_id: str, thread_id: str) -> dict[str, object]:
        """Get a chat thread with its messages.

        [API page](https://docs.peaka.com/api-reference/agentv2/get-ai-agent-thread)
        """
        return await self._send(
            Request(
                "agent.get_thread",
                "GET",
                "/ai-agent/{project_id}/threads/{thread_id}",
                path={"project_id": project_id, "thread_id": thread_id},
                returns=dict[str, object],
                safety=Safety.SAFE,
            )
        )

    async def update_thread(
        self, project_id: str, thread_id: str, thread: AIAgentThreadUpdateRequest
    ) -> dict[str, object]:
        """Rename a chat thread.

        [API page](https://docs.peaka.com/api-reference/agentv2/update-ai-agent-thread-display-name)
        """
        return await self._send(
            Request(
                "agent.update_thread",
                "PUT",
                "/ai-agent/{project_id}/threads/{thread_id}",
                path={"project_id": project_id, "thread_id": thread_id},
                body=thread,
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete_thread(self, project_id: str, thread_id: str) -> dict[str, object]:
        """Delete a chat thread.

        [API page](https://docs.peaka.com/api-reference/agentv2/delete-ai-agent-thread)
        """
        return await self._send(
            Request(
                "agent.delete_thread",
                "DELETE",
                "/ai-agent/{project_id}/threads/{thread_id}",
                path={"project_id": project_id, "thread_id": thread_id},
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )
