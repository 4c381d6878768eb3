"""Configuration of the documentation's build."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from peaka_async import __version__

project = "peaka-async"
author = "The peaka-async maintainers"
copyright = "The peaka-async maintainers"  # noqa: A001 - Sphinx's own name
release = version = __version__

extensions = [
    "code_layout",
    "deviations_table",
    "markdown_docstrings",
    "myst_parser",
    "operations_table",
    "retry_table",
    "telemetry_table",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "worker_table",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "peaka-async"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autoclass_content = "class"
napoleon_google_docstring = True

# A build without a network has no inventories of other projects.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!peaka_async\.).*"),
    (r"py:.*", r"peaka_async\._.*"),
    (r"py:.*", r"peaka_async\.(emulator|endpoints|models|oauth2)\._.*"),
    # Type variables have no page.
    (r"py:.*", r"peaka_async\.\w+\.[TP]"),
]
