"""The retry decisions, without any I/O."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async import (
    APIError,
    ConnectError,
    DecodeError,
    PeakaTimeoutError,
    RateLimitError,
    Request,
    RetryPolicy,
    Safety,
    TransportError,
    WireProgress,
)
from peaka_async._transport.retry import Hint, RetryBudget, retry_hint
from peaka_async._transport.throttle import RateGate

FULL = RetryPolicy(jitter=lambda ceiling: ceiling)


def request(safety):
    return Request("group.method", "POST", "/x", returns=object, safety=safety)


def test_backoff_doubles_up_to_its_cap():
    """The ceiling of the wait is 0.5 s, doubled with each attempt, and never more than 8 s."""
    policy = RetryPolicy(attempts=10, jitter=lambda ceiling: ceiling)
    failure = ConnectError(progress=WireProgress.NOT_SENT)

    delays = [policy.explain(request(Safety.ONCE), failure, attempt=attempt).delay for attempt in range(1, 8)]

    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_jitter_is_full():
    """Waits are drawn from the whole range, so that callers spread out."""
    failure = ConnectError(progress=WireProgress.NOT_SENT)
    delays = [RetryPolicy().explain(request(Safety.SAFE), failure).delay for _ in range(500)]

    assert 0 <= min(delays) < 0.05
    assert 0.45 < max(delays) <= 0.5


@pytest.mark.parametrize(("hint", "delay", "source"), [("3", 3.0, "retry-after"), ("0.1", 0.5, "backoff")])
def test_a_hint_is_never_below_the_backoff(hint, delay, source):
    """The longer of the server's wish and the backoff is waited."""
    failure = RateLimitError(status=429, headers={"retry-after": hint})

    decision = FULL.explain(request(Safety.ONCE), failure)

    assert (decision.retry, decision.delay, decision.source) == (True, delay, source)


@pytest.mark.parametrize(("hint", "remaining"), [("61", None), ("61", 1000.0), ("6", 5.0)])
def test_a_hint_that_is_too_long_ends_the_call(hint, remaining):
    """Longer than a minute, or than what is left of the deadline: the call fails now."""
    failure = RateLimitError(status=429, headers={"retry-after": hint})

    assert FULL.explain(request(Safety.SAFE), failure, remaining=remaining).retry is False


def test_no_wait_passes_the_deadline():
    """A wait that the deadline would cut is not begun."""
    failure = ConnectError(progress=WireProgress.NOT_SENT)

    assert FULL.explain(request(Safety.SAFE), failure, remaining=0.4).retry is False


@given(
    safety=st.sampled_from(Safety),
    failure=st.one_of(
        st.builds(APIError, st.just("m"), status=st.integers(300, 599)),
        st.builds(TransportError, st.just("m"), progress=st.sampled_from(WireProgress)),
        st.builds(PeakaTimeoutError, st.just("m"), progress=st.sampled_from(WireProgress)),
        st.builds(DecodeError, st.just("m"), status=st.just(200)),
    ),
    attempt=st.integers(1, 2000),
    remaining=st.none() | st.floats(-10, 100),
)
def test_once_is_repeated_only_where_nothing_was_done(safety, failure, attempt, remaining):
    """For every failure: a ONCE call is repeated only when unsent or told 429, and a retry always fits its limits."""
    decision = RetryPolicy(attempts=1000).explain(request(safety), failure, attempt=attempt, remaining=remaining)

    unsent = isinstance(failure, TransportError) and failure.progress is WireProgress.NOT_SENT
    refused = isinstance(failure, APIError) and failure.status == 429
    if safety is Safety.ONCE and decision.retry:
        assert unsent or refused
    if decision.retry:
        assert attempt < 1000
        assert decision.delay <= 8.0
        assert remaining is None or decision.delay < remaining
    if decision.outcome_unknown:
        assert (safety, decision.retry) == (Safety.ONCE, False)


@given(st.text())
def test_junk_hints_never_crash(value):
    """Whatever a header holds, there is a finite wait of at least 0 or none."""
    hint = retry_hint({"retry-after": value, "retry-after-ms": value, "date": value})

    assert hint is None or (math.isfinite(hint.seconds) and hint.seconds >= 0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "120"}, Hint(120.0, "retry-after")),
        ({"retry-after-ms": "1500"}, Hint(1.5, "retry-after-ms")),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, Hint(60.0, "retry-after-date")),
        ({"retry-after": "Wed, 21 Oct 2015 07:20:00 GMT"}, Hint(0.0, "retry-after-date")),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_hints(headers, expected):
    """Seconds, milliseconds and dates are read."""
    assert retry_hint(headers, now=datetime(2015, 10, 21, 7, 27, tzinfo=UTC)) == expected


def test_the_budget_is_spent_and_refunded():
    """A retry costs 5, after a timeout 10; an empty bucket refuses; it never holds more than its capacity."""
    budget = RetryBudget(12)
    spent = [budget.spend(PeakaTimeoutError()), budget.spend(ConnectError()), budget.spend(ConnectError())]
    budget.refund(100)

    assert (spent, budget.tokens) == ([10, 0, 0], 12)


def test_the_gate_takes_the_longest_pause():
    """A shorter pause does not open the gate before a longer one has passed."""
    gate = RateGate()
    gate.close(100.0, 5.0)
    gate.close(101.0, 1.0)

    assert (gate.wait(102.0), gate.wait(106.0)) == (3.0, 0.0)
