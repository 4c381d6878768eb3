"""The error for JSON that does not fit a type."""

from __future__ import annotations

from types import NoneType


class Mismatch(ValueError):
    """JSON does not fit a type. The message says what was expected and where, but not the value: it can be secret.

    Attributes:
        path: the place, such as `$.files[0].bytes`; `$` is the whole value.
        problem: what was expected, and which kind of value was found.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"at {self.path} {self.problem}"

    def within(self, step: str) -> Mismatch:
        """The same error, with the path from one level further out."""
        return Mismatch(f"${step}{self.path[1:]}", self.problem)


_KINDS: dict[type, str] = {
    NoneType: "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def kind_of(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def wrong(expected: str, value: object, path: str = "$") -> Mismatch:
    return Mismatch(path, f"expected {expected}, got {kind_of(value)}")
