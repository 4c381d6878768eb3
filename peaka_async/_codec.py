"""attrs ↔ JSON; the only module with cattrs.

The converter holds the rules, one a line at the end of `_make_converter`. Hooks are built at the first use of a type,
and only for it and what it contains.
"""

from __future__ import annotations

import enum
import functools
import json
import math
import re
import types
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, date, datetime
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from peaka_async._request import camel

if TYPE_CHECKING:
    import cattrs

T = TypeVar("T")
Structure = Callable[[object, Any], Any]

MILLIS = "millis"
"""Marks `Annotated[datetime, MILLIS]`: a timestamp that older answers give as milliseconds since 1970."""

_ISO = re.compile(r"(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?\s*(Z|[+-]\d{2}:?\d{2})?", re.IGNORECASE)
_MAX_DEPTH = 200
_PLAIN = (str, int, NoneType)  # bool is an int


class Mismatch(ValueError):
    """JSON and a type do not fit. It says where and what was expected, never the value: values can be secret.

    Attributes:
        path: such as `$.files[0].bytes`; `$` for the whole.
        problem: what was expected and what kind of value stood there.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"at {self.path} {self.problem}"

    def within(self, step: str) -> Mismatch:
        """The same, seen from one level further out."""
        return Mismatch(f"${step}{self.path[1:]}", self.problem)


def encode(value: object) -> bytes:
    """The value as compact JSON in UTF-8.

    Raises:
        Mismatch: something in it has no JSON form.
    """
    tree = _converter().unstructure(value)
    _check(tree, "$", 0)
    try:
        return _dump()(tree)
    except (ValueError, TypeError, RecursionError):
        pass
    raise Mismatch("$", "a text holds a lone surrogate, which UTF-8 cannot carry")


def decode(data: bytes, returns: type[T]) -> T:
    """What JSON says, as the given type.

    Raises:
        Mismatch: it is not JSON, or not of that type.
    """
    if returns is NoneType:
        return cast("T", None)
    decoder = _decoder(cast("Hashable", returns))
    if not data.strip():
        raise Mismatch("$", "the body is empty")
    return cast("T", decoder(_parse(data), returns))


def _parse(data: bytes) -> object:
    loads = _load()
    try:
        return loads(data)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(data, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problem = f"the body is not JSON: it breaks at character {error.pos}"
    except (ValueError, RecursionError):
        problem = "the body is not JSON"
    raise Mismatch("$", problem)


def _no_constant(name: str) -> object:
    raise ValueError(name)


@functools.cache
def _load() -> Callable[[bytes], object]:
    try:
        import orjson  # noqa: PLC0415 - optional, and loaded at first use only
    except ImportError:
        return functools.partial(json.loads, parse_constant=_no_constant)
    return cast("Callable[[bytes], object]", orjson.loads)


@functools.cache
def _dump() -> Callable[[object], bytes]:
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def slow(tree: object) -> bytes:
        return encoder.encode(tree).encode()

    try:
        import orjson  # noqa: PLC0415 - optional, and loaded at first use only
    except ImportError:
        return slow

    def fast(tree: object) -> bytes:
        try:
            return orjson.dumps(tree)
        except TypeError:
            # It knows no integers of more than 64 bits; the standard library does.
            return slow(tree)

    return fast


def _check(tree: object, path: str, depth: int) -> None:
    """Refuse what JSON libraries would refuse, or silently change."""
    if isinstance(tree, _PLAIN):
        return
    if isinstance(tree, float):
        if not math.isfinite(tree):
            raise Mismatch(path, "NaN and Infinity have no JSON form")
    elif depth > _MAX_DEPTH:
        raise Mismatch("$", "it is nested too deeply, or contains itself")
    elif isinstance(tree, dict):
        for key, member in tree.items():
            if not isinstance(key, str):
                raise Mismatch(path, f"a member's name must be a string, not {_kind(key)}")
            _check(member, f"{path}.{key}", depth + 1)
    elif isinstance(tree, list | tuple):
        for index, item in enumerate(tree):
            _check(item, f"{path}[{index}]", depth + 1)
    else:
        raise Mismatch(path, f"{type(tree).__name__} has no JSON form")


_KINDS: dict[type, str] = {
    NoneType: "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _wrong(expected: str, value: object, path: str = "$") -> Mismatch:
    return Mismatch(path, f"expected {expected}, got {_kind(value)}")


# ── Scalars: strict where leniency lies ──────────────────────────────────────────────────────────────────────────────


def _string(value: Any, _: object) -> str:
    if value.__class__ is not str:
        raise _wrong("a string", value)
    return value


def _boolean(value: Any, _: object) -> bool:
    if value.__class__ is not bool:
        raise _wrong("a boolean", value)
    return value


def _integer(value: Any, _: object) -> int:
    if value.__class__ is not int:
        raise _wrong("a whole number", value)
    return value


def _float(value: Any, _: object) -> float:
    if value.__class__ is float:
        return value
    if value.__class__ is not int:
        raise _wrong("a number", value)
    try:
        return float(value)
    except OverflowError:
        pass
    raise Mismatch("$", "the number is too large")


def _none(value: Any, _: object) -> None:
    return None


def _anything(value: object, _: object) -> object:
    return value


def _timestamp(value: Any, _: object) -> datetime:
    if value.__class__ is not str:
        raise _wrong("a timestamp", value)
    found = _ISO.fullmatch(value.strip())
    if found is not None:
        seconds, fraction, zone = found.groups()
        text = f"{seconds}.{(fraction or '0')[:6]:0<6}{'+00:00' if zone in {None, 'Z', 'z'} else zone}"
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise Mismatch("$", "expected a timestamp in ISO 8601, got another text")


def _timestamp_or_millis(value: Any, kind: object) -> datetime:
    if value.__class__ is not int:
        return _timestamp(value, kind)
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        pass
    raise Mismatch("$", "the timestamp is out of range")


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


# ── Compounds: hooks made for a type ─────────────────────────────────────────────────────────────────────────────────


def _is_union(kind: object) -> bool:
    return get_origin(kind) in {Union, types.UnionType}


def _is_list(kind: object) -> bool:
    return kind is list or get_origin(kind) is list


def _is_mapping(kind: object) -> bool:
    return kind in {dict, Mapping} or get_origin(kind) in {dict, Mapping}


def _is_annotated_millis(kind: object) -> bool:
    return get_origin(kind) is Annotated and MILLIS in get_args(kind)


def _is_literal(kind: object) -> bool:
    return get_origin(kind) is Literal


def _hook_of(converter: cattrs.Converter, kind: Any) -> Structure:
    """The hook of a type; that of an attrs class is looked up at its first use, since a class may contain itself."""
    if not _is_attrs(kind):
        return converter.get_structure_hook(kind)
    found: Structure | None = None

    def structure(value: object, _: object) -> object:
        nonlocal found
        if found is None:
            found = converter.get_structure_hook(kind)
        return found(value, kind)

    return structure


def _list_factory(kind: object, converter: cattrs.Converter) -> Structure:
    (item,) = get_args(kind) or (object,)
    each = _hook_of(converter, item)
    if each is _anything:
        return _plain_list

    def structure(value: object, _: object) -> list[object]:
        if value.__class__ is not list:
            raise _wrong("a list", value)
        items = cast("list[object]", value)
        done: list[object] = []
        try:
            for one in items:
                done.append(each(one, item))  # noqa: PERF401 - the count so far names the item that fails
        except Mismatch as mismatch:
            problem = mismatch.within(f"[{len(done)}]")
        else:
            return done
        raise problem

    return structure


def _plain_list(value: Any, _: object) -> list[object]:
    if value.__class__ is not list:
        raise _wrong("a list", value)
    return cast("list[object]", value)


def _mapping_factory(kind: object, converter: cattrs.Converter) -> Structure:
    member = (get_args(kind) or (str, object))[1]
    each = _hook_of(converter, member)

    def structure(value: object, _: object) -> dict[str, object]:
        if value.__class__ is not dict:
            raise _wrong("an object", value)
        members = cast("dict[str, object]", value)
        if each is _anything:
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


def _union_factory(kind: object, converter: cattrs.Converter) -> Structure:
    """None, and the first of the others that takes the value: mappings first, since they lose nothing, `str` last."""
    members = [member for member in get_args(kind) if member is not NoneType]
    nullable = len(members) < len(get_args(kind))
    members.sort(key=lambda member: (not _is_mapping(member), member is str))
    hooks = [(_hook_of(converter, member), member) for member in members]

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
        raise problem or _wrong("a value", value)

    return structure


def _enumeration(value: object, kind: Any) -> object:
    try:
        return kind(value)
    except ValueError:
        pass
    raise Mismatch("$", f"expected a value that {kind.__name__} knows, got {_kind(value)} that it does not")


def _literal_factory(kind: object, converter: cattrs.Converter) -> Structure:
    allowed = get_args(kind)

    def structure(value: object, _: object) -> object:
        if isinstance(value, str | int) and value in allowed:
            return value
        raise Mismatch("$", f"expected one of {allowed}, got another value")

    return structure


_CHECKED_INLINE: dict[object, str] = {str: "a string", bool: "a boolean", int: "a whole number"}


def _object_factory(kind: type, converter: cattrs.Converter) -> Structure:
    """A function written for one class: no call for a field that holds a string, a boolean or a whole number.

    For `class A: id: str | None = None; tags: list[str] | None = None` it is::

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
    names: dict[str, object] = {"cls": kind, "wrong": _wrong, "Mismatch": Mismatch, "inner": _inner}
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
    name, variable = _json_name(field), f"v{index}"
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
    names[f"h{index}"] = _hook_of(converter, kind)
    names[f"t{index}"] = kind
    return [opening, f"  {variable} = inner(h{index}, {variable}, t{index}, {'.' + name!r})"]


def _inner(hook: Structure, value: object, kind: object, step: str) -> object:
    try:
        return hook(value, kind)
    except Mismatch as mismatch:
        problem = mismatch.within(step)
    raise problem


def _without_none(hint: object) -> object:
    if not _is_union(hint):
        return hint
    members = tuple(member for member in get_args(hint) if member is not NoneType)
    if len(members) == len(get_args(hint)):
        return hint
    return members[0] if len(members) == 1 else Union[members]  # noqa: UP007 - made of a tuple at run time


def _json_name(field: attrs.Attribute[Any]) -> str:
    return cast("str", field.metadata.get("json") or camel(field.name))


def _unstructure_factory(kind: type, converter: cattrs.Converter) -> Callable[[object], dict[str, object]]:
    from cattrs.gen import make_dict_unstructure_fn, override  # noqa: PLC0415 - see `_converter`

    attrs.resolve_types(kind, include_extras=True)
    names = {field.name: override(rename=_json_name(field)) for field in attrs.fields(kind)}
    whole = cast("Callable[[object], dict[str, object]]", make_dict_unstructure_fn(kind, converter, **names))  # type: ignore[arg-type]

    def unstructure(value: object) -> dict[str, object]:
        return {name: member for name, member in whole(value).items() if member is not None}

    return unstructure


def _is_attrs(kind: object) -> bool:
    return isinstance(kind, type) and attrs.has(kind)


@functools.cache
def _converter() -> cattrs.Converter:
    """The converter, one rule a line."""
    import cattrs  # noqa: PLC0415 - who imports the package and makes no call does not load it

    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(datetime, _timestamp)
    converter.register_structure_hook_func(lambda kind: kind is NoneType, _none)
    converter.register_structure_hook_func(lambda kind: kind in {object, Any}, _anything)
    converter.register_structure_hook_factory(_is_attrs, _object_factory)
    converter.register_structure_hook_factory(_is_list, _list_factory)
    converter.register_structure_hook_factory(_is_mapping, _mapping_factory)
    converter.register_structure_hook(enum.StrEnum, _enumeration)
    converter.register_structure_hook_factory(_is_literal, _literal_factory)
    converter.register_structure_hook_factory(_is_union, _union_factory)
    converter.register_structure_hook_func(_is_annotated_millis, _timestamp_or_millis)
    converter.register_unstructure_hook_factory(_is_attrs, _unstructure_factory)
    converter.register_unstructure_hook(datetime, _instant)
    converter.register_unstructure_hook(date, date.isoformat)
    return converter


@functools.cache
def _decoder(returns: Any) -> Structure:
    """The hook of an answer; the live service gives lists in three forms."""
    hook = cast("Structure", _converter().get_structure_hook(returns))
    if not _is_list(returns):
        return hook

    def structure(value: object, kind: object) -> object:
        if value is None:
            return []
        if value.__class__ is dict:
            items = cast("dict[str, object]", value).get("items")
            if items.__class__ is not list:
                return _single(hook, value, kind)
            return _inner(hook, items, kind, ".items")
        return hook(value, kind)

    return structure


def _single(hook: Structure, value: object, kind: object) -> object:
    try:
        return hook([value], kind)
    except Mismatch as mismatch:
        problem = Mismatch("$" + mismatch.path.removeprefix("$[0]"), mismatch.problem)
    raise problem
