"""Translate docstrings from Markdown, which editors show, to reStructuredText, which Sphinx reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)]+)\)")
CODE = re.compile(r"(?<![`:\w])`([^`\n]+)`(?![`_])")
FENCE = re.compile(r"(\s*)```(\w*)\s*$")


def translate(lines: list[str]) -> list[str]:
    done: list[str] = []
    inside: str | None = None
    for line in lines:
        fence = FENCE.match(line)
        if fence is None:
            done.append(line if inside is None else f"   {line}")
            if inside is None:
                done[-1] = LINK.sub(r"`\1 <\2>`__", CODE.sub(r"``\1``", line))
        elif inside is None:
            inside = fence[1]
            done += [f"{inside}.. code-block:: {fence[2] or 'text'}", ""]
        else:
            inside = None
            done.append("")
    return done


def process(_app: object, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    lines[:] = translate(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    # Before napoleon, which runs at the default priority of 500.
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}
