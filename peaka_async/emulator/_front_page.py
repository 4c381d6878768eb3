"""The page at `/`: the state of the emulator, and the last calls."""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import datetime
from typing import final

import attrs
from aiohttp import web

from peaka_async.emulator import _html
from peaka_async.emulator._state import ProjectRecord, State

_ERROR = 400


@final
@attrs.frozen(kw_only=True)
class Served:
    """A call that was answered. The path has no query, because a query can hold secrets."""

    at: datetime
    method: str
    path: str
    operation: str
    status: int
    seconds: float
    fault: str | None = None


def page(base_url: str, state: State, calls: Iterable[Served], *, strict: bool) -> web.Response:
    """Make the page, in plain HTML that fits on a phone."""
    mode = "as the published document says (strict)" if strict else "as the live service does"
    parts = [
        "<h1>Peaka emulator</h1>",
        f"<p>The API is at <code>{html.escape(base_url)}</code>. It answers {mode}.</p>",
        *(_project(state, project) for project in state.projects.values()),
        "<h2>Last calls</h2>",
        _calls(list(calls)[::-1]),
    ]
    return _html.page("Peaka emulator", "\n".join(parts), wide=True)


def _project(state: State, project: ProjectRecord) -> str:
    connections = sum(each.project_id == project.id for each in state.connections.values())
    held = {
        "connections": connections,
        "catalogs": len(project.catalogs),
        "tables": sum(1 for _ in project.tables()),
        "caches": len(project.caches),
        "queries": len(project.queries),
        "folders": len(project.folders),
        "exports": len(project.exports),
        "chat threads": len(project.threads),
    }
    items = "".join(f"<li>{count} {html.escape(name)}</li>" for name, count in held.items())
    catalogs = ", ".join(sorted({catalog.name for catalog in project.catalogs.values()}))
    return (
        f"<h2>{html.escape(project.name)} <small>{html.escape(project.id)}</small></h2>"
        f"<ul>{items}</ul><p><small>Catalogs: {html.escape(catalogs)}</small></p>"
    )


def _calls(calls: list[Served]) -> str:
    if not calls:
        return "<p>None yet.</p>"
    return f"<ol>{''.join(map(_call, calls))}</ol>"


def _call(call: Served) -> str:
    mark = " <strong>✗</strong>" if call.status >= _ERROR else ""
    fault = f" <em>fault: {html.escape(call.fault)}</em>" if call.fault else ""
    return (
        f"<li><code>{html.escape(call.operation)}</code> {call.status}{mark}{fault} "
        f"<small>{call.at:%H:%M:%S} · {call.seconds * 1000:.0f} ms<br>"
        f"{html.escape(call.method)} {html.escape(call.path)}</small></li>"
    )
