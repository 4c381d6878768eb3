"""Directives that show the layout of the code, made from the code.

`layers-diagram NAME` draws a contract of import-linter, `modules-table FOLDER` lists modules with the first line of
their docstrings, and `way-of-a-call` lists the files that a call goes through.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from layout import layers, modules, way

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WIDTH, ROW, GAP, MARGIN, PER_ROW = 760, 34, 26, 8, 5


def drawn(rows: list[list[str]], title: str) -> str:
    """Draw layers as SVG: a row of boxes for each layer, with an arrow to the next."""
    lines = [each for row in rows for each in _wrapped(row)]
    height = len(lines) * ROW + (len(rows) - 1) * GAP + 2 * MARGIN
    parts = list(_parts(rows))
    return (
        f'<svg role="img" aria-label="{html.escape(title)}" viewBox="0 0 {WIDTH} {height}" width="100%" '
        'style="color: currentColor; font: 13px monospace" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(parts)}</svg>"
    )


def _wrapped(row: list[str]) -> list[list[str]]:
    return [row[start : start + PER_ROW] for start in range(0, len(row), PER_ROW)]


def _parts(rows: list[list[str]]) -> Iterator[str]:
    y = MARGIN
    for number, row in enumerate(rows):
        if number:
            yield _arrow(y, y + GAP)
            y += GAP
        for line in _wrapped(row):
            width = (WIDTH - 2 * MARGIN) / len(line)
            for place, name in enumerate(line):
                yield _box(MARGIN + place * width, y, width, name)
            y += ROW


def _box(x: float, y: float, width: float, name: str) -> str:
    return (
        f'<rect x="{x + 2:.0f}" y="{y}" width="{width - 4:.0f}" height="{ROW - 4}" rx="4" fill="none" '
        f'stroke="currentColor"/><text x="{x + width / 2:.0f}" y="{y + ROW / 2 + 3:.0f}" text-anchor="middle" '
        f'fill="currentColor">{html.escape(name)}</text>'
    )


def _arrow(top: float, bottom: float) -> str:
    x = WIDTH / 2
    return (
        f'<path d="M{x} {top} V{bottom - 3} M{x - 4} {bottom - 9} L{x} {bottom - 3} L{x + 4} {bottom - 9}" '
        'fill="none" stroke="currentColor"/>'
    )


class LayersDiagram(Directive):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", drawn(layers(self.arguments[0]), self.arguments[0]), format="html")]


class ModulesTable(Directive):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [table([["Module", "Purpose"], *map(list, modules(self.arguments[0]))])]


class WayOfACall(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(way())]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("layers-diagram", LayersDiagram)
    app.add_directive("modules-table", ModulesTable)
    app.add_directive("way-of-a-call", WayOfACall)
    return {"parallel_read_safe": True}
