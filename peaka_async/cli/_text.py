"""Text of the server, printed without markup and without control codes for the terminal."""

from __future__ import annotations

import re

from rich.text import Text

# C0, DEL and C1 control the terminal; bidirectional and line controls change how a line looks; a lone surrogate cannot
# be printed.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(value: object) -> str:
    """Replace control characters by escapes, as Python's `repr` does."""
    return _HARMFUL.sub(_escaped, str(value))


def cell(value: object) -> Text:
    """The text for a table. Markup such as `[red]` is printed unchanged."""
    return Text("" if value is None else plain(value))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
