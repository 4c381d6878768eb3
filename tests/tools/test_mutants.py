"""The mutants of a module: one small change each, and the same ones every time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.append(str(TOOLS))

from mutants import mutants_of, names_read_at, sampled  # noqa: E402 - a script, not a package


def changes(source):
    return [mutant.after for mutant in mutants_of(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["(a <= b)"]),
        ("x = a is None", ["(a is not None)"]),
        ("x = a < b < c", ["(a <= b < c)", "(a < b <= c)"]),
        ("x = a and b", ["(a or b)", "(b)", "(a)"]),
        ("x = not a", ["(a)"]),
        ("x = a + b", ["(a - b)"]),
        ("x = 0", ["1"]),
        ("x = 5", ["6", "4"]),
        ("x = 0.5", ["2.0"]),
        ("x = True", ["False"]),
        ("x = 'GET'", ["'GETXX'"]),
        ("x = ''", ["'XX'"]),
        ("x = b'a'", ["b'aXX'"]),
        ("x = a if b else c", ["(a)", "(c)"]),
        ("x = min(a, b)", ["max(a, b)"]),
        ("x = a.strip()", ["(a)"]),
        ("x = sorted(a)", ["(a)"]),
        ("x = f(a=b)", ["f()"]),
        ("x = f(repr=False)", ["True"]),
        ("x = {a, b}", ["({b})", "({a})"]),
        ("x = {a: b}", ["{}"]),
        ("x = (1, 2)", ["((2,))", "((1,))", "2", "3", "1"]),
        ("x = [a for a in b if c]", ["[a for a in b]"]),
        ("x = a[b:]", ["(a)"]),
        ("x = f'{a}-'", ["f'{a}-XX'"]),
        ("x = f'{-a}'", ["f'{a}'"]),
        ("f()", ["pass"]),
        ("x += a", ["pass"]),
        ("x.y = a", ["pass"]),
        ("def f():\n    return a", ["return None"]),
        ("def f():\n    raise a", ["pass"]),
        ("for a in b:\n    break", ["continue"]),
        ("while a:\n    continue", ["not (a)", "break"]),
        ("try:\n    a = b\nexcept (C, D):\n    a = c", ["(D,)", "(C,)"]),
        ("def f(a=None, b=1):\n    pass", ["2"]),
        ("class A:\n    b: int = field(default=1)", ["2"]),
        ("@attrs.frozen(repr=False)\nclass A:\n    pass", ["True"]),
    ],
)
def test_each_kind_of_change(source, expected):
    """What decides: comparisons, operators, constants, conditions, arguments, members and whole statements."""
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "def f() -> int:\n    '''A docstring.'''",
        "x: int",
        "msg = 'prose has spaces'",
        "msg = f'prose with {a} value'",
        "__all__ = ['a', 'b']",
        "T = TypeVar('T')",
        "x = cast('T', a)",
        "x = a(kw_only=True)",
        "if TYPE_CHECKING:\n    x = 5",
        "x = Callable[[int], str]",
        "x = int | str",
        "def f():\n    return None",
        "@functools.lru_cache(maxsize=1024)\ndef f():\n    pass",
    ],
)
def test_what_no_test_could_notice_is_left_alone(source):
    """Docstrings, annotations, prose, and what only type checkers read."""
    assert changes(source) == []


def test_only_the_change_differs():
    """Comments, line numbers and letters of more than one byte stay as they are."""
    source = "# köln\nx = 'ä' if a < b else c  # reason\n"
    texts = [mutant.text(source) for mutant in mutants_of(source)]

    assert "# köln\nx = 'ä' if (a <= b) else c  # reason\n" in texts
    assert all(text.count("\n") == 2 and text.startswith("# köln\nx = ") for text in texts)


def test_a_key_says_where_and_what():
    """The key survives a move of the function; the second of two equal changes is numbered."""
    source = "class A:\n    def f(self):\n        return (1, 1)\n"

    assert [mutant.key for mutant in mutants_of(source)][-2:] == ["A.f: 1 → 2", "A.f: 1 → 2 #2"]


def test_a_sample_is_the_same_each_time():
    """The seed and the module decide; the order is that of the text."""
    mutants = mutants_of("\n".join(f"x{number} = {number}" for number in range(100)))
    first = sampled(mutants, at_most=20, seed=1, name="a")

    assert first == sampled(mutants, at_most=20, seed=1, name="a")
    assert first != sampled(mutants, at_most=20, seed=2, name="a")
    assert [mutant.line for mutant in first] == sorted(mutant.line for mutant in first)
    assert sampled(mutants, at_most=500, seed=1, name="a") == mutants


def test_the_functions_that_read_a_constant_are_found():
    """Their tests are those of the constant."""
    source = "LIMIT = 5\nOTHER = 6\n\ndef f():\n    return LIMIT\n\ndef g():\n    return OTHER\n"

    assert (names_read_at(source, 1), names_read_at(source, 2)) == ({5}, {8})
