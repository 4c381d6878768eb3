"""Public import paths and pickles keep working when modules move inside the package."""

from __future__ import annotations

import base64
import importlib
import json
import pickle
from pathlib import Path

import pytest

import peaka_async
from peaka_async import models
from peaka_async.errors import Attempt, NotFoundError, OutcomeUnknownError, WireProgress
from peaka_async.models.connections import Connection, Oauth2Callback

PICKLES = json.loads((Path(__file__).parent / "fixtures" / "pickles.json").read_text())
MODULES = ["peaka_async", "peaka_async.models", "peaka_async.oauth2", "peaka_async.emulator"]
LEDGER = (Attempt(number=1, progress=WireProgress.ANSWERED, status=404),)
KEPT = {
    "NotFoundError": NotFoundError("gone", operation="connections.get", status=404, attempts=LEDGER),
    "OutcomeUnknownError": OutcomeUnknownError("no answer", operation="connections.create"),
    "Connection": Connection("c", "n", "t"),
    "Oauth2Callback": Oauth2Callback("error=x"),
    "Cache": models.Cache(),
}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_there(module):
    """`__all__` is sorted as ruff sorts it, lists no name twice, and lists only names that exist."""
    found = importlib.import_module(module)

    assert [name for name in found.__all__ if not hasattr(found, name)] == []
    assert len(found.__all__) == len(set(found.__all__))


@pytest.mark.parametrize("name", KEPT)
def test_what_an_earlier_version_pickled_can_be_read(name):
    """Pickles of earlier versions, as a queue or a cache holds them, can be loaded."""
    found = pickle.loads(base64.b64decode(PICKLES[name]))  # noqa: S301

    expected = KEPT[name]
    assert type(found) is type(expected)
    if isinstance(found, Exception):
        assert str(found) == str(expected)
        assert found.__dict__ == expected.__dict__
    else:
        assert found == expected


@pytest.mark.parametrize("name", peaka_async.__all__)
def test_what_is_exported_can_be_pickled_by_reference(name):
    """A class can be imported by its `__module__` and `__qualname__`."""
    value = getattr(peaka_async, name)

    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301
