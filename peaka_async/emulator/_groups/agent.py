"""The AI agent: chats about a project's data; the same question always gets the same answer."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable

from aiohttp import web

from peaka_async.emulator._clock import iso
from peaka_async.emulator._operation import Call, Operation, not_found, optional_text, text, texts
from peaka_async.emulator._state import Catalog, ProjectRecord, Table, Thread
from peaka_async.emulator._world import World

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_TITLE_LENGTH = 40


class Agent:
    """The chats of a project. The agent counts the rows of the table that a message names."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        chat = "/ai-agent/{projectId}/chat"
        threads = "/ai-agent/{projectId}/threads"
        one = f"{threads}/{{threadId}}"
        return (
            Operation("agent.get_workflow_image", "GET", "/ai-agent/workflow/png", self._image),
            Operation("agent.chat", "POST", chat, self._chat),
            Operation("agent.chat_stream", "POST", f"{chat}/stream", self._chat_stream),
            Operation("agent.list_threads", "GET", threads, self._list_threads),
            Operation("agent.get_thread", "GET", one, self._get_thread),
            Operation("agent.update_thread", "PUT", one, self._update_thread),
            Operation("agent.delete_thread", "DELETE", one, self._delete_thread),
        )

    def _image(self, _: Call) -> web.Response:
        return web.Response(body=_PNG, content_type="image/png")

    def _chat(self, call: Call) -> object:
        thread, steps = self._answer(call)
        return {"result": {"messages": [*thread.messages], "threadId": thread.id, "sql": steps["query"]["sql"]}}

    def _chat_stream(self, call: Call) -> web.Response:
        """The answer as events: one for each step of the agent, in each requested stream mode."""
        modes = texts(call.json_object(), "streamModes") or ["updates"]
        thread, steps = self._answer(call)
        events: list[tuple[str, dict[str, object]]] = [("metadata", {"threadId": thread.id})]
        events.extend((mode, {name: step}) for name, step in steps.items() for mode in modes)
        return web.Response(body=_stream(events), content_type="text/event-stream")

    def _answer(self, call: Call) -> tuple[Thread, dict[str, dict[str, object]]]:
        """Continue or start a thread; return it with the steps of the agent."""
        project, body = self._world.project(call), call.json_object()
        message = text(body, "message")
        thread = self._thread(project, optional_text(body, "threadId"), message)
        found = _table_named_in(project, message)
        sql = None
        answer = "I do not know a table that this question is about."
        if found is not None:
            catalog, schema, table = found
            sql = f'SELECT COUNT(*) AS "count" FROM "{catalog.name}"."{schema}"."{table.name}"'  # noqa: S608
            answer = f"This SQL answers it: {sql}"
            if body.get("noExecute") is not True:
                count = self._world.engine.run(project, sql).rows[0][0]
                answer = f"There are {count} rows in {catalog.name}.{schema}.{table.name}."
        asked: dict[str, object] = {"type": "human", "content": message, "id": str(uuid.uuid4())}
        said: dict[str, object] = {"type": "ai", "content": answer, "id": str(uuid.uuid4())}
        thread.messages += [asked, said]
        return thread, {"query": {"sql": sql}, "agent": {"messages": [said]}}

    def _thread(self, project: ProjectRecord, thread_id: str | None, message: str) -> Thread:
        if thread_id is not None:
            return _thread_with(project, thread_id)
        thread = Thread(id=str(uuid.uuid4()), display_name=message[:_TITLE_LENGTH], created_at=self._world.now)
        project.threads[thread.id] = thread
        return thread

    def _list_threads(self, call: Call) -> object:
        return {"threads": [_shown(each) for each in self._world.project(call).threads.values()]}

    def _get_thread(self, call: Call) -> object:
        thread = self._find(call)
        return {"thread": {**_shown(thread), "messages": [*thread.messages]}}

    def _update_thread(self, call: Call) -> object:
        thread = self._find(call)
        thread.display_name = text(call.json_object(), "displayName")
        return {"thread": _shown(thread)}

    def _delete_thread(self, call: Call) -> object:
        thread = self._find(call)
        del self._world.project(call).threads[thread.id]
        return {"success": True}

    def _find(self, call: Call) -> Thread:
        return _thread_with(self._world.project(call), call.path["threadId"])


def _thread_with(project: ProjectRecord, thread_id: str) -> Thread:
    thread = project.threads.get(thread_id)
    if thread is None:
        raise not_found(f"There is no thread with id {thread_id}")
    return thread


def _table_named_in(project: ProjectRecord, message: str) -> tuple[Catalog, str, Table] | None:
    """The first table whose name is a word of the message, if the agent may use it."""
    words = set(message.lower().replace("?", " ").replace(".", " ").split())
    for catalog, schema, table in project.tables():
        notes = project.notes.get(f"{catalog.id}/{schema}/{table.name}")
        if table.name in words and (notes is None or notes.use_with_ai):
            return catalog, schema, table
    return None


def _shown(thread: Thread) -> dict[str, object]:
    return {"id": thread.id, "displayName": thread.display_name, "createdAt": iso(thread.created_at)}


def _stream(events: Iterable[tuple[str, dict[str, object]]]) -> bytes:
    """Events in the form of a Spring server: a comment first, and no space after the colon."""
    lines = [":connected\n\n"]
    for number, (name, data) in enumerate(events, start=1):
        lines.append(f"id:{number}\nevent:{name}\ndata:{json.dumps(data)}\n\n")
    return "".join(lines).encode()
