"""The directive `deviations-table`: where the live service differs from its document, as the emulator's code has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

from peaka_async.emulator._deviations import Deviation

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HEAD = ["Operations", "The document", "The live service"]


def rows() -> list[list[str]]:
    """The table, with its heading first."""
    found = ([each.value.operations, each.value.document, each.value.live] for each in Deviation)
    return [HEAD, *([cell.replace("`", "") for cell in row] for row in found)]


class DeviationsTable(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(rows())]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("deviations-table", DeviationsTable)
    return {"parallel_read_safe": True}
