"""Mutation testing, of a package made for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"

MODULE = '''"""A limit."""

LIMIT = 10


def above(value):
    return value > LIMIT


def text(value=0):
    return str(value)


def never():
    while True:
        return None
'''
TESTS = """
from peaka_async.limits import above, never, text


def test_above():
    assert above(11)
    assert not above(9)


def test_text():
    assert text(5) == "5"


def test_never():
    assert never() is None
"""
EQUIVALENTS = """
[limits]
"The only caller gives a value." = ["text: 0 → 1"]
"""


@pytest.fixture
def project(tmp_path):
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("*.toml"))
    (tmp_path / "peaka_async").mkdir()
    (tmp_path / "tests").mkdir()
    for name, content in {
        "peaka_async/__init__.py": "",
        "peaka_async/pytest_plugin.py": "",
        "peaka_async/limits.py": MODULE,
        "tests/test_limits.py": TESTS,
        "tools/mutation_equivalents.toml": EQUIVALENTS,
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
    }.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def mutate(project, *options):
    command = [sys.executable, str(project / "tools" / "mutation.py"), "limits", "--workers", "1", *options]
    env = {**os.environ, "PYTHONPATH": str(project)}
    return subprocess.run(command, cwd=project, env=env, check=False, capture_output=True, text=True)  # noqa: S603


def test_what_no_test_notices_is_shown(project):
    """The boundary survives as a patch, what changes nothing is not counted, and the table says it all."""
    done = mutate(project, "--at-least", "90")

    assert done.returncode == 1, done.stderr
    assert "-    return value > LIMIT\n+    return (value >= LIMIT)" in done.stdout
    assert "| limits | 8 | 1 | 4 | 3 | 57 % |" in done.stdout
    assert (project / "peaka_async/limits.py").read_text() == MODULE


def test_tests_that_fail_without_a_mutant_are_told(project):
    """Every mutant would count as killed."""
    (project / "tests/test_limits.py").write_text("import peaka_async.limits\n\ndef test_it():\n    assert False\n")
    done = mutate(project)

    assert done.returncode == 1
    assert "The tests fail without any mutant." in done.stderr
