"""The limits of a call: which are refused, and which give way to the time that the server is asked to spend."""

from __future__ import annotations

import pytest
from scripted_server import ScriptedServer, answer, delayed

from peaka_async import ConfigurationError, PeakaClient, PeakaTimeoutError, RetryPolicy, Timeouts
from peaka_async.models import QueryExecuteRequestStatement


@pytest.mark.parametrize("name", ["total", "attempt", "connect"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5", True, b"1"])
def test_limits_that_cannot_be(name, value):
    """They are refused when they are made."""
    with pytest.raises(ConfigurationError, match=f"Timeouts: {name} must be more than 0 seconds, or None"):
        Timeouts(**{name: value})
    assert getattr(Timeouts(**{name: 0.5}), name) == 0.5
    assert getattr(Timeouts(**{name: None}), name) is None


def test_the_limits_unless_told_otherwise():
    """A minute in all, half of it for an attempt, ten seconds to connect."""
    assert Timeouts() == Timeouts(total=60, attempt=30, connect=10)


def test_one_number_limits_the_call_and_its_attempts():
    """None means the usual limits."""
    own = Timeouts(total=1)

    assert Timeouts.of(5) == Timeouts(total=5, attempt=5, connect=10)
    assert Timeouts.of(None) == Timeouts()
    assert Timeouts.of(own) is own
    with pytest.raises(ConfigurationError, match="not str"):
        Timeouts.of("5")


@pytest.mark.parametrize(
    ("limits", "widened"),
    [
        (Timeouts(), Timeouts(total=610, attempt=610)),
        (Timeouts(total=None, attempt=None), Timeouts(total=None, attempt=None)),
        (Timeouts(total=1000, attempt=700, connect=1), Timeouts(total=1000, attempt=700, connect=1)),
        (Timeouts(total=1000, attempt=5), Timeouts(total=1000, attempt=610)),
    ],
)
def test_limits_give_way_to_the_servers_own(limits, widened):
    """Ten seconds are added for the way there and back; a larger limit, or none, stays."""
    assert limits.widened(600) == widened


async def test_a_long_query_may_take_its_time():
    """A query without a time of its own keeps the call's limits."""
    options = {"timeout": Timeouts(total=0.2, attempt=0.2), "retry": RetryPolicy(attempts=1)}
    rows = answer(200, {"columns": [{"columnName": "n"}], "data": []})
    async with ScriptedServer() as server, PeakaClient("key", base_url=server.base_url, **options) as peaka:
        server.script(delayed(0.4, rows), delayed(5, rows))
        result = await peaka.queries.execute("p", QueryExecuteRequestStatement("SELECT 1", timeout=600))
        with pytest.raises(PeakaTimeoutError):
            await peaka.queries.execute("p", QueryExecuteRequestStatement("SELECT 1"))

    assert result.column_names == ("n",)
