"""The retry decisions, without any I/O."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async import (
    APIError,
    ConnectError,
    Content,
    DecodeError,
    PeakaTimeoutError,
    RateLimitError,
    Request,
    RetryPolicy,
    Safety,
    TransportError,
    WireProgress,
    errors,
)
from peaka_async._transport.retry import Hint, Recovery, RetryBudget, retry_hint

CASES = json.loads((Path(__file__).parents[1] / "retry_cases.json").read_text())


def request(safety, body=None):
    return Request("group.method", "POST", "/x", returns=object, safety=safety, body=body)


async def _chunks():
    yield b"x"


BODIES = {None: None, "once": Content(media_type="text/csv", chunks=_chunks, repeatable=False)}


def failure_of(described):
    """The error that a case describes."""
    fields = dict(described)
    kind = getattr(errors, fields.pop("type"))
    if "progress" in fields:
        fields["progress"] = WireProgress(fields["progress"])
    return kind("m", **fields)


def explained(case, jitter):
    """What the policy says to a case, with a jitter that draws one end of its range."""
    policy = RetryPolicy(**case.get("policy", {}), jitter=jitter)
    return policy.explain(
        request(Safety(case["safety"]), BODIES[case.get("body")]),
        failure_of(case["failure"]),
        attempt=case["attempt"],
        remaining=case["remaining"],
        unsent_for=case.get("unsent_for", 0.0),
    )


@pytest.mark.parametrize("case", CASES, ids=[f"{case['safety']}: {case['name']}" for case in CASES])
def test_case(case):
    """Each case of the table is decided as it says, with the shortest and the longest wait that the jitter draws."""
    shortest, longest = explained(case, lambda _: 0.0), explained(case, lambda ceiling: ceiling)

    expected = case["expect"]
    if expected["retry"]:
        assert (shortest.retry, longest.retry) == (True, True)
        assert [shortest.delay, longest.delay] == pytest.approx(expected["delay"])
        assert shortest.source == longest.source == expected["source"]
    else:
        assert (shortest.retry, shortest.reason) == (False, expected["reason"])
        assert (shortest.outcome_unknown, shortest) == (expected["outcome_unknown"], longest)


def test_the_cases_are_many_and_different():
    """At least 150, none twice, and each kind of operation has its share."""
    asked = [json.dumps({key: value for key, value in case.items() if key not in {"name", "expect"}}) for case in CASES]

    assert len(set(asked)) == len(asked) >= 150
    assert min(Counter(case["safety"] for case in CASES).values()) > 50


def test_jitter_is_full():
    """Waits are drawn from the whole range, so that callers spread out."""
    delays = [RetryPolicy().explain(request(Safety.SAFE), ConnectError()).delay for _ in range(500)]

    assert 0 <= min(delays) < 0.005
    assert 0.045 < max(delays) <= 0.05


def test_a_policy_is_a_frozen_value():
    """Equal policies are equal, and none changes under a client that uses it."""
    assert RetryPolicy(attempts=2) == RetryPolicy(attempts=2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        RetryPolicy().attempts = 5


@given(
    safety=st.sampled_from(Safety),
    failure=st.one_of(
        st.builds(APIError, st.just("m"), status=st.integers(300, 599)),
        st.builds(TransportError, st.just("m"), progress=st.sampled_from(WireProgress)),
        st.builds(PeakaTimeoutError, st.just("m"), progress=st.sampled_from(WireProgress)),
        st.builds(ConnectError, st.just("m"), problem=st.sampled_from(["name", "tls", "connection", "closed"])),
        st.builds(DecodeError, st.just("m"), status=st.just(200)),
    ),
    attempt=st.integers(1, 2000),
    remaining=st.none() | st.floats(-10, 100),
    unsent_for=st.floats(0, 100),
)
def test_once_is_repeated_only_if_nothing_was_done(safety, failure, attempt, remaining, unsent_for):
    """For every failure: a ONCE call is repeated only if unsent or told 429, and a retry always fits its limits."""
    decision = RetryPolicy(attempts=1000).explain(
        request(safety), failure, attempt=attempt, remaining=remaining, unsent_for=unsent_for
    )

    unsent = isinstance(failure, TransportError) and failure.progress is WireProgress.NOT_SENT
    refused = isinstance(failure, APIError) and failure.status == 429
    if safety is Safety.ONCE and decision.retry:
        assert unsent or refused
    if decision.retry:
        assert attempt < 1000 or unsent or refused
        assert 0 <= decision.delay <= 8.0
        assert remaining is None or decision.delay <= remaining / 2
        assert not unsent or unsent_for < 20 or getattr(failure, "problem", "") in {"name", "tls"}
    if decision.outcome_unknown:
        assert (safety, decision.retry) == (Safety.ONCE, False)


async def driven(failures, policy=None, budget=None, remaining=None):
    """The waits of a call whose attempts fail in this way, on a clock that only the waits move, and how it ended."""
    now, waits = 0.0, []
    coming = iter(failures)

    async def attempt():
        error = next(coming, None)
        if error is not None:
            raise error
        return "done"

    async def sleep(seconds):
        nonlocal now
        now += seconds
        waits.append(seconds)

    recovery = Recovery(
        policy or RetryPolicy(jitter=lambda ceiling: ceiling),
        request(Safety.SAFE),
        budget or RetryBudget(),
        lambda: None if remaining is None else remaining - now,
        clock=lambda: now,
    )
    try:
        ended = await recovery.drive(attempt, decided=lambda *_: None, sleep=sleep)
    except errors.PeakaError as error:
        ended = error
    return waits, ended


async def test_a_server_that_is_away_is_tried_for_twenty_seconds():
    """Attempts that reach nobody do not count; they end with `unsent_seconds`, and one comes at the end of them."""
    waits, ended = await driven([ConnectError()] * 1000)

    assert sum(waits) == pytest.approx(20)
    assert max(waits) == 2
    assert isinstance(ended, ConnectError)


async def test_each_way_of_failing_has_its_own_count():
    """A 429 and an attempt that reached nobody take no attempt from a call, and their waits grow by themselves."""
    failures = [ConnectError(), RateLimitError(status=429), ConnectError(), RateLimitError(status=429)]
    failures += [APIError(status=503), ConnectError(), APIError(status=503)]

    waits, ended = await driven(failures)

    assert (waits, ended) == ([0.05, 1, 0.1, 2, 0.05, 0.2, 0.1], "done")


async def test_attempts_that_count_share_one_count():
    """Three attempts that count are made, in whichever ways they fail."""
    failures = [APIError(status=503), TransportError(), ConnectError(problem="name"), APIError(status=500)]

    waits, ended = await driven(failures)

    assert (waits, type(ended)) == ([0.05, 0.1], ConnectError)


async def test_429_and_unsent_attempts_are_free():
    """Only what counts is paid: an empty budget does not stop a call that did the server no harm."""
    budget = RetryBudget()
    budget.tokens = 0

    free = await driven([RateLimitError(status=429), ConnectError()], budget=budget)
    paid = await driven([APIError(status=503)], budget=budget)

    assert (free[1], type(paid[1])) == ("done", APIError)


async def test_429_ends_with_the_deadline():
    """A call that is told 429 again and again ends when its deadline leaves no time for another attempt."""
    waits, ended = await driven([RateLimitError(status=429)] * 1000, remaining=60)

    assert 59.8 < sum(waits) < 60
    assert type(ended) is RateLimitError


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
    """A retry costs 14; an empty bucket refuses; it never holds more than its capacity."""
    budget = RetryBudget(30)
    spent = [budget.spend() for _ in range(3)]
    left = budget.tokens
    budget.refund(100)

    assert (spent, left, budget.tokens) == ([14, 14, 0], 2, 30)
