"""Differences between a schema of the document and a type of the code."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from datetime import datetime

import attrs

from peaka_async._codec.objects import json_name

SCALARS = {"string": str, "integer": int, "number": float, "boolean": bool}


def without_none(hint):
    """The members of a union, without None and without the plain string beside an enum."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in {typing.Union, types.UnionType}:
        return [hint]
    members = [inner for each in typing.get_args(hint) if each is not type(None) for inner in without_none(each)]
    enums = [each for each in members if isinstance(each, type) and issubclass(each, enum.Enum)]
    return [each for each in members if each is not str or not enums]


class Comparison:
    """Collects the differences, by their places."""

    def __init__(self, document):
        self.schemas = document["components"]["schemas"]
        self.found = {}
        self.models = {}

    def report(self, place, expected, got):
        self.found[place] = f"the document has {expected}, the code {got}"

    def compare(self, schema, hint, place):
        """Whether the code's type accepts the values of the schema."""
        if schema is None:
            if hint is not type(None):
                self.report(place, "nothing", hint)
            return
        members = without_none(hint)
        if "$ref" in schema:
            self.compare_model(schema["$ref"].rpartition("/")[2], members, place)
        elif "oneOf" in schema:
            names = {each["$ref"].rpartition("/")[2] for each in schema["oneOf"]}
            if names != {each.__name__ for each in members}:
                self.report(place, sorted(names), members)
            for name in sorted(names):
                self.compare_model(name, [each for each in members if each.__name__ == name], place)
        elif schema.get("type") == "array":
            lists = [each for each in members if typing.get_origin(each) is list]
            if not lists:
                self.report(place, "a list", hint)
            else:
                self.compare(schema["items"], typing.get_args(lists[0])[0], f"{place}[]")
        elif "enum" in schema:
            self.compare_enum(schema["enum"], members, place)
        else:
            self.compare_plain(schema, members, place)

    def compare_plain(self, schema, members, place):
        kind = schema.get("type")
        if kind in SCALARS:
            fits = any(
                each is SCALARS[kind] or (kind == "string" and (each is datetime or _is_enum(each))) for each in members
            )
        else:
            fits = any(each is object or _is_mapping(each) for each in members)
        if not fits:
            self.report(place, kind or "anything", members)

    def compare_enum(self, values, members, place):
        enums = [each for each in members if _is_enum(each)]
        if not enums or {each.value for each in enums[0]} != set(values):
            self.report(place, values, [list(each) for each in enums])

    def compare_model(self, name, members, place):
        """Whether one of the types is the model of that name, with its fields."""
        schema = self.schemas[name]
        if schema.get("type") == "object" and "properties" not in schema:
            self.compare_plain(schema, members, place)
            return
        models = [each for each in members if attrs.has(each) and each.__name__ == name]
        if not models:
            self.report(place, name, members)
        elif name not in self.models:
            self.models[name] = models[0]
            self.compare_fields(name, schema, models[0])

    def compare_fields(self, name, schema, model):
        hints = typing.get_type_hints(model, include_extras=True)
        fields = {json_name(field): hints[field.name] for field in attrs.fields(model)}
        for missing in schema["properties"].keys() - fields.keys():
            self.report(f"{name}.{missing}", "the property", "nothing")
        for added in fields.keys() - schema["properties"].keys():
            self.report(f"{name}.{added}", "nothing", "the field")
        for each in schema["properties"].keys() & fields.keys():
            self.compare(schema["properties"][each], fields[each], f"{name}.{each}")


def _is_enum(kind):
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _is_mapping(kind):
    return kind in {dict, collections.abc.Mapping} or typing.get_origin(kind) in {dict, collections.abc.Mapping}
