"""The directive `telemetry-table`: the names of spans, events and metrics, read from the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

from peaka_async._transport import names

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class TelemetryTable(Directive):
    def run(self) -> list[nodes.Node]:
        rows = [[name, kind, text.replace("`", "")] for name, kind, text in names.TABLE]
        return [table([["Name", "Kind", "Meaning"], *rows])]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("telemetry-table", TelemetryTable)
    return {"parallel_read_safe": True}
