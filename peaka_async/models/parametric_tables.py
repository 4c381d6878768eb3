"""Parametric tables: tables of REST sources, with values for their parameters."""

from __future__ import annotations

import attrs

from peaka_async.models._model import Model

__all__ = ["ParametricTable", "ParametricTableColumn"]


@attrs.frozen
class ParametricTableColumn(Model):
    """A parameter, such as `_q_account`, and its value: any JSON value, or a macro such as `@today`."""

    key: str | None = None
    value: object = None


@attrs.frozen(kw_only=True)
class ParametricTable(Model):
    """A table that is made from another table, with values for its parameters."""

    from_schema: str | None = None
    from_table: str | None = None
    to_schema: str | None = None
    to_table: str | None = None
    param_values: list[ParametricTableColumn] | None = None
