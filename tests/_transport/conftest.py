"""What the tests of the transport share."""

from __future__ import annotations

import pytest

from peaka_async._transport import pool


@pytest.fixture(params=["direct", "session"])
def lane(request, monkeypatch):
    """Both lanes keep every promise."""
    if request.param == "session":
        monkeypatch.setattr(pool, "DirectLane", None)
