"""JSON and attrs classes: wrong types are errors, and the variations of the live service are accepted."""

from __future__ import annotations

import enum
import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async import (
    Connection,
    ConnectionConfiguration,
    ConnectionConfigurationItem,
    ConnectionRequest,
    FieldType,
    models,
)
from peaka_async import _codec as codec
from peaka_async._codec import json as codec_json


class Status(enum.StrEnum):
    NOT_ACTIVE = "NOT_ACTIVE"
    DONE = "DONE"

    @classmethod
    def _missing_(cls, value):
        name = str(value).upper().replace("-", "_")
        return cls.__members__.get(name)


@attrs.frozen
class File:
    bytes: int | None = None
    name: str | None = None


@attrs.frozen
class Node:
    id: str
    files: list[File] | None = None
    children: list[Node] | None = None
    status: Status | str | None = None
    at: datetime | None = None
    old: Annotated[datetime, codec.MILLIS] | None = None
    ratio: float | None = None
    flag: bool | None = None
    extra: Mapping[str, object] | None = None
    counts: dict[str, int] | None = None
    kind: Literal["a", "b"] | None = None
    use_with_ai: bool | None = attrs.field(default=None, metadata={"json": "useWithAI"})
    limit: int = 10


@pytest.fixture(params=["orjson", "json"], autouse=True)
def library(request, monkeypatch):
    """Run each test with both JSON libraries."""
    codec_json._load.cache_clear()
    codec_json.dumper.cache_clear()
    if request.param == "json":
        monkeypatch.setitem(sys.modules, "orjson", None)
    yield request.param
    codec_json._load.cache_clear()
    codec_json.dumper.cache_clear()


def decode(value, kind=Node):
    return codec.decode(json.dumps(value).encode(), kind)


def mismatch(value, kind=Node):
    with pytest.raises(codec.Mismatch) as raised:
        decode(value, kind)
    return raised.value.path, raised.value.problem


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "1", "unknown": {"deep": [1]}}, Node("1")),
        ({"id": "1", "files": None, "limit": None}, Node("1")),
        ({"id": "1", "status": "not-active"}, Node("1", status=Status.NOT_ACTIVE)),
        ({"id": "1", "status": "BRAND_NEW"}, Node("1", status="BRAND_NEW")),
        ({"id": "1", "useWithAI": True}, Node("1", use_with_ai=True)),
        ({"id": "1", "ratio": 1}, Node("1", ratio=1.0)),
        ({"id": "1", "extra": {"a_b": None, "c": [1]}}, Node("1", extra={"a_b": None, "c": [1]})),
        ({"id": "1", "counts": {"x": 1}}, Node("1", counts={"x": 1})),
        ({"id": "1", "kind": "b", "limit": 3}, Node("1", kind="b", limit=3)),
        ({"id": "1", "children": [{"id": "2"}]}, Node("1", children=[Node("2")])),
    ],
)
def test_what_varies_is_taken(value, expected):
    """Unknown fields, nulls, unknown enum values and both spellings are decoded."""
    assert decode(value) == expected


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ([], "$", "expected an object, got a list"),
        ([{"id": "1"}], "$", "expected an object, got a list"),
        ("x", "$", "expected an object, got a string"),
        (None, "$", "expected an object, got null"),
        ({}, "$.id", "is missing"),
        ({"id": 5}, "$.id", "expected a string, got a number"),
        ({"id": "1", "flag": "false"}, "$.flag", "expected a boolean, got a string"),
        ({"id": "1", "flag": 1}, "$.flag", "expected a boolean, got a number"),
        ({"id": "1", "limit": True}, "$.limit", "expected a whole number, got a boolean"),
        ({"id": "1", "limit": 1.5}, "$.limit", "expected a whole number, got a number"),
        ({"id": "1", "limit": "5"}, "$.limit", "expected a whole number, got a string"),
        ({"id": "1", "ratio": "1.5"}, "$.ratio", "expected a number, got a string"),
        ({"id": "1", "files": {}}, "$.files", "expected a list, got an object"),
        (
            {"id": "1", "files": [{"bytes": 1}, {"bytes": "2"}]},
            "$.files[1].bytes",
            "expected a whole number, got a string",
        ),
        ({"id": "1", "children": [{"id": "2", "children": [{}]}]}, "$.children[0].children[0].id", "is missing"),
        ({"id": "1", "status": 5}, "$.status", "expected a value that Status knows, got a number that it does not"),
        ({"id": "1", "extra": []}, "$.extra", "expected an object, got a list"),
        ({"id": "1", "counts": {"x": "1"}}, "$.counts.x", "expected a whole number, got a string"),
        ({"id": "1", "at": "yesterday"}, "$.at", "expected a timestamp in ISO 8601, got another text"),
        ({"id": "1", "at": 5}, "$.at", "expected a timestamp, got a number"),
        ({"id": "1", "kind": "c"}, "$.kind", "expected one of ('a', 'b'), got another value"),
    ],
)
def test_what_lies_is_refused(value, path, problem):
    """The error for a wrong type names the place, and does not show the value."""
    assert mismatch(value) == (path, problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-15T10:20:30Z", datetime(2024, 1, 15, 10, 20, 30, tzinfo=UTC)),
        ("2024-01-15T10:20:30.1Z", datetime(2024, 1, 15, 10, 20, 30, 100_000, tzinfo=UTC)),
        ("2024-01-15T10:20:30.123Z", datetime(2024, 1, 15, 10, 20, 30, 123_000, tzinfo=UTC)),
        ("2024-01-15T10:20:30.123456Z", datetime(2024, 1, 15, 10, 20, 30, 123_456, tzinfo=UTC)),
        ("2024-01-15T10:20:30.123456789Z", datetime(2024, 1, 15, 10, 20, 30, 123_456, tzinfo=UTC)),
        ("2024-01-15T10:20:30", datetime(2024, 1, 15, 10, 20, 30, tzinfo=UTC)),
        ("2024-01-15T10:20:30+02:00", datetime(2024, 1, 15, 10, 20, 30, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_timestamps_have_up_to_nine_digits(text, expected):
    """Java's instants are read with any precision; without a time zone they are in UTC."""
    assert decode({"id": "1", "at": text}).at == expected


def test_marked_timestamps_may_be_milliseconds():
    """If older answers gave milliseconds since 1970, both forms are read."""
    at = datetime(2024, 1, 15, tzinfo=UTC)

    assert decode({"id": "1", "old": int(at.timestamp() * 1000)}).old == at
    assert decode({"id": "1", "old": "2024-01-15T00:00:00Z"}).old == at
    assert mismatch({"id": "1", "old": 10**30})[0] == "$.old"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"id": "1"}], [Connection("1")]),
        ({"id": "1"}, [Connection("1")]),
        ({"items": [{"id": "1"}]}, [Connection("1")]),
        ({"items": []}, []),
        ({"items": None}, []),
        (None, []),
    ],
)
def test_a_list_comes_in_three_forms(value, expected):
    """A list can be an array, a single object, or an object with items."""
    assert decode(value, list[Connection]) == expected


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"status": 500, "message": "no"}, "$"),
        ({}, "$"),
        ({"items": {"id": "1"}}, "$.items"),
        ({"items": "none"}, "$.items"),
    ],
)
@pytest.mark.parametrize("kind", [Connection, ConnectionConfiguration, dict[str, object]])
def test_an_object_that_should_be_a_list_never_passes_silently(value, path, kind):
    """An error, or something else that is no item, is not read as one item without any value."""
    assert mismatch(value, list[kind])[0] == path


@pytest.mark.parametrize("text", ["yesterday", "2024-13-45T00:00:00Z", "", "never"])
def test_a_timestamp_that_is_none_stays_text(text):
    """The answer is not lost for a date; what is a timestamp is one."""
    kind = models.ExportJobResponse

    assert decode({"id": "e", "createdAt": text}, kind) == kind(id="e", created_at=text)
    assert decode({"createdAt": "2024-01-15T00:00:00Z"}, kind).created_at == datetime(2024, 1, 15, tzinfo=UTC)
    assert mismatch({"createdAt": 5}, kind)[0] == "$.createdAt"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (models.CacheExecutionInfo, {"error": "disk full"}),
        (models.CacheExecutionInfo, {"error": {"message": "disk full"}}),
        (models.CacheExecutionProgress, {"lastOffset": 42}),
        (models.CacheExecutionProgress, {"lastOffset": 4.5}),
        (models.CacheExecutionProgress, {"lastOffset": "42"}),
        (models.CacheCreateStatus, {"success": False, "error": {"code": 7}}),
        (models.CacheCreateStatus, {"success": False, "error": "no"}),
    ],
)
def test_an_odd_leaf_does_not_lose_the_answer(kind, value):
    """Fields that the service sends in several types keep their values."""
    assert decode(value, kind).to_dict() == value


@pytest.mark.parametrize(
    ("value", "path"),
    [([{"id": 5}], "$[0].id"), ({"id": 5}, "$.id"), ({"items": [{"id": 5}]}, "$.items[0].id"), (5, "$")],
)
def test_places_in_lists_are_those_of_the_answer(value, path):
    """The path of an error is that of the form that was sent."""
    assert mismatch(value, list[Connection])[0] == path


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the body is empty"),
        (b"  \n", "the body is empty"),
        (b"{", "the body is not JSON: invalid at character 1"),
        (b"<html>", "the body is not JSON: invalid at character 0"),
        (b'{"id": NaN}', "the body is not JSON"),
        (b'{"id": "\xff"}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
    ],
)
def test_what_is_not_json_is_told(data, problem):
    """The error for invalid JSON names the place; NaN, invalid UTF-8 and endless nesting are not JSON."""
    with pytest.raises(codec.Mismatch) as raised:
        codec.decode(data, Node)
    assert raised.value.problem.startswith(problem)


def test_encoding_leaves_unset_fields_out():
    """Names are in camelCase or irregular, enums are their values, timestamps are in UTC, and None is left out."""
    at = datetime(2024, 1, 15, 12, tzinfo=timezone(timedelta(hours=2)))
    node = Node("1", [File(5)], [Node("2")], Status.DONE, at, use_with_ai=False)

    assert json.loads(codec.encode(node)) == {
        "id": "1",
        "files": [{"bytes": 5}],
        "children": [{"id": "2", "limit": 10}],
        "status": "DONE",
        "at": "2024-01-15T10:00:00Z",
        "useWithAI": False,
        "limit": 10,
    }


def test_a_mapping_goes_out_as_it_is():
    """The caller's own JSON keeps its names and nulls; models inside it are encoded."""
    assert codec.encode({"a_b": None, "c": [Connection("1")], "big": 2**70}) == (
        b'{"a_b":null,"c":[{"id":"1"}],"big":1180591620717411303424}'
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": float("nan")}, "$.a"),
        ({"a": [1, float("inf")]}, "$.a[1]"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": object()}, "$.a"),
        ({"a": "\ud800"}, "$"),
        (ConnectionRequest("n", "t", {"port": float("nan")}), "$.credential.port"),
    ],
)
def test_what_has_no_json_form_is_refused(value, path):
    """No JSON library can change a value silently."""
    with pytest.raises(codec.Mismatch) as raised:
        codec.encode(value)
    assert raised.value.path == path


def test_a_mismatch_holds_no_value():
    """The value is not in the error's text, pickle or context."""
    with pytest.raises(codec.Mismatch) as raised:
        decode({"id": ["s3cret"], "status": "s3cret"})
    error = raised.value
    chain = [error, error.__cause__, error.__context__]

    assert "s3cret" not in repr([(link, getattr(link, "args", ())) for link in chain]) + str(pickle.dumps(error))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = [*("id", "files", "children", "status", "at", "old", "ratio", "flag", "extra", "counts", "kind", "limit")]


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@given(value=st.dictionaries(st.sampled_from(NAMES), json_values) | json_values)
def test_any_json_decodes_or_is_a_mismatch(value):
    """Any input raises only the package's own errors."""
    for kind in (Node, Connection, list[Node], ConnectionConfiguration):
        try:
            codec.decode(json.dumps(value).encode(), kind)
        except codec.Mismatch:
            continue


text = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
items = st.builds(
    ConnectionConfigurationItem,
    text,
    st.none() | st.sampled_from(FieldType) | st.just("brand-new"),
    st.none() | st.booleans(),
    text,
)
MODELS = {
    Connection: st.builds(Connection, st.text(st.characters(exclude_categories=["Cs"])), text, text, text),
    ConnectionConfigurationItem: items,
    ConnectionConfiguration: st.builds(
        ConnectionConfiguration,
        text,
        text,
        text,
        text,
        text,
        st.none() | st.booleans(),
        text,
        st.none() | st.lists(items),
    ),
    ConnectionRequest: st.builds(
        ConnectionRequest,
        text,
        text,
        st.none() | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), text),
        text,
    ),
}


@pytest.mark.parametrize("model", MODELS)
def test_encode_then_decode_is_the_identity(model):
    """An encoded model can be decoded again, for every model."""

    @given(MODELS[model])
    def check(value):
        assert codec.decode(codec.encode(value), model) == value

    check()


def test_hooks_are_built_at_first_use():
    """Importing the package builds no converter; a call builds only the hooks of its own types."""
    code = (
        "import peaka_async\n"
        "from peaka_async._codec import converter, objects\n"
        "built = []\n"
        "make = objects.object_factory\n"
        "objects.object_factory = lambda kind, converter: (built.append(kind.__name__), make(kind, converter))[1]\n"
        "before = converter._converter.cache_info().currsize\n"
        'converter.decode(b\'{"id":"c"}\', peaka_async.Connection)\n'
        "print(before, built)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.strip() == "0 ['Connection']"
