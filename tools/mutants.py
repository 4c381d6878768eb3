"""The mutants of a module: each is the module's text with one small change; pure.

Module constants, class attributes and defaults are changed too: they hold limits, sets of statuses and `repr=False`.
Not changed are annotations, docstrings, prose (a text with a space in it) and what only type checkers read.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

_COMPARISONS: Final = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_METHODS: Final = {
    "startswith": "endswith",
    "endswith": "startswith",
    "partition": "rpartition",
    "rpartition": "partition",
    "fullmatch": "match",
}
_DROPPED_METHODS: Final = frozenset(
    {"strip", "lower", "upper", "removeprefix", "removesuffix", "replace", "lstrip", "rstrip", "casefold", "title"}
)
_DROPPED_CALLS: Final = frozenset({"sorted", "tuple", "list", "set", "str", "int", "abs"})
_ONLY_FOR_TYPES: Final = frozenset({"cast", "TypeVar", "NewType"})
_KEYWORDS_FOR_TYPES: Final = frozenset({"kw_only", "covariant"})


@attrs.frozen
class Mutant:
    """One change. `start` and `end` are offsets into the module's text in UTF-8.

    Attributes:
        where: the names of the classes and functions around it; empty at the module's top.
        line: the first line that the change touches.
        before: what stood there.
        after: what stands there now.
    """

    where: str
    line: int
    start: int
    end: int
    before: str
    after: str
    occurrence: int = 1

    @property
    def key(self) -> str:
        """What names the change as long as its function stands, wherever that moves to."""
        again = f" #{self.occurrence}" if self.occurrence > 1 else ""
        return f"{self.where or '<module>'}: {_one_line(self.before)} → {_one_line(self.after)}{again}"

    def text(self, source: str) -> str:
        """The module with the change."""
        data = source.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    found: list[Mutant] = []
    seen: dict[tuple[str, str, str], int] = {}
    for mutant in _Finder(source).run(ast.parse(source)):
        name = (mutant.where, mutant.before, mutant.after)
        seen[name] = seen.get(name, 0) + 1
        found.append(attrs.evolve(mutant, occurrence=seen[name]))
    return [mutant for mutant in found if _compiles(mutant.text(source))]


def sampled(mutants: list[Mutant], *, at_most: int, seed: int, name: str) -> list[Mutant]:
    """The same selection for the same module, seed and text."""
    if len(mutants) <= at_most:
        return mutants
    chosen = random.Random(f"{seed} {name}").sample(range(len(mutants)), at_most)  # noqa: S311 - it protects nothing
    return [mutants[index] for index in sorted(chosen)]


def names_read_at(source: str, line: int) -> set[int]:
    """The lines of the functions that read what a statement outside of functions defines.

    Such a line runs at import, so no test covers it. What it defines is used by functions, and their tests are its own.
    """
    tree = ast.parse(source)
    defined = _defined_at(tree, line)
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in defined:
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and defined & _names_in(node):
            lines |= set(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def code_of(path: Path) -> str:
    """The text of a module."""
    return path.read_text(encoding="utf-8")


def _defined_at(tree: ast.Module, line: int) -> set[str]:
    for node in tree.body:
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            names = {target.id for target in ast.walk(node) if isinstance(target, ast.Name)}
            return {node.name} if isinstance(node, ast.ClassDef) else names
    return set()


def _names_in(function: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _compiles(text: str) -> bool:
    try:
        compile(text, "<mutant>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


class _Finder:
    """Walks a module and gives the changes of each node."""

    def __init__(self, source: str) -> None:
        self._lines = source.encode().splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._where: list[str] = []

    def run(self, tree: ast.Module) -> Iterator[Mutant]:
        yield from self._body(tree)

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _change(self, node: ast.expr | ast.stmt, after: str) -> Mutant:
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        before = b"".join(self._lines)[start:end].decode()
        return Mutant(".".join(self._where), node.lineno, start, end, before, after)

    def _body(self, node: ast.AST) -> Iterator[Mutant]:
        for statement in ast.iter_child_nodes(node):
            if isinstance(statement, ast.stmt):
                yield from self._statement(statement)
            elif isinstance(statement, ast.expr):
                yield from self._expression(statement)
            else:
                yield from self._other(statement)

    def _other(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.ExceptHandler):
            yield from self._handler(node)
        elif isinstance(node, ast.withitem | ast.match_case | ast.arguments | ast.keyword | ast.comprehension):
            yield from self._body(node)

    def _handler(self, node: ast.ExceptHandler) -> Iterator[Mutant]:
        if isinstance(node.type, ast.Tuple):
            for index in range(len(node.type.elts)):
                rest = [each for at, each in enumerate(node.type.elts) if at != index]
                yield self._change(node.type, _source(ast.Tuple(rest, ast.Load())))
        for statement in node.body:
            yield from self._statement(statement)

    def _statement(self, node: ast.stmt) -> Iterator[Mutant]:
        if _is_for_types(node):
            return
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from self._definition(node)
            return
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield from self._expression(node.value)
            return
        yield from self._whole(node)
        yield from self._body(node)

    def _definition(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Mutant]:
        self._where.append(node.name)
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and "cache" not in _source(decorator.func):
                yield from self._expression(decorator)
        if not isinstance(node, ast.ClassDef):
            yield from self._body(node.args)
        for statement in node.body:
            yield from self._statement(statement)
        self._where.pop()

    def _whole(self, node: ast.stmt) -> Iterator[Mutant]:
        """The changes that take the place of a whole statement."""
        if isinstance(node, ast.Expr):
            if not isinstance(node.value, ast.Constant):
                yield self._change(node, "pass")
        elif isinstance(node, ast.Return):
            if node.value is not None and not _is_none(node.value):
                yield self._change(node, "return None")
        elif isinstance(node, ast.Raise | ast.AugAssign | ast.Delete):
            yield self._change(node, "pass")
        elif isinstance(node, ast.Break):
            yield self._change(node, "continue")
        elif isinstance(node, ast.Continue):
            yield self._change(node, "break")
        elif isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Compare | ast.Constant):
            yield self._change(node.test, f"not ({_source(node.test)})")
        elif isinstance(node, ast.Assign) and any(isinstance(target, ast.Attribute) for target in node.targets):
            yield self._change(node, "pass")

    def _expression(self, node: ast.expr) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr):
            yield from self._formatted(node)
            return
        for after in _changes(node):
            yield self._change(node, after)
        for child in _children(node):
            if isinstance(child, ast.expr):
                yield from self._expression(child)
            else:
                yield from self._other(child)

    def _formatted(self, node: ast.JoinedStr) -> Iterator[Mutant]:
        """A formatted string as a whole: the positions of what is in it are not known to Python 3.11."""
        if any(isinstance(each, ast.Constant) and " " in str(each.value).strip() for each in node.values):
            return
        for index, value in enumerate(node.values):
            parts = list(node.values)
            if isinstance(value, ast.Constant):
                parts[index] = ast.Constant(str(value.value) + "XX")
                yield self._change(node, _source(ast.JoinedStr(parts)))
            elif isinstance(value, ast.FormattedValue):
                for after in _changes(value.value):
                    changed = copy.copy(value)
                    changed.value = ast.parse(after, mode="eval").body
                    parts[index] = changed
                    yield self._change(node, _source(ast.JoinedStr(list(parts))))


def _children(node: ast.expr) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in _ONLY_FOR_TYPES:
            yield from node.args[1:]
            return
        yield node.func
        yield from node.args
        yield from (keyword for keyword in node.keywords if keyword.arg not in _KEYWORDS_FOR_TYPES)
        return
    if isinstance(node, ast.Subscript) and _is_generic(node):
        return
    yield from ast.iter_child_nodes(node)


def _is_generic(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and (node.value.id[:1].isupper() or node.value.id in {"list", "dict"})


def _is_for_types(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        value = node.value
        return bool(names & {"__all__", "__slots__"}) or (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _ONLY_FOR_TYPES
        )
    return False


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _source(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))


def _changes(node: ast.expr) -> Iterator[str]:
    """What can stand in the place of an expression."""
    kind = _CHANGES.get(type(node))
    if kind is not None:
        yield from kind(node)  # type: ignore[operator]


def _of_compare(node: ast.Compare) -> Iterator[str]:
    for index, operator in enumerate(node.ops):
        changed = copy.copy(node)
        changed.ops = [_COMPARISONS[type(operator)]() if at == index else each for at, each in enumerate(node.ops)]
        yield f"({_source(changed)})"


def _of_bool_op(node: ast.BoolOp) -> Iterator[str]:
    changed = copy.copy(node)
    changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield f"({_source(changed)})"
    for index in range(len(node.values)):
        rest = [each for at, each in enumerate(node.values) if at != index]
        less: ast.expr = ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
        yield f"({_source(less)})"


def _of_unary_op(node: ast.UnaryOp) -> Iterator[str]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield f"({_source(node.operand)})"


def _of_bin_op(node: ast.BinOp) -> Iterator[str]:
    other = _OPERATORS.get(type(node.op))
    if other is not None and not _is_union(node):
        changed = copy.copy(node)
        changed.op = other()
        yield f"({_source(changed)})"


def _is_union(node: ast.BinOp) -> bool:
    """Whether it is a union of types, of which no sensible `&` can be made."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return isinstance(node.op, ast.BitOr) and bool(names & {"str", "int", "bytes", "list", "dict", "tuple"})


def _of_constant(node: ast.Constant) -> Iterator[str]:
    value = node.value
    if isinstance(value, bool):
        yield repr(not value)
    elif isinstance(value, int):
        yield repr(value + 1)
        if value > 1:
            yield repr(value - 1)
    elif isinstance(value, float):
        yield repr(value * 2 + 1)
    elif isinstance(value, str):
        if " " not in value.strip():
            yield repr(f"{value}XX" if value else "XX")
    elif isinstance(value, bytes):
        yield repr(value + b"XX")


def _of_if_exp(node: ast.IfExp) -> Iterator[str]:
    yield f"({_source(node.body)})"
    yield f"({_source(node.orelse)})"


def _of_call(node: ast.Call) -> Iterator[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in _NAMES:
        yield _source(ast.Call(ast.Name(_NAMES[name], ast.Load()), node.args, node.keywords))
    if name in _DROPPED_CALLS and len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
        yield f"({_source(node.args[0])})"
    if isinstance(node.func, ast.Attribute) and method in _METHODS:
        renamed = ast.Attribute(node.func.value, _METHODS[method], ast.Load())
        yield _source(ast.Call(renamed, node.args, node.keywords))
    if isinstance(node.func, ast.Attribute) and method in _DROPPED_METHODS:
        yield f"({_source(node.func.value)})"
    if name not in _ONLY_FOR_TYPES:
        yield from _without_a_keyword(node)


def _without_a_keyword(node: ast.Call) -> Iterator[str]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and not isinstance(keyword.value, ast.Constant):
            rest = [each for at, each in enumerate(node.keywords) if at != index]
            yield _source(ast.Call(node.func, node.args, rest))


def _of_collection(node: ast.Set | ast.Tuple | ast.List) -> Iterator[str]:
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or len(node.elts) < 2:  # noqa: PLR2004 - one has no rest
        return
    if isinstance(node, ast.Tuple) and not all(isinstance(each, ast.Constant) for each in node.elts):
        return
    for index in range(len(node.elts)):
        rest = [each for at, each in enumerate(node.elts) if at != index]
        yield f"({_source(type(node)(rest, ast.Load()) if not isinstance(node, ast.Set) else ast.Set(rest))})"


def _of_dict(node: ast.Dict) -> Iterator[str]:
    for index in range(len(node.keys)):
        yield _source(
            ast.Dict(
                [key for at, key in enumerate(node.keys) if at != index],
                [value for at, value in enumerate(node.values) if at != index],
            )
        )


def _of_comprehension(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Iterator[str]:
    for index, part in enumerate(node.generators):
        for condition in range(len(part.ifs)):
            changed = copy.deepcopy(node)
            del changed.generators[index].ifs[condition]
            yield _source(changed)


def _of_slice(node: ast.Subscript) -> Iterator[str]:
    if isinstance(node.slice, ast.Slice):
        yield f"({_source(node.value)})"


_CHANGES: Final = {
    ast.Compare: _of_compare,
    ast.BoolOp: _of_bool_op,
    ast.UnaryOp: _of_unary_op,
    ast.BinOp: _of_bin_op,
    ast.Constant: _of_constant,
    ast.IfExp: _of_if_exp,
    ast.Call: _of_call,
    ast.Set: _of_collection,
    ast.Tuple: _of_collection,
    ast.List: _of_collection,
    ast.Dict: _of_dict,
    ast.ListComp: _of_comprehension,
    ast.SetComp: _of_comprehension,
    ast.GeneratorExp: _of_comprehension,
    ast.DictComp: _of_comprehension,
    ast.Subscript: _of_slice,
}
