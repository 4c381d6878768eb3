"""The package as it is installed and imported."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import peaka_async

ROOT = Path(__file__).parent.parent
OPTIONAL = ["orjson", "uvloop", "opentelemetry.sdk", "aiohttp.web", "typer", "rich", "pandas", "pyarrow"]
OPTIONAL += ["redis", "cryptography", "itsdangerous"]


def fresh(code):
    """Run code in a new interpreter and return its output."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def test_importing_loads_no_optional_dependency():
    """The import loads only modules that every user needs, and aiohttp with its modules."""
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
    """All names that the package exports exist."""
    names = peaka_async.__all__

    assert [name for name in names if not hasattr(peaka_async, name)] == []
    assert names == sorted(set(names))


def sessions(text):
    return set(re.findall(r"\bnox -s (\w+)", text))


def test_the_gate_runs_what_the_readme_says():
    """CI runs the sessions that the README names, and its two commands unchanged on a fresh machine."""
    readme = (ROOT / "README.md").read_text()
    gate = (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^python3 .*$", readme, re.MULTILINE)

    assert {"demo", "tests"} <= sessions(readme) & sessions(gate)
    assert [command.rpartition(" ")[2] for command in commands] == ["demo", "tests"]
    assert "step .ci/sid" in gate


def test_the_readmes_commands_install_nothing_outside_of_their_own_environment():
    """Debian's and Homebrew's pip refuse to install outside of a virtual environment."""
    for command in re.findall(r"^python3 .*$", (ROOT / "README.md").read_text(), re.MULTILINE):
        first, *others = command.split(" && ")

        assert first == "python3 -m venv .venv"
        assert [other.partition(" ")[0] for other in others] == [".venv/bin/pip", ".venv/bin/nox"]


def test_contributors_learn_what_each_session_does():
    """The table of commands lists all sessions."""
    defined = re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)

    assert set(defined) == {each.partition("-")[0] for each in sessions((ROOT / "CONTRIBUTING.md").read_text())}


def test_the_map_has_only_what_exists():
    """The paths in CONTRIBUTING.md exist."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:peaka_async|tests|tools|docs|benchmarks|examples)/[a-z0-9_./]*)`", text)
    parts = re.findall(r"(?<= )((?:endpoints|_transport|_codec|models)/\w*(?:\.py)?|_\w+\.py)", text.split("```")[3])

    assert len(named) > 10
    assert len(parts) > 5
    assert [each for each in named if not (ROOT / each).exists()] == []
    assert [each for each in parts if not (ROOT / "peaka_async" / each).exists()] == []


def test_every_supported_python_is_tested():
    """The classifiers list the supported versions. nox reads them; the gate installs missing ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = [each.rpartition(" ")[2] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)]

    assert supported == ["3.11", "3.12", "3.13", "3.14", "3.15"]
    assert f"Python {supported[0]} to {supported[-1]}" in (ROOT / "README.md").read_text()
    assert {"python3.14", "python3.15"} <= set((ROOT / ".ci" / "sid").read_text().split())


def test_the_version_is_in_one_place():
    """The package's version is the distribution's."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", peaka_async.__version__)
