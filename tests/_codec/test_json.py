"""JSON itself: what is no JSON, how deep it may be, and what has no JSON form."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import attrs
import pytest

from peaka_async._codec import Mismatch, converter, decode, encode
from peaka_async._codec import json as module


@pytest.fixture(params=["orjson", "json"], autouse=True)
def library(request, monkeypatch):
    """Every rule holds with either JSON library."""
    module._load.cache_clear()
    module.dumper.cache_clear()
    if request.param == "json":
        monkeypatch.setitem(sys.modules, "orjson", None)
    yield request.param
    module._load.cache_clear()
    module.dumper.cache_clear()


@attrs.frozen
class Moment:
    at: datetime


def nested(depth):
    value = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_how_deep_a_value_may_be():
    """It may have 201 levels."""
    assert encode(nested(201)).count(b"[") == 100
    with pytest.raises(Mismatch) as raised:
        encode(nested(202))
    assert (raised.value.path, raised.value.problem) == ("$", "the value is nested too deeply, or contains itself")


def test_what_contains_itself():
    """It would never end."""
    value = {}
    value["a"] = [value]
    with pytest.raises(Mismatch, match="contains itself") as raised:
        encode(value)
    assert (raised.value.path, raised.value.__context__) == ("$", None)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (float("nan"), "$", "NaN and Infinity have no JSON form"),
        ({"a": [1, float("-inf")]}, "$.a[1]", "NaN and Infinity have no JSON form"),
        ({"a": {None: 1}}, "$.a", "a member's name must be a string, not null"),
        ({"a": {2.5: 1}}, "$.a", "a member's name must be a string, not a number"),
        ({(1, 2): 1}, "$", "a value does not have the type of its field, or a member's name is not a string"),
        (Moment("now"), "$", "a value does not have the type of its field, or a member's name is not a string"),
        (({"a": 1j},), "$[0].a", "complex has no JSON form"),
    ],
)
def test_what_has_no_json_form(value, path, problem):
    """The error has the place, and not the value."""
    with pytest.raises(Mismatch) as raised:
        encode(value)
    assert (raised.value.path, raised.value.problem) == (path, problem)


@pytest.mark.parametrize("error", [ValueError, TypeError, RecursionError])
def test_what_the_library_refuses(monkeypatch, error):
    """Whatever it raises, the error is a mismatch without the value."""

    def refuse(_):
        raise error("s3cret")

    monkeypatch.setattr(converter, "dumper", lambda: refuse)
    with pytest.raises(Mismatch, match="lone surrogate") as raised:
        encode("a")
    assert (raised.value.path, raised.value.__context__) == ("$", None)


@pytest.mark.parametrize("value", [2**63, -(2**70) - 1, {"a": [2**64 + 1]}])
def test_large_numbers_are_written_exactly(value):
    """Either library writes them, also beyond 64 bits."""
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "the body is not JSON: invalid at character 1"),
        (b'{"a": 1,}', "the body is not JSON: invalid at character "),
        (b"[Infinity]", "the body is not JSON"),
        (b'"\xff"', "the body is not JSON"),
        (b" ", "the body is empty"),
    ],
)
def test_what_is_no_json(data, problem):
    """It has no place of its own."""
    with pytest.raises(Mismatch) as raised:
        decode(data, object)
    assert raised.value.path == "$"
    assert raised.value.problem.startswith(problem)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


@attrs.frozen
class Text:
    text: str | None = None


def test_texts_are_written_as_they_are():
    """In UTF-8, without blanks, without escapes that are not needed."""
    assert encode([Text("köln €"), {"a": 1}]) == '[{"text":"köln €"},{"a":1}]'.encode()
