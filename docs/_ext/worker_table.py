"""The directive `worker-table`: the results of the tests with task queues, by signal and moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SEEN = Path(__file__).parents[2] / "tests" / "integrations" / "queues" / "seen.json"
SIGNALS = ("SIGTERM", "SIGKILL")
MOMENTS = ("before", "during", "after")


def rows() -> list[list[str]]:
    """The rows of the table, the heading first."""
    head = ["Queue", *(f"{signal}, {moment}" for signal in SIGNALS for moment in MOMENTS), "Result backend"]
    return [head, *(row(queue, seen) for queue, seen in json.loads(SEEN.read_text()).items())]


def row(queue: str, seen: dict[str, dict[str, str]]) -> list[str]:
    cells = [seen.get(signal, {}).get(moment, "not run") for signal in SIGNALS for moment in MOMENTS]
    return [queue, *cells, str(seen["results"])]


class WorkerTable(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(rows())]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("worker-table", WorkerTable)
    return {"parallel_read_safe": True}
