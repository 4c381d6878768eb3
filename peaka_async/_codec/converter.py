"""The rules for conversion between attrs classes and JSON, one per line in `_converter`.

The hooks of a type are built when it is first used, for it and the types that it contains.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Hashable, Mapping
from datetime import date, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import attrs

from peaka_async._codec import hooks, objects
from peaka_async._codec.hooks import Structure
from peaka_async._codec.json import check, dumper, parse
from peaka_async._codec.mismatch import Mismatch, wrong

if TYPE_CHECKING:
    import cattrs

T = TypeVar("T")


def encode(value: object) -> bytes:
    """Encode a value as compact JSON in UTF-8.

    Raises:
        Mismatch: a part of the value has no JSON form.
    """
    tree = _tree_of(value)
    check(tree, "$", 0)
    try:
        return dumper()(tree)
    except (ValueError, TypeError, RecursionError):
        pass
    raise Mismatch("$", "a text holds a lone surrogate, which UTF-8 cannot encode")


def _tree_of(value: object) -> object:
    try:
        return _converter().unstructure(value)
    except RecursionError:
        problem = "the value is nested too deeply, or contains itself"
    except (TypeError, AttributeError):
        problem = "a value does not have the type of its field, or a member's name is not a string"
    raise Mismatch("$", problem)


def to_data(value: object, *, confidential: bool) -> dict[str, Any]:
    """Convert an attrs object to JSON data, with or without its confidential fields."""
    return cast("dict[str, Any]", _converter(confidential=confidential).unstructure(value))


def from_data(data: Mapping[str, Any], kind: type[T]) -> T:
    """Make an attrs object from JSON data.

    Raises:
        Mismatch: the data does not fit the type.
    """
    return cast("T", _converter().get_structure_hook(kind)(dict(data), kind))


def decode(data: bytes, returns: type[T]) -> T:
    """Decode JSON to a value of the given type.

    Raises:
        Mismatch: the data is not JSON, or does not fit the type.
    """
    if returns is NoneType:
        return cast("T", None)
    decoder = _decoder(cast("Hashable", returns))
    if not data.strip():
        raise Mismatch("$", "the body is empty")
    return cast("T", decoder(parse(data), returns))


@functools.cache
def _converter(*, confidential: bool = True) -> cattrs.Converter:
    """Make the converter, with one rule per line."""
    import cattrs  # noqa: PLC0415 - loaded by the first call, not by the import of the package

    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(str, hooks.read_string)
    converter.register_structure_hook(bool, hooks.read_boolean)
    converter.register_structure_hook(int, hooks.read_integer)
    converter.register_structure_hook(float, hooks.read_float)
    converter.register_structure_hook(datetime, hooks.read_timestamp)
    converter.register_structure_hook_func(lambda kind: kind in {object, Any}, hooks.read_anything)
    converter.register_structure_hook_factory(hooks.is_attrs, objects.object_factory)
    converter.register_structure_hook_factory(hooks.is_list, hooks.list_factory)
    converter.register_structure_hook_factory(hooks.is_mapping, hooks.mapping_factory)
    converter.register_structure_hook(enum.StrEnum, hooks.read_enumeration)
    converter.register_structure_hook_factory(hooks.is_literal, hooks.literal_factory)
    converter.register_structure_hook_factory(hooks.is_union, hooks.union_factory)
    converter.register_structure_hook_func(hooks.is_annotated_millis, hooks.read_timestamp_or_millis)
    converter.register_unstructure_hook_factory(hooks.is_attrs, objects.writer_factory(confidential=confidential))
    converter.register_unstructure_hook(datetime, hooks.write_instant)
    converter.register_unstructure_hook(date, date.isoformat)
    return converter


@functools.cache
def _decoder(returns: Any) -> Structure:
    """The hook for the type of an answer; the live service sends lists in three forms."""
    hook = cast("Structure", _converter().get_structure_hook(returns))
    if not hooks.is_list(returns):
        return hook

    (item,) = get_args(returns) or (object,)
    members = {objects.json_name(field) for field in attrs.fields(item)} if hooks.is_attrs(item) else set()

    def structure(value: object, kind: object) -> object:
        if value is None:
            return []
        if value.__class__ is not dict:
            return hook(value, kind)
        answer = cast("dict[str, object]", value)
        if "items" in answer:
            return hooks.inner(hook, [] if answer["items"] is None else answer["items"], kind, ".items")
        if members.isdisjoint(answer):
            # Perhaps an error. Read as an item, it would be an item without values.
            raise wrong("a list", value)
        return _single(hook, value, kind)

    return structure


def _single(hook: Structure, value: object, kind: object) -> object:
    try:
        return hook([value], kind)
    except Mismatch as mismatch:
        problem = Mismatch("$" + mismatch.path.removeprefix("$[0]"), mismatch.problem)
    raise problem
