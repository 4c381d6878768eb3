"""Properties of every model: JSON can be read back, and only differences that the service has are tolerated."""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peaka_async import ConfigurationError, models
from peaka_async._codec import Mismatch, decode, encode
from peaka_async._codec.objects import json_name

MODELS = {name: kind for name in models.__all__ if attrs.has(kind := getattr(models, name))}

# These are not read from JSON, but made from a redirect, a text, an event or rows.
NOT_DECODED = {"ChatEvent", "ConnectionStrings", "Record"}

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
MAPPINGS = st.dictionaries(TEXT, SCALARS, max_size=3)
SIMPLE = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    object: SCALARS,
    datetime: st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
}


MODEL_OR_NONE = 2


def members_of(hint):
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return typing.get_args(hint)
    return (hint,)


def values(hint):
    """Generate values of a type; for a union with an enum, unknown values too."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in SIMPLE or origin is typing.Annotated:
        return SIMPLE[arguments[0] if arguments else hint]
    if hint is dict or origin in {dict, Mapping}:
        return MAPPINGS
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    return union(members_of(hint)) if arguments else named(hint)


def named(kind):
    return st.deferred(lambda: instances(kind)) if attrs.has(kind) else st.sampled_from(kind)


def union(members):
    has_enum = any(isinstance(each, type) and issubclass(each, enum.Enum) for each in members)
    # A mapping may look like any model, and a value may fit several models.
    members = [each for each in members if not attrs.has(each)] if len(members) > MODEL_OR_NONE else members
    known = {type(None): st.none(), **({str: TEXT.map(lambda text: f"?{text}")} if has_enum else {})}
    return st.one_of(*(known[each] if each in known else values(each) for each in members))


def instances(kind):
    hints = typing.get_type_hints(kind, include_extras=True)
    arguments = {field.alias: values(hints[field.name]) for field in attrs.fields(kind)}

    def make(drawn):
        try:
            return kind(**drawn)
        except ConfigurationError:
            return None

    return st.fixed_dictionaries(arguments).map(make).filter(lambda made: made is not None)


def decoded(kind, value):
    return decode(json.dumps(value).encode(), kind)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - NOT_DECODED))
def test_what_was_sent_is_read(name):
    """Decoding an encoded model gives an equal model."""

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(instances(MODELS[name]))
    def check(value):
        assert decode(encode(value), MODELS[name]) == value

    check()


def required(kind):
    """The required members, each with a value."""
    hints = typing.get_type_hints(kind)
    needed = [field for field in attrs.fields(kind) if field.default is attrs.NOTHING]
    return {json_name(field): [] if typing.get_origin(hints[field.name]) is list else "x" for field in needed}


@pytest.mark.parametrize("name", sorted(name for name, kind in MODELS.items() if not required(kind)))
def test_nulls_and_unknown_fields_are_no_error(name):
    """The service may add fields, and may send null for a field."""
    kind = MODELS[name]
    nulls = {json_name(field): None for field in attrs.fields(kind)}

    assert decoded(kind, {**nulls, "addedLater": {"a": [1]}}) == kind()


def fields_with_enums():
    for name in sorted(MODELS.keys() - NOT_DECODED):
        hints = typing.get_type_hints(MODELS[name])
        for field in attrs.fields(MODELS[name]):
            if any(isinstance(each, type) and issubclass(each, enum.Enum) for each in members_of(hints[field.name])):
                yield name, field.name


@pytest.mark.parametrize(("name", "field"), [*fields_with_enums()])
def test_unknown_enum_values_are_kept(name, field):
    """An unknown value stays as the service sent it."""
    kind = MODELS[name]

    assert getattr(decoded(kind, {json_name(getattr(attrs.fields(kind), field)): "Brand-new"}), field) == "Brand-new"


WRONG = {str: 5, int: "5", bool: "false", float: "1.5", datetime: "yesterday", list: {"a": 1}, dict: [1]}


def fields_with_a_type():
    for name in sorted(MODELS.keys() - NOT_DECODED):
        hints = typing.get_type_hints(MODELS[name])
        for field in attrs.fields(MODELS[name]):
            members = [each for each in members_of(hints[field.name]) if each is not type(None)]
            kinds = {typing.get_origin(each) or each for each in members}
            if object in kinds or {str, int} <= kinds:
                continue
            (kind, *_) = [each for each in WRONG if each in kinds] or [dict if attrs.has(members[0]) else str]
            yield name, field.name, WRONG[kind]


@pytest.mark.parametrize(("name", "field", "wrong"), [*fields_with_a_type()])
def test_wrong_types_say_where(name, field, wrong):
    """A value of the wrong type raises an error that names the place, but does not show the value."""
    kind = MODELS[name]
    place = json_name(getattr(attrs.fields(kind), field))

    with pytest.raises(Mismatch) as raised:
        decoded(kind, {**required(kind), place: wrong})
    assert raised.value.path.startswith(f"$.{place}")


@pytest.mark.parametrize("name", sorted(MODELS.keys() - NOT_DECODED))
@pytest.mark.parametrize("value", [[1], "text", 5, True])
def test_only_an_object_is_a_model(name, value):
    """Other values are not read as an empty model."""
    with pytest.raises(Mismatch) as raised:
        decoded(MODELS[name], value)
    assert raised.value.path == "$"
