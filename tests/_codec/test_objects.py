"""Reading and writing of attrs classes: defaults, names, and what is confidential."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import attrs
import pytest

from peaka_async._codec import MILLIS, Mismatch, converter, decode, encode
from peaka_async._codec.converter import from_data, to_data
from peaka_async._codec.objects import BULKY, object_factory


@attrs.frozen
class Inner:
    id: str
    note: str | None = None


@attrs.define
class Thing:
    id: str
    maybe: str | None
    count: int = 5
    names: list[str] = attrs.Factory(list)
    flag: bool = True
    when: datetime | None = None
    inner: Inner | None = None
    anything: object = None
    some: Any = "some"
    either_way: int | str = 0
    old: Annotated[datetime, MILLIS] | None = None
    computed: str = attrs.field(init=False, default="computed")
    after: int | None = None
    big_name: str | None = attrs.field(default=None, kw_only=True, metadata={"json": "bigNAME"})
    either: int | list[str] | None = attrs.field(default=None, kw_only=True)
    key: str | None = attrs.field(default=None, kw_only=True, repr=False)
    text: str | None = attrs.field(default=None, kw_only=True, repr=False, metadata={BULKY: True})


@pytest.fixture(autouse=True)
def _built_anew():
    """Hooks are built by the test, not by one before it."""
    converter._converter.cache_clear()
    converter._decoder.cache_clear()


def read(value, kind=Thing):
    return decode(json.dumps(value).encode(), kind)


OLD = datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
WHOLE = {
    "id": "1",
    "maybe": "m",
    "count": 0,
    "names": ["a"],
    "flag": False,
    "inner": {"id": "2"},
    "anything": [1, None],
    "some": {"a": 1},
    "eitherWay": "x",
    "old": 1500,
    "after": 7,
    "bigNAME": "big",
    "either": ["x"],
    "key": "k",
    "text": "t",
}


def test_each_field_is_read():
    """By the API's name, into the argument of its own; what the class computes is not read."""
    expected = Thing(
        "1", "m", 0, ["a"], False, None, Inner("2"), [1, None], {"a": 1}, "x", OLD, 7,  # noqa: FBT003 - in the class's order
        big_name="big", either=["x"], key="k", text="t",
    )  # fmt: skip

    assert read({**WHOLE, "computed": "no"}) == expected


@pytest.mark.parametrize("absent", [{}, dict.fromkeys([*WHOLE, "when"])])
def test_what_is_absent_or_null_has_its_default(absent):
    """Each object gets a default of its own."""
    first, second = read({**absent, "id": "1"}), read({**absent, "id": "1"})

    assert first == Thing("1", None)
    assert first.names is not second.names


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        ({"id": None}, "$.id", "is missing"),
        ({"id": 5}, "$.id", "expected a string, got a number"),
        ({"maybe": 5}, "$.maybe", "expected a string, got a number"),
        ({"count": "5"}, "$.count", "expected a whole number, got a string"),
        ({"count": True}, "$.count", "expected a whole number, got a boolean"),
        ({"flag": 0}, "$.flag", "expected a boolean, got a number"),
        ({"names": [1]}, "$.names[0]", "expected a string, got a number"),
        ({"inner": {}}, "$.inner.id", "is missing"),
        ({"inner": []}, "$.inner", "expected an object, got a list"),
        ({"either": "x"}, "$.either", "expected a whole number, got a string"),
        ({"eitherWay": 1.5}, "$.eitherWay", "expected a whole number, got a number"),
        ({"bigNAME": 1}, "$.bigNAME", "expected a string, got a number"),
    ],
)
def test_a_field_of_another_kind(change, path, problem):
    """The error has the API's name of the field."""
    with pytest.raises(Mismatch) as raised:
        read({**WHOLE, **change})
    assert (raised.value.path, raised.value.problem) == (path, problem)


def test_what_is_no_object():
    """A list is not taken for one."""
    with pytest.raises(Mismatch, match=r"at \$ expected an object, got a list"):
        read([])


def test_what_is_written():
    """Under the API's names, without what is None."""
    written = json.loads(encode(read(WHOLE)))

    assert written == {**WHOLE, "computed": "computed", "old": "1970-01-01T00:00:01.500000Z"}
    assert json.loads(encode(Inner("1"))) == {"id": "1"}


def test_what_is_confidential_can_be_left_out():
    """Fields without a repr are confidential, unless they are only large."""
    whole = to_data(read(WHOLE), confidential=True)
    public = to_data(read(WHOLE), confidential=False)

    assert whole["key"] == "k"
    assert public == {name: value for name, value in whole.items() if name != "key"}
    assert public["text"] == "t"


def test_data_is_read_as_an_answer_is():
    """Any mapping will do."""
    value = read(WHOLE)

    assert from_data(to_data(value, confidential=True), Thing) == value
    with pytest.raises(Mismatch, match=r"at \$\.id is missing"):
        from_data({}, Thing)


def test_the_generated_function_says_what_it_reads():
    """A traceback shows the class."""
    function = object_factory(Thing, converter._converter())

    assert function.__code__.co_filename == "<structure Thing>"
