"""What the groups of the emulator are made of: operations, the calls that reach them, and refusals."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import final

import attrs
from aiohttp import web

from peaka_async.emulator._keys import Caller


class Refusal(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, **body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@final
@attrs.frozen
class Call:
    """One authenticated request for one operation."""

    request: web.Request = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    caller: Caller = attrs.field(repr=False)

    @property
    def path(self) -> Mapping[str, str]:
        """The path parameters, decoded, by the API's names."""
        return self.request.match_info

    def json_object(self) -> dict[str, object]:
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, error="Bad Request", message="The body is not a JSON object")
        return body


Work = Callable[[Call], Awaitable[web.Response]]


@final
@attrs.frozen
class Operation:
    """One line of the routing table.

    `id` is the client's name for the operation; `template` is its path below the base URL.
    """

    id: str
    method: str
    template: str
    work: Work = attrs.field(repr=False)


def text(body: Mapping[str, object], name: str) -> str:
    """A property that has to be a string with something in it."""
    value = body.get(name)
    if value is None or value == "":
        raise Refusal(400, error="Bad Request", message=f"Missing property '{name}'")
    if not isinstance(value, str):
        raise unreadable(name=name, value=value)
    return value


def unreadable(*, name: str, value: object) -> Refusal:
    """A property of the wrong type; the service repeats what it was sent, secrets included, and so does this."""
    return Refusal(400, errorCode=100, message=f"Cannot deserialize property '{name}' from {json.dumps(value)}")
