"""JSON schemas of attrs classes, for OpenAPI."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from datetime import datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

import attrs

from peaka_async._codec import hooks
from peaka_async._codec.objects import is_confidential, json_name

_SCALARS: dict[object, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    NoneType: {"type": "null"},
}


def json_schema(kind: type, outer: tuple[type, ...] = ()) -> dict[str, Any]:
    """The JSON schema of an attrs class. If a class contains itself, the inner one is an object without members."""
    if kind in outer:
        return {"type": "object", "title": kind.__name__}
    hints = get_type_hints(kind, include_extras=True)
    properties, required = {}, []
    for field in attrs.fields(kind):
        schema = _schema(hints[field.name], (*outer, kind))
        properties[json_name(field)] = {**schema, "writeOnly": True} if is_confidential(field) else schema
        if field.default is attrs.NOTHING:
            required.append(json_name(field))
    described = {
        "type": "object",
        "title": kind.__name__,
        "description": inspect.getdoc(kind),
        "properties": properties,
    }
    return {**described, "required": required} if required else described


def _schema(hint: Any, outer: tuple[type, ...]) -> dict[str, Any]:
    if hint in _SCALARS:
        return _SCALARS[hint]
    return next((make(hint, outer) for matches, make in _COMPOUNDS if matches(hint)), {})


def _list(hint: object, outer: tuple[type, ...]) -> dict[str, Any]:
    (item,) = get_args(hint) or (object,)
    return {"type": "array", "items": _schema(item, outer)}


def _is_enumeration(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


_COMPOUNDS: list[tuple[Callable[[object], bool], Callable[[Any, tuple[type, ...]], dict[str, Any]]]] = [
    (hooks.is_union, lambda hint, outer: {"anyOf": [_schema(each, outer) for each in get_args(hint)]}),
    (hooks.is_annotated_millis, lambda hint, outer: _schema(get_args(hint)[0], outer)),
    (hooks.is_list, _list),
    (hooks.is_mapping, lambda _, __: {"type": "object"}),
    (hooks.is_literal, lambda hint, _: {"enum": [*get_args(hint)]}),
    (hooks.is_attrs, json_schema),
    (_is_enumeration, lambda hint, _: {"type": "string", "enum": [each.value for each in hint]}),
]
