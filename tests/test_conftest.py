"""The configuration of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
import pytest

def test_that_is_skipped():
    pytest.skip("no such program")
"""


@pytest.mark.parametrize(("promise", "status"), [({"PEAKA_REQUIRE_SYSTEM_PROGRAMS": "1"}, 1), ({}, 0)])
def test_a_skipped_test_fails_where_all_programs_are_promised(tmp_path, promise, status):
    """A run that requires all system programs fails if a test was skipped."""
    (tmp_path / "test_it.py").write_text(TEST)
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    kept = {name: value for name, value in os.environ.items() if name != "PEAKA_REQUIRE_SYSTEM_PROGRAMS"}
    environment = {**kept, **promise, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.returncode, "1 skipped" in done.stdout) == (status, True), done.stdout + done.stderr
