"""Conversion of attrs classes, with the API's names: a generated reader for each class, and a writer by cattrs."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_type_hints

import attrs

from peaka_async._codec.hooks import Structure, hook_of, inner, is_union
from peaka_async._codec.mismatch import Mismatch, wrong
from peaka_async._request import camel

if TYPE_CHECKING:
    import cattrs

BULKY = "bulky"
"""Marks a field that the repr leaves out for its size alone; all others that it leaves out are confidential."""

_CHECKED_INLINE: dict[object, str] = {str: "a string", bool: "a boolean", int: "a whole number"}


def object_factory(kind: type, converter: cattrs.Converter) -> Structure:
    """Generate the reader of one class. It calls no function for fields with a string, a boolean or a whole number.

    For `class A: id: str | None = None; tags: list[str] | None = None` it generates::

        def structure(value, _):
            if value.__class__ is not dict:
                raise wrong("an object", value)
            get = value.get
            v0 = get("id")
            if v0 is not None and v0.__class__ is not str:
                raise wrong("a string", v0, "$.id")
            v1 = get("tags")
            if v1 is not None:
                v1 = inner(h1, v1, t1, ".tags")
            return cls(v0, v1)
    """
    hints = get_type_hints(kind, include_extras=True)
    names: dict[str, object] = {"cls": kind, "wrong": wrong, "Mismatch": Mismatch, "inner": inner}
    lines = [
        "def structure(value, _):",
        " if value.__class__ is not dict:",
        '  raise wrong("an object", value)',
        " get = value.get",
    ]
    arguments = []
    for index, field in enumerate(attrs.fields(kind)):
        if not field.init:
            continue
        lines += _field_lines(index, field, hints[field.name], names, converter)
        arguments.append(f"{field.alias}=v{index}" if field.kw_only else f"v{index}")
    lines.append(f" return cls({', '.join(arguments)})")
    exec(compile("\n".join(lines), f"<structure {kind.__qualname__}>", "exec"), names)  # noqa: S102 - as cattrs.gen does
    return cast("Structure", names["structure"])


def _field_lines(
    index: int, field: attrs.Attribute[Any], hint: object, names: dict[str, object], converter: cattrs.Converter
) -> list[str]:
    name, variable = json_name(field), f"v{index}"
    lines = [f" {variable} = get({name!r})"]
    inner = _without_none(hint)
    if field.default is attrs.NOTHING:
        if inner is hint:
            lines += [f" if {variable} is None:", f'  raise Mismatch({"$." + name!r}, "is missing")']
    elif field.default is not None:
        names[f"d{index}"] = field.default
        default = f"d{index}.factory()" if isinstance(field.default, attrs.Factory) else f"d{index}"  # type: ignore[arg-type]
        lines += [f" if {variable} is None:", f"  {variable} = {default}"]
        lines += _value_lines(index, name, inner, names, converter, opening=" else:")
        return lines
    return lines + _value_lines(index, name, inner, names, converter, opening=f" if {variable} is not None:")


def _value_lines(
    index: int, name: str, kind: object, names: dict[str, object], converter: cattrs.Converter, *, opening: str
) -> list[str]:
    variable = f"v{index}"
    expected = _CHECKED_INLINE.get(kind)
    if expected is not None:
        kind_name = cast("type", kind).__name__
        check = f"{variable}.__class__ is not {kind_name}"
        return [opening, f"  if {check}:", f"   raise wrong({expected!r}, {variable}, {'$.' + name!r})"]
    if kind in {object, Any}:
        return []
    names[f"h{index}"] = hook_of(converter, kind)
    names[f"t{index}"] = kind
    return [opening, f"  {variable} = inner(h{index}, {variable}, t{index}, {'.' + name!r})"]


def _without_none(hint: object) -> object:
    if not is_union(hint):
        return hint
    members = tuple(member for member in get_args(hint) if member is not NoneType)
    if len(members) == len(get_args(hint)):
        return hint
    return Union[members]  # noqa: UP007 - made of a tuple at run time


def json_name(field: attrs.Attribute[Any]) -> str:
    return cast("str", field.metadata.get("json") or camel(field.name))


def is_confidential(field: attrs.Attribute[Any]) -> bool:
    """Whether the field is left out of queues and logs by default: a credential, a key, a link that gives access."""
    return not field.repr and BULKY not in field.metadata


Write = Callable[[object], dict[str, object]]


def writer_factory(*, confidential: bool) -> Callable[[type, cattrs.Converter], Write]:
    """Make the factory of writers, which write classes with or without their confidential fields."""

    def factory(kind: type, converter: cattrs.Converter) -> Write:
        from cattrs.gen import make_dict_unstructure_fn, override  # noqa: PLC0415 - as in converter.py

        attrs.resolve_types(kind, include_extras=True)
        names = {
            field.name: override(rename=json_name(field), omit=is_confidential(field) and not confidential)
            for field in attrs.fields(kind)
        }
        whole = cast("Write", make_dict_unstructure_fn(kind, converter, **names))  # type: ignore[arg-type]

        def unstructure(value: object) -> dict[str, object]:
            return {name: member for name, member in whole(value).items() if member is not None}

        return unstructure

    return factory
