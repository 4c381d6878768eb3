"""Translation of Trino's syntax tree to DuckDB's: each name is replaced by the table or query that it refers to."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, final

import attrs
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope, traverse_scope

from peaka_async.emulator._operation import failed
from peaka_async.emulator._sql.relations import QueryRelation, Relation, find
from peaka_async.emulator._sql.statement import parse
from peaka_async.emulator._state import Column, ProjectRecord, Table

_MAX_DEPTH = 16
_WHOLE_DAYS = frozenset({"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like)


@final
@attrs.frozen
class Origin:
    """The source of a column of a result."""

    catalog: str | None
    schema: str | None
    table: str | None
    column: Column


@final
@attrs.frozen
class Bound:
    """A statement for DuckDB.

    `origins` has the source of each column of the result, or None for a computed column. It is None if the sources are
    unknown.
    """

    sql: str
    origins: list[Origin | None] | None
    tables: list[Relation]


class Loader(Protocol):
    """Loads a table into DuckDB, and returns its name there."""

    def __call__(self, table: Table) -> str: ...


class Binder:
    """Binds the statements of a project."""

    def __init__(self, project: ProjectRecord, load: Loader, now: datetime) -> None:
        self._project, self._load, self._now = project, load, now
        self._tables: list[Relation] = []

    def bind(self, sql: str, bindings: list[str] | None = None) -> Bound:
        """Bind a statement.

        Raises:
            Refusal: it is not a query, or a name does not exist.
        """
        self._tables = []
        tree = _with_bindings(parse(sql), bindings or [])
        if isinstance(tree, exp.Values):
            width = len(tree.expressions[0].expressions)
            names = [exp.to_identifier(f"_col{index}", quoted=True) for index in range(width)]
            tree.set("alias", exp.TableAlias(this=exp.to_identifier("lines"), columns=names))
            tree = exp.select("*").from_(tree)
        origins = self._resolve(tree, depth=0)
        _set_time(tree, self._now)
        return Bound(tree.sql("duckdb"), origins, self._tables)

    def _resolve(self, tree: exp.Expr, depth: int) -> list[Origin | None] | None:
        """Replace the names in a tree, and return the sources of its columns."""
        if depth > _MAX_DEPTH:
            raise failed("Queries are nested too deeply, or refer to each other")
        sources: dict[str, list[Origin]] = {}
        nodes = [source for scope in traverse_scope(tree) for source in scope.sources.values()]
        tables = list({id(node): node for node in nodes if isinstance(node, exp.Table)}.values())
        origins_of = {id(node): self._replacement(node, depth) for node in tables}
        root = build_scope(tree)
        if root is not None:
            for alias, (_, source) in root.selected_sources.items():
                sources[alias] = origins_of[id(source)][1] if isinstance(source, exp.Table) else []
        hidden = _Hidden(
            {id(node): found for node, found in ((node, origins_of[id(node)][1]) for node in tables)}, tables
        )
        origins = _origins(tree, root, sources)
        _name_columns(tree)
        _keep_dates(tree, {node.alias_or_name: origins_of[id(node)][1] for node in tables})
        hidden.rewrite(tree)
        _shorten_columns(tree)
        for node in tables:
            alias = node.alias_or_name
            inner, _ = origins_of[id(node)]
            node.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))
        return origins

    def _replacement(self, node: exp.Table, depth: int) -> tuple[exp.Query, list[Origin]]:
        catalog, schema, name = _names(node)
        found = find(self._project, catalog, schema, name)
        if isinstance(found, QueryRelation):
            return self._of_query(found, depth)
        self._tables.append(found)
        origins = [Origin(catalog, schema, name, column) for column in found.table.columns]
        inner = exp.select(*(exp.column(exp.to_identifier(each.name, quoted=True)) for each in found.table.columns))
        inner = inner.from_(exp.to_identifier(self._load(found.table), quoted=True))
        return (inner if found.limit is None else inner.limit(found.limit)), origins

    def _of_query(self, found: QueryRelation, depth: int) -> tuple[exp.Query, list[Origin]]:
        """A saved query as a subquery; for a materialized query its stored result, unless it is live."""
        snapshot = found.query.snapshot
        catalog = "peaka"
        if found.stored and snapshot is not None:
            self._tables.append(Relation(catalog, found.schema, snapshot))
            inner = exp.select("*").from_(exp.to_identifier(self._load(snapshot), quoted=True))
            return inner, [Origin(catalog, found.schema, found.query.name, each) for each in snapshot.columns]
        tree = parse(found.query.sql)
        origins = self._resolve(tree, depth + 1) or []
        query = tree if isinstance(tree, exp.Query) else exp.select("*").from_(exp.Subquery(this=tree))
        columns = [each and each.column for each in origins]
        shown = [Origin(catalog, found.schema, found.query.name, each) for each in columns if each is not None]
        return query, shown if len(shown) == len(columns) else []


def _names(node: exp.Table) -> tuple[str, str, str]:
    """The three parts of a table's name, in lower case as in Trino."""
    if not isinstance(node.this, exp.Identifier):
        raise failed(f"Table function '{node.this.sql('trino')}' not registered")
    if not node.catalog or not node.db:
        raise failed(f"line 1:15: Catalog and schema must be specified for table '{node.name}'")
    return node.catalog.lower(), node.db.lower(), node.name.lower()


def _with_bindings(tree: exp.Expr, bindings: list[str]) -> exp.Expr:
    """Replace the parameters by the values, in order."""
    places = sorted(tree.find_all(exp.Placeholder), key=lambda each: each.meta.get("start", 0))
    if len(places) != len(bindings):
        raise failed(f"Incorrect number of parameters: expected {len(places)} but found {len(bindings)}")
    for place, value in zip(places, bindings, strict=True):
        place.replace(exp.Literal.string(value))
    return tree


def _name_columns(tree: exp.Expr) -> None:
    """Give computed columns the names that Trino gives them."""
    for select in tree.find_all(exp.Select):
        for index, each in enumerate(select.expressions):
            if not each.is_star and not isinstance(each, exp.Alias | exp.Column):
                each.replace(exp.alias_(each.copy(), f"_col{index}", quoted=True))


def _keep_dates(tree: exp.Expr, aliases: dict[str, list[Origin]]) -> None:
    """Keep a date plus days a date, as in Trino; DuckDB would make it a timestamp."""
    dates = {origin.column.name for origins in aliases.values() for origin in origins if origin.column.type == "date"}
    for node in list(tree.find_all(exp.Add, exp.Sub, exp.DateAdd)):
        kind = node.this
        unit = node.args.get("unit") or node.expression.args.get("unit")
        is_date = isinstance(kind, exp.CurrentDate) or (isinstance(kind, exp.Cast) and kind.is_type("date"))
        is_date |= isinstance(kind, exp.Column) and kind.name.lower() in dates
        if is_date and unit is not None and unit.name.upper() in _WHOLE_DAYS:
            node.replace(exp.cast(node.copy(), "date"))


def _set_time(tree: exp.Expr, now: datetime) -> None:
    """Replace the current time in a statement by the emulator's time."""
    for day in list(tree.find_all(exp.CurrentDate)):
        day.replace(exp.cast(exp.Literal.string(f"{now:%Y-%m-%d}"), "date"))
    for moment in list(tree.find_all(exp.CurrentTimestamp)):
        moment.replace(exp.cast(exp.Literal.string(now.isoformat()), "timestamptz"))


def _shorten_columns(tree: exp.Expr) -> None:
    """Replace `"catalog"."schema"."table"."column"` by `"table"."column"`, because the tables are now subqueries."""
    for column in tree.find_all(exp.Column):
        column.set("catalog", None)
        column.set("db", None)


def _origins(tree: exp.Expr, root: Scope | None, sources: dict[str, list[Origin]]) -> list[Origin | None] | None:
    """The sources of a statement's columns, with expanded stars."""
    if root is None or not isinstance(tree, exp.Select):
        return None
    found: list[Origin | None] = []
    for each in tree.expressions:
        inner = each.unalias()
        if inner.is_star:
            names = [inner.table] if isinstance(inner, exp.Column) else list(sources)
            if not all(sources.get(name) for name in names):
                return None
            found += [origin for name in names for origin in sources[name] if not origin.column.hidden]
        else:
            found.append(_origin(inner, sources))
    return found


def _origin(node: exp.Expr, sources: dict[str, list[Origin]]) -> Origin | None:
    if not isinstance(node, exp.Column):
        return None
    names = [node.table] if node.table else list(sources)
    matching = [each for name in names for each in sources.get(name, []) if each.column.name == node.name.lower()]
    return matching[0] if len(matching) == 1 else None


class _Hidden:
    """The hidden columns of a statement's tables: they are not in `*`, and have a type that only MongoDB has."""

    def __init__(self, origins: dict[int, list[Origin]], tables: list[exp.Table]) -> None:
        self._aliases: dict[str, list[Origin]] = {}
        for node in tables:
            self._aliases[node.alias_or_name] = origins[id(node)]

    def rewrite(self, tree: exp.Expr) -> None:
        """Expand the stars, and convert the columns to DuckDB's type."""
        if not any(origin.column.hidden for origins in self._aliases.values() for origin in origins):
            return
        for select in tree.find_all(exp.Select):
            select.set("expressions", [new for each in select.expressions for new in self._expanded(each, select)])
        for call in list(tree.find_all(exp.Anonymous)):
            if call.name.lower() == "objectid":
                call.replace(exp.Unhex(this=call.expressions[0]))
        for node in list(tree.find_all(exp.Cast, *_COMPARISONS)):
            self._convert(node)

    def _expanded(self, projection: exp.Expr, select: exp.Select) -> list[exp.Expr]:
        if not projection.is_star:
            return [projection]
        scope = build_scope(select)
        chosen = projection.table if isinstance(projection, exp.Column) else None
        names = [chosen] if chosen else list(scope.selected_sources if scope else [])
        if not all(self._aliases.get(name) for name in names):
            return [projection]
        return [
            exp.column(exp.to_identifier(origin.column.name, quoted=True), exp.to_identifier(name, quoted=True))
            for name in names
            for origin in self._aliases[name]
            if not origin.column.hidden
        ]

    def _convert(self, node: exp.Expr) -> None:
        if isinstance(node, exp.Cast):
            if self._is_hidden(node.this):
                node.replace(exp.Lower(this=exp.Hex(this=node.this.copy())))
            return
        sides = [node.this, node.args.get("expression"), *node.expressions]
        if any(self._is_hidden(each) for each in sides) and any(isinstance(each, exp.Literal) for each in sides):
            raise failed(f"line 1:8: Cannot apply operator: ObjectId {_operator(node)} varchar")

    def _is_hidden(self, node: object) -> bool:
        if not isinstance(node, exp.Column):
            return False
        names = [node.table] if node.table else list(self._aliases)
        return any(
            origin.column.hidden and origin.column.name == node.name.lower()
            for name in names
            for origin in self._aliases.get(name, [])
        )


def _operator(node: exp.Expr) -> str:
    return {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}.get(node.key, node.key.upper())
