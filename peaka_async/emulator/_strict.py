"""Strict mode: answers in the form of the published document."""

from __future__ import annotations

import json
from typing import cast

from peaka_async.emulator._operation import Answer

_ONE_OBJECT = frozenset(
    {
        "api_keys.list",
        "connections.list",
        "connections.list_configs",
        "internal_tables.add_bi_column",
        "internal_tables.add_column",
        "organizations.list",
        "workspaces.list",
    }
)
"""Operations for which the document has one object, and the service returns a list."""

_TEXT = frozenset({"supported_drivers.get", "supported_drivers.get_jdbc", "supported_drivers.get_sql_alchemy"})
"""Operations for which the document has a string, and the service returns an object."""

_WITHOUT_A_SCHEMA = frozenset({"info", "queries.execute", "sql.transpile"})
"""Operations whose answer is not documented."""


def as_documented(operation: str, answer: Answer) -> Answer:
    """The answer, in the document's form."""
    if operation in _WITHOUT_A_SCHEMA:
        return answer
    return Answer(answer.status, _shaped(operation, answer))


def _shaped(operation: str, answer: Answer) -> object:
    body = _without_nulls(answer.body)
    if answer.status >= 300:  # noqa: PLR2004 - an error keeps its form
        return body
    if operation in _TEXT:
        return body if isinstance(body, str) else json.dumps(body)
    if operation in _ONE_OBJECT and isinstance(body, list):
        return next(iter(body), {})
    if _is_map_of_objects(operation) and isinstance(body, dict):
        return {name: member for name, member in body.items() if isinstance(member, dict)}
    if operation.startswith("parametric_tables."):
        return _without_plain_values(body)
    return body


def _without_plain_values(body: object) -> object:
    """Parametric tables without parameter values that are not objects: the document allows only objects."""
    if isinstance(body, list):
        return [_without_plain_values(each) for each in body]
    if not isinstance(body, dict):
        return body
    members = cast("dict[str, object]", body)
    if isinstance(members.get("value"), dict) or "value" not in members:
        return {name: _without_plain_values(member) for name, member in members.items()}
    return {name: member for name, member in members.items() if name != "value"}


def _is_map_of_objects(operation: str) -> bool:
    """Whether the document has an object whose members are objects."""
    group, _, name = operation.partition(".")
    if group == "metadata":
        return name != "get_refresh_status"
    return group == "agent" or operation in {"cache.full_refresh", "cache.incremental_update"}


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {name: _without_nulls(member) for name, member in members.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
