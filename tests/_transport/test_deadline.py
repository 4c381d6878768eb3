"""Time limits under one timer behave as asyncio.timeout does."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from peaka_async._transport.deadline import Deadlines, Limit


async def limited(deadlines, seconds, work):
    """How work ended: its value, 'expired', or the caller's cancellation."""
    loop = asyncio.get_running_loop()
    limit = Limit()
    deadlines.enter(limit, None if seconds is None else loop.time() + seconds)
    try:
        return await work
    except asyncio.CancelledError:
        if deadlines.caught(limit):
            return "expired"
        raise
    finally:
        deadlines.leave(limit)


@pytest.fixture
async def deadlines(clock):
    deadlines = Deadlines(asyncio.get_running_loop())
    yield deadlines
    deadlines.close()


async def test_limits_pass_each_at_its_time(deadlines):
    """A shorter limit that is entered later passes first; None never does; a task goes on after its limit."""
    order = []

    async def one(name, seconds, work):
        order.append((name, await limited(deadlines, seconds, asyncio.sleep(work, "done"))))

    await asyncio.gather(one("long", 3, 9), one("short", 2, 9), one("none", None, 4), one("quick", 9, 1))

    assert order == [("quick", "done"), ("short", "expired"), ("long", "expired"), ("none", "done")]


async def test_a_limit_can_be_moved(deadlines):
    """A limit set further off does not pass at its first time, and one set nearer passes then."""
    loop = asyncio.get_running_loop()

    async def moved(first, second):
        """Whether it passed."""
        limit = Limit()
        deadlines.enter(limit, loop.time() + first)
        deadlines.move(limit, loop.time() + second)
        try:
            await asyncio.sleep(8)
        except asyncio.CancelledError:
            assert deadlines.caught(limit)
        finally:
            deadlines.leave(limit)
        return limit.expired

    assert await asyncio.gather(moved(1, 9), moved(9, 7)) == [False, True]


async def test_the_callers_cancellation_is_not_a_limit(deadlines, clock):
    """Cancelled from outside, the task ends cancelled, even in the same turn as the limit passes."""
    task = asyncio.create_task(limited(deadlines, 0.02, asyncio.sleep(9)))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.02, task.cancel)
    clock.move(0.05)  # both are due when the loop goes on
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_nothing_is_left_over(deadlines):
    """Limits that were left hold nothing."""
    await asyncio.gather(*(limited(deadlines, 9, asyncio.sleep(0)) for _ in range(50)))

    assert len(deadlines._limits) == 0


async def test_a_cancellation_that_was_swallowed_is_taken_back(deadlines):
    """What the task does after the limit is not cancelled by it."""
    limit = Limit()
    deadlines.enter(limit, asyncio.get_running_loop().time() + 1)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(9)
    deadlines.leave(limit)

    assert (limit.expired, asyncio.current_task().cancelling()) == (True, 0)
