"""The layout of the code, as the documentation shows it."""

from __future__ import annotations

import pytest
from layout import PACKAGE, layers, modules, watched, way


def test_layers_are_those_of_the_contract():
    """The layers are listed from the highest to the lowest, with the modules of one layer in one row."""
    rows = layers("Imports point one way")

    assert (rows[0], rows[-1]) == (["cli", "pytest_plugin"], ["errors"])
    for name in (name for row in rows for name in row):
        assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


@pytest.mark.parametrize("folder", ["_transport", "_codec", "oauth2", "endpoints"])
def test_every_module_says_what_it_is(folder):
    """A table of modules lists all of them."""
    names = {path.name for path in (PACKAGE / folder).glob("*.py")} - {"__init__.py", "__main__.py"}

    assert {name for name, _ in modules(folder)} == names


async def test_a_call_goes_straight_to_the_socket():
    """On the way down from the endpoint to the socket, a call enters few files, and each of them once."""
    watch = await watched()

    assert watch.down[0] == "endpoints/connections.py"
    assert len(watch.down) == len(set(watch.down)) <= 9
    assert all(name.startswith("_transport/") for name in watch.down[1:])
    assert "_codec/converter.py" in watch.back


def test_the_way_has_all_files_of_a_call():
    """The table lists all files that the call enters."""
    text = str(way())

    for name in ("send.py", "deadline.py", "tracing.py", "_request.py", "answer.py"):
        assert name in text
