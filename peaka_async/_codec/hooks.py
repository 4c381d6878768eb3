"""Functions that read values, one for each kind. They are strict: a value of the wrong type is not converted."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

import attrs

from peaka_async._codec.mismatch import Mismatch, kind_of, wrong

if TYPE_CHECKING:
    import cattrs

Structure = Callable[[object, Any], Any]

MILLIS = "millis"
"""Marks `Annotated[datetime, MILLIS]`: a timestamp that older answers give as milliseconds since 1970."""

_ISO = re.compile(r"(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?\s*(Z|[+-]\d{2}:?\d{2})?", re.IGNORECASE)


# ── Scalars: a value of the wrong type is an error ───────────────────────────────────────────────────────────────────


def read_string(value: Any, _: object) -> str:
    if value.__class__ is not str:
        raise wrong("a string", value)
    return value


def read_boolean(value: Any, _: object) -> bool:
    if value.__class__ is not bool:
        raise wrong("a boolean", value)
    return value


def read_integer(value: Any, _: object) -> int:
    if value.__class__ is not int:
        raise wrong("a whole number", value)
    return value


def read_float(value: Any, _: object) -> float:
    if value.__class__ is float:
        return value
    if value.__class__ is not int:
        raise wrong("a number", value)
    try:
        return float(value)
    except OverflowError:
        pass
    raise Mismatch("$", "the number is too large")


def read_anything(value: object, _: object) -> object:
    return value


def read_timestamp(value: Any, _: object) -> datetime:
    if value.__class__ is not str:
        raise wrong("a timestamp", value)
    found = _ISO.fullmatch(value.strip())
    if found is not None:
        seconds, fraction, zone = found.groups()
        text = f"{seconds}.{(fraction or '0')[:6]:0<6}{'+00:00' if zone in {None, 'Z', 'z'} else zone}"
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise Mismatch("$", "expected a timestamp in ISO 8601, got another text")


def read_timestamp_or_millis(value: Any, kind: object) -> datetime:
    if value.__class__ is not int:
        return read_timestamp(value, kind)
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        pass
    raise Mismatch("$", "the timestamp is out of range")


def write_instant(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


# ── Compounds: hooks made for a type ─────────────────────────────────────────────────────────────────────────────────


def is_union(kind: object) -> bool:
    return get_origin(kind) in {Union, types.UnionType}


def is_list(kind: object) -> bool:
    return kind is list or get_origin(kind) is list


def is_mapping(kind: object) -> bool:
    return kind in {dict, Mapping} or get_origin(kind) in {dict, Mapping}


def is_annotated_millis(kind: object) -> bool:
    return get_origin(kind) is Annotated and MILLIS in get_args(kind)


def is_literal(kind: object) -> bool:
    return get_origin(kind) is Literal


def hook_of(converter: cattrs.Converter, kind: Any) -> Structure:
    """The hook of a type. For an attrs class it is looked up at the first use, because a class may contain itself."""
    if not is_attrs(kind):
        return converter.get_structure_hook(kind)
    found: Structure | None = None

    def structure(value: object, _: object) -> object:
        nonlocal found
        if found is None:
            found = converter.get_structure_hook(kind)
        return found(value, kind)

    return structure


def list_factory(kind: object, converter: cattrs.Converter) -> Structure:
    (item,) = get_args(kind) or (object,)
    each = hook_of(converter, item)
    if each is read_anything:
        return _plain_list

    def structure(value: object, _: object) -> list[object]:
        if value.__class__ is not list:
            raise wrong("a list", value)
        items = cast("list[object]", value)
        done: list[object] = []
        try:
            for one in items:
                done.append(each(one, item))  # noqa: PERF401 - the length so far is the index of an item that fails
        except Mismatch as mismatch:
            problem = mismatch.within(f"[{len(done)}]")
        else:
            return done
        raise problem

    return structure


def _plain_list(value: Any, _: object) -> list[object]:
    if value.__class__ is not list:
        raise wrong("a list", value)
    return cast("list[object]", value)


def mapping_factory(kind: object, converter: cattrs.Converter) -> Structure:
    member = (get_args(kind) or (str, object))[1]
    each = hook_of(converter, member)

    def structure(value: object, _: object) -> dict[str, object]:
        if value.__class__ is not dict:
            raise wrong("an object", value)
        members = cast("dict[str, object]", value)
        if each is read_anything:
            return members
        done: dict[str, object] = {}
        for name, one in members.items():
            try:
                done[name] = each(one, member)
                continue
            except Mismatch as mismatch:
                problem = mismatch.within(f".{name}")
            raise problem
        return done

    return structure


def union_factory(kind: object, converter: cattrs.Converter) -> Structure:
    """Read None, or the first type that accepts the value: mappings first (they lose nothing), `str` last."""
    members = [member for member in get_args(kind) if member is not NoneType]
    nullable = len(members) < len(get_args(kind))
    members.sort(key=lambda member: (not is_mapping(member), member is str))
    hooks = [(hook_of(converter, member), member) for member in members]

    def structure(value: object, _: object) -> object:
        if value is None and nullable:
            return None
        problem: Mismatch | None = None
        for hook, member in hooks:
            try:
                return hook(value, member)
            except Mismatch as mismatch:
                if problem is None or len(mismatch.path) > len(problem.path):
                    problem = mismatch
        raise problem or wrong("a value", value)

    return structure


def read_enumeration(value: object, kind: Any) -> object:
    try:
        return kind(value)
    except ValueError:
        pass
    raise Mismatch("$", f"expected a value that {kind.__name__} knows, got {kind_of(value)} that it does not")


def literal_factory(kind: object, converter: cattrs.Converter) -> Structure:
    allowed = get_args(kind)

    def structure(value: object, _: object) -> object:
        if isinstance(value, str | int) and value in allowed:
            return value
        raise Mismatch("$", f"expected one of {allowed}, got another value")

    return structure


def is_attrs(kind: object) -> bool:
    return isinstance(kind, type) and attrs.has(kind)


def inner(hook: Structure, value: object, kind: object, step: str) -> object:
    try:
        return hook(value, kind)
    except Mismatch as mismatch:
        problem = mismatch.within(step)
    raise problem
