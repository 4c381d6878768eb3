"""Each operation of each group has a test."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from recording_sender import RecordingSender

from peaka_async.endpoints._groups import GROUPS, Groups

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", GROUPS)
def test_each_method_of_a_group_is_tested(name):
    """The test module of a group describes the request of each operation."""
    group = getattr(Groups(RecordingSender()), name)
    methods = [method for method, _ in inspect.getmembers(group, inspect.ismethod) if not method.startswith("_")]
    tested = "".join(path.read_text() for path in HERE.glob("test_*.py"))

    assert methods
    assert [method for method in methods if not re.search(rf'{name}\.{method}"|[a-z)]\.{method}\(', tested)] == []
