"""The directive `operations-table`: a table of all operations, made from the code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

# Show the same descriptions that the tests compare with the published document.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "conformance"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from digest import operations, stored
from operations import Described, described

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HEAD = ["Method", "operationId", "HTTP", "Path", "Key", "Safety", "Answer"]
OPERATION_IDS = {(verb, path): operation["operationId"] for verb, path, operation in operations(stored())}


def row(each: Described) -> list[str]:
    request = each.request
    return [
        each.name + (" (deprecated)" if hasattr(each.method, "__deprecated__") else ""),
        OPERATION_IDS[request.method, request.route],
        request.method,
        request.route,
        "Partner" if request.partner_only else "Partner, Project",
        request.safety.value,
        shown(request.returns),
    ]


def shown(kind: object) -> str:
    if kind is type(None):
        return "nothing"
    name = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__origin__") else str(kind)
    return name.replace("peaka_async.models.", "").rpartition(".")[2] if "[" not in name else plain(name)


def plain(name: str) -> str:
    outer, _, inner = name.partition("[")
    return f"{outer}[{', '.join(part.rpartition('.')[2] for part in inner.removesuffix(']').split(', '))}]"


class OperationsTable(Directive):
    def run(self) -> list[nodes.Node]:
        return [table([HEAD, *(row(each) for each in described())])]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("operations-table", OperationsTable)
    return {"parallel_read_safe": True}
