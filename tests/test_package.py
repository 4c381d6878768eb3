"""The package as it is installed and imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import peaka_async

ROOT = Path(__file__).parent.parent
OPTIONAL = ["orjson", "uvloop", "opentelemetry.sdk", "aiohttp.web", "typer", "rich", "pandas", "pyarrow"]
OPTIONAL += ["redis", "cryptography", "itsdangerous"]


def fresh(code):
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def test_importing_loads_no_optional_dependency():
    """An import pays for what every user needs, and for nothing else; what aiohttp itself loads is its own."""
    loaded = fresh(
        "import sys, aiohttp\n"
        "before = set(sys.modules)\n"
        "import peaka_async\n"
        f"print([name for name in {OPTIONAL} if name in sys.modules and name not in before])"
    )

    assert loaded == "[]"


def test_the_emulator_is_not_imported_with_the_package():
    """Production code does not carry the test server."""
    assert fresh("import sys, peaka_async; print('peaka_async.emulator' in sys.modules)") == "False"


def test_public_names_are_sorted_and_exist():
    """What the package promises is there."""
    names = peaka_async.__all__

    assert [name for name in names if not hasattr(peaka_async, name)] == []
    assert names == sorted(set(names))


def test_the_gate_runs_what_the_readme_says():
    """CI runs the README's own commands."""
    readme = re.findall(r"nox -s (\w+)", (ROOT / "README.md").read_text())
    gate = re.findall(r"nox -s (\w+)", (ROOT / ".ci" / "run").read_text())

    assert {"demo", "tests"} <= set(readme) & set(gate)


def test_the_version_is_in_one_place():
    """The package's version is the distribution's."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", peaka_async.__version__)
