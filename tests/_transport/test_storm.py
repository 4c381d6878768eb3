"""A small storm on both lanes and both loops; `python tests/storm.py` is the large one."""

from __future__ import annotations

import pytest
from storm import LOOPS, storm

from peaka_async._transport import pool


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("lane", ["direct", "session"])
def test_a_storm_mixes_up_nothing(lane, loop, monkeypatch):
    """Cancelled or not, each call gets its own answer or a typed error, is sent once, and leaves nothing."""
    if lane == "session":
        monkeypatch.setattr(pool, "DirectLane", None)

    report = LOOPS[loop](storm(1500))

    assert (report.wrong, report.twice, report.foreign, report.complaints) == (0, 0, [], [])
    assert report.left == (0, 0, 0)
    assert report.outcomes.keys() >= {"answer", "cancelled", "OutcomeUnknownError", "ServerError"}
