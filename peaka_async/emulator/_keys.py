"""The caller of a request, by the API key in its Authorization header."""

from __future__ import annotations

from datetime import datetime

from peaka_async.emulator._operation import Caller, Project
from peaka_async.emulator._state import State


def caller_of(state: State, authorization: str, now: datetime) -> Caller | None:
    """The caller that a key belongs to; None if the key is unknown or has expired."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        return None
    if key == state.partner_key:
        return Caller(None, key)
    for project in state.projects.values():
        for each in project.keys.values():
            if each.secret == key and (each.expires_at is None or now < each.expires_at):
                return Caller(Project(project.id, project.name, key), key)
    return None
