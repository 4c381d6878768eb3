"""Reading of each kind of value, directly by its type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from types import NoneType
from typing import Annotated, Any, Literal, Union

import attrs
import pytest

from peaka_async._codec import MILLIS, Mismatch, converter, decode, encode, hooks
from peaka_async.models._status import Status


class State(Status):
    DONE = "DONE"


@attrs.frozen
class Item:
    id: str | None = None
    child: Item | None = None
    flag: bool | None = None


Moment = Annotated[datetime, MILLIS]


@pytest.fixture(autouse=True)
def _built_anew():
    """Hooks are built by the test, not by one before it."""
    converter._converter.cache_clear()
    converter._decoder.cache_clear()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (str, "a", "a"),
        (bool, False, False),
        (bool, True, True),
        (int, 2**63, 2**63),
        (float, 1.5, 1.5),
        (float, 2, 2.0),
        (object, {"a": [1, None]}, {"a": [1, None]}),
        (Any, [1], [1]),
        (list[Any], [1, "a"], [1, "a"]),
        (list, [1, "a"], [1, "a"]),
        (list[str], ["a", "b"], ["a", "b"]),
        (list[str], None, []),
        (list, None, []),
        (list[str], {"items": ["a"]}, ["a"]),
        (list[Item], {"items": None}, []),
        (list[Item], {"id": "1"}, [Item("1")]),
        (list[Item], {"flag": True, "more": 1}, [Item(flag=True)]),
        (dict, {"a": 1}, {"a": 1}),
        (Mapping, {"a": 1}, {"a": 1}),
        (dict[str, Any], {"a": 1}, {"a": 1}),
        (Mapping[str, int], {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (dict[str, list[int]], {"a": [1], "b": []}, {"a": [1], "b": []}),
        (dict[str, Item], {"a": {"id": "1"}, "b": {}}, {"a": Item("1"), "b": Item()}),
        (Item, {"child": {"child": {"id": "1"}}}, Item(child=Item(child=Item("1")))),
        (str | None, None, None),
        (Union[str, None], "a", "a"),  # noqa: UP007 - both forms are read
        (int | str, "5", "5"),
        (str | int, 5, 5),
        (str | dict[str, object], {"a": 1}, {"a": 1}),
        (Item | dict[str, object], {"a": 1}, {"a": 1}),
        (str | Item, {"id": "1"}, Item("1")),
        (State | str, "done", State.DONE),
        (State | str, "new", "new"),
        (Literal["a", 5], 5, 5),
        (Literal["a", 5], "a", "a"),
        (Moment, 1500, datetime(1970, 1, 1, 0, 0, 1, 500000, UTC)),
        (Moment, "2024-01-15T10:20:30Z", datetime(2024, 1, 15, 10, 20, 30, tzinfo=UTC)),
        (datetime, " 2024-01-15T10:20:30Z\n", datetime(2024, 1, 15, 10, 20, 30, tzinfo=UTC)),
        (datetime, "2024-01-15 10:20:30 z", datetime(2024, 1, 15, 10, 20, 30, tzinfo=UTC)),
        (datetime, "2024-01-15t10:20:30.5", datetime(2024, 1, 15, 10, 20, 30, 500000, UTC)),
        (
            datetime,
            "2024-01-15T10:20:30.123456789-0330",
            datetime(2024, 1, 15, 10, 20, 30, 123456, timezone(-timedelta(hours=3, minutes=30))),
        ),
        (NoneType, "whatever", None),
    ],
)
def test_what_is_read(kind, value, expected):
    """The value has the declared type and loses nothing."""
    read = decode(json.dumps(value).encode(), kind)

    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "path", "problem"),
    [
        (str, 5, "$", "expected a string, got a number"),
        (str, None, "$", "expected a string, got null"),
        (bool, 1, "$", "expected a boolean, got a number"),
        (bool, "true", "$", "expected a boolean, got a string"),
        (int, True, "$", "expected a whole number, got a boolean"),
        (int, 1.0, "$", "expected a whole number, got a number"),
        (float, "1", "$", "expected a number, got a string"),
        (float, True, "$", "expected a number, got a boolean"),
        (float, 10**400, "$", "the number is too large"),
        (list, "a", "$", "expected a list, got a string"),
        (list[Any], "a", "$", "expected a list, got a string"),
        (list[Any], {"a": 1}, "$", "expected a list, got an object"),
        (list[Any], {"items": 5}, "$.items", "expected a list, got a number"),
        (list[Item], {"error": "no"}, "$", "expected a list, got an object"),
        (list[Item], {"flag": 1}, "$.flag", "expected a boolean, got a number"),
        (list[str], ["a", 5], "$[1]", "expected a string, got a number"),
        (dict, [1], "$", "expected an object, got a list"),
        (dict[str, int], [1], "$", "expected an object, got a list"),
        (dict[str, int], {"a": 1, "b": "2"}, "$.b", "expected a whole number, got a string"),
        (Mapping[str, list[int]], {"a": [1, 2.5]}, "$.a[1]", "expected a whole number, got a number"),
        (int | str, None, "$", "expected a whole number, got null"),
        (str | list[int], [1, "a"], "$[1]", "expected a whole number, got a string"),
        (list[int] | str, [1, "a"], "$[1]", "expected a whole number, got a string"),
        (Item | list[Item], {"flag": 5}, "$.flag", "expected a boolean, got a number"),
        (list[Item] | Item, {"flag": 5}, "$.flag", "expected a boolean, got a number"),
        (State, "new", "$", "expected a value that State knows, got a string that it does not"),
        (Literal["a", 5], 6, "$", "expected one of ('a', 5), got another value"),
        (Literal["a", 5], 5.0, "$", "expected one of ('a', 5), got another value"),
        (Literal["a", 5], [5], "$", "expected one of ('a', 5), got another value"),
        (datetime, "2024-13-15T10:20:30Z", "$", "expected a timestamp in ISO 8601, got another text"),
        (datetime, "2024-01-15T10:20:30Zx", "$", "expected a timestamp in ISO 8601, got another text"),
        (datetime, 5, "$", "expected a timestamp, got a number"),
        (Moment, 10**15, "$", "the timestamp is out of range"),
        (Moment, 10**18, "$", "the timestamp is out of range"),
        (Moment, 10**400, "$", "the timestamp is out of range"),
        (Moment, True, "$", "expected a timestamp, got a boolean"),
    ],
)
def test_what_is_refused(kind, value, path, problem):
    """The error has the place and the kinds, and no cause that shows the value."""
    with pytest.raises(Mismatch) as raised:
        decode(json.dumps(value).encode(), kind)

    assert (raised.value.path, raised.value.problem) == (path, problem)
    assert (raised.value.args, str(raised.value)) == ((path, problem), f"at {path} {problem}")
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("error", "out_of_range"), [(OSError, True), (OverflowError, True), (ValueError, True), (TypeError, False)]
)
def test_a_timestamp_that_the_system_cannot_represent(monkeypatch, error, out_of_range):
    """Systems raise different errors for it."""

    class Clock:
        @staticmethod
        def fromtimestamp(*_):
            raise error

    monkeypatch.setattr(hooks, "datetime", Clock)
    with pytest.raises(Mismatch if out_of_range else error):
        hooks.read_timestamp_or_millis(1, Moment)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2024, 1, 15, 10, 20, 30, tzinfo=timezone(timedelta(hours=2))), b'"2024-01-15T08:20:30Z"'),
        (datetime(2024, 1, 15, 10, 20, 30), b'"2024-01-15T10:20:30"'),  # noqa: DTZ001 - none is meant
        (date(2024, 1, 15), b'"2024-01-15"'),
        (State.DONE, b'"DONE"'),
        ([Item("1"), None, ()], b'[{"id":"1"},null,[]]'),
        (True, b"true"),
        ("köln", '"köln"'.encode()),
    ],
)
def test_what_is_written(value, text):
    """Times are in UTC if they have a zone."""
    assert encode(value) == text


@pytest.mark.parametrize(
    ("kind", "is_it"),
    [
        (hooks.is_union, {str | None, Union[str, int]}),  # noqa: UP007 - both forms are read
        (hooks.is_list, {list, list[str]}),
        (hooks.is_mapping, {dict, Mapping, dict[str, str], Mapping[str, str]}),
        (hooks.is_annotated_millis, {Moment}),
        (hooks.is_literal, {Literal["millis"]}),
        (hooks.is_attrs, {Item}),
    ],
)
def test_kinds_of_types(kind, is_it):
    """Each type is of one kind."""
    others = [str, object, list, list[str], dict, Mapping, dict[str, str], Mapping[str, str], Moment, Item]
    others += [str | None, Union[str, int], Literal["millis"], Annotated[datetime, "other"], tuple[int], Item()]  # noqa: UP007

    assert [each for each in others if kind(each)] == [each for each in others if each in is_it]
