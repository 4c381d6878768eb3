"""Tables of text for the directives of the documentation."""

from __future__ import annotations

from docutils import nodes


def table(rows: list[list[str]]) -> nodes.table:
    """Make a table from its rows; the first row is the heading."""
    head, *body = rows
    made = nodes.table()
    group = nodes.tgroup(cols=len(head))
    made += group
    for _ in head:
        group += nodes.colspec(colwidth=1)
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *(_row(row) for row in body))
    return made


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell)) for cell in cells))
