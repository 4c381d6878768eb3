"""The parts of the emulator's groups: operations, calls, answers and refusals."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import cast, final

import attrs
from aiohttp import web

_SHOWN_OF_KEY = 8


@final
@attrs.frozen
class Project:
    """A project. Its key can access only this project."""

    id: str
    name: str
    key: str = attrs.field(repr=False)


@final
@attrs.frozen
class Caller:
    """The caller: a Partner, or one project. `key` is the key that it used."""

    project: Project | None
    key: str = attrs.field(repr=False)

    def may_reach(self, project_id: str) -> bool:
        return self.project is None or self.project.id == project_id

    @property
    def key_prefix(self) -> str:
        """The part of the key that may be shown."""
        return self.key[:_SHOWN_OF_KEY]


class Refusal(Exception):
    """An error answer of the API: an object, or in `text` a JSON string."""

    def __init__(self, status: int, *, text: str | None = None, **body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body: object = body if text is None else text


@final
@attrs.frozen
class Answer:
    """A successful answer with another status than 200."""

    status: int
    body: object = None


@final
@attrs.frozen
class Call:
    """One authenticated request for one operation."""

    request: web.Request = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    caller: Caller = attrs.field(repr=False)

    @property
    def path(self) -> Mapping[str, str]:
        """The decoded path parameters, by the API's names."""
        return self.request.match_info

    @property
    def query(self) -> Mapping[str, str]:
        """The decoded query parameters, by the API's names."""
        return self.request.query

    def json(self) -> object:
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refusal(400, error="Bad Request", message="The body is not JSON") from None

    def json_object(self) -> dict[str, object]:
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, error="Bad Request", message="The body is not a JSON object")
        return body

    def json_objects(self) -> list[dict[str, object]]:
        """A list of objects, or a single one as a list of one."""
        body = self.json()
        bodies = body if isinstance(body, list) else [body]
        if not all(isinstance(each, dict) for each in bodies):
            raise Refusal(400, error="Bad Request", message="The body is not a list of JSON objects")
        return cast("list[dict[str, object]]", bodies)

    def whole_number(self, name: str, default: int) -> int:
        """A query parameter that must be a whole number of 0 or more."""
        value = self.query.get(name)
        if value is None:
            return default
        if not value.isdecimal():
            raise Refusal(400, error="Bad Request", message=f"Parameter '{name}' is not a whole number")
        return int(value)


Work = Callable[[Call], object | Awaitable[object]]
"""Does an operation and returns JSON, None for an empty 200, an `Answer`, or a complete response."""


@final
@attrs.frozen
class Operation:
    """One line of the routing table.

    `id` is the client's name for the operation, and `template` is its path below the base URL. A Project key gets 403
    for a `partner_only` operation.
    """

    id: str
    method: str
    template: str
    work: Work = attrs.field(repr=False)
    partner_only: bool = False

    @property
    def order(self) -> tuple[bool, ...]:
        """The sort key of the table: a literal segment is tried before a parameter at the same position."""
        return tuple(segment.startswith("{") for segment in self.template.split("/"))


def text(body: Mapping[str, object], name: str) -> str:
    """A property that must be a non-empty string."""
    value = body.get(name)
    if value is None or value == "":
        raise Refusal(400, error="Bad Request", message=f"Missing property '{name}'")
    if not isinstance(value, str):
        raise unreadable(name=name, value=value)
    return value


def optional_text(body: Mapping[str, object], name: str) -> str | None:
    """A property that is a string, or missing."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise unreadable(name=name, value=value)
    return value


def optional_object(body: Mapping[str, object], name: str) -> dict[str, object] | None:
    """A property that is an object, or missing."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise unreadable(name=name, value=value)
    return value


def optional_number(body: Mapping[str, object], name: str) -> int | None:
    """A property that is a whole number of 0 or more, or missing."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise unreadable(name=name, value=value)
    return value


def texts(body: Mapping[str, object], name: str) -> list[str]:
    """A property that is a list of strings; an empty list if it is missing."""
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise unreadable(name=name, value=value)
    return value


def objects(body: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """A property that is a list of objects; an empty list if it is missing."""
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise unreadable(name=name, value=value)
    return value


def unreadable(*, name: str, value: object) -> Refusal:
    """Refuse a property of the wrong type. Like the service, this repeats the value, even if it is a secret."""
    return Refusal(400, errorCode=100, message=f"Cannot deserialize property '{name}' from {json.dumps(value)}")


def wrong_request(message: str, *, status: int = 400, code: object = None) -> Refusal:
    """The most common form of a refusal."""
    return Refusal(status, error="WrongRequestException", message=message, errorCode=code)


def not_found(message: str) -> Refusal:
    return Refusal(404, error="NOT_FOUND", message=message, errorCode=None)


def failed(message: str) -> Refusal:
    """The service's answer to SQL that it cannot run."""
    return Refusal(400, errorCode=100, message=message)
