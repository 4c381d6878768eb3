"""The clock that tests control."""

from __future__ import annotations

import asyncio
import threading

import pytest
from clock import controlled


async def test_time_jumps_to_the_next_timer(clock):
    """An hour passes at once, and timers fire in order."""
    loop, order = asyncio.get_running_loop(), []
    before = loop.time()

    async def after(seconds):
        await asyncio.sleep(seconds)
        order.append(seconds)

    await asyncio.gather(after(3600), after(1), after(60))

    assert order == [1, 60, 3600]
    assert loop.time() - before == pytest.approx(3600, abs=0.1)


async def test_no_time_passes_while_a_thread_works(clock):
    """A limit on work in a thread is not over before the thread is."""
    go = threading.Event()
    work = asyncio.create_task(asyncio.wait_for(asyncio.to_thread(go.wait), 300))
    await asyncio.sleep(0)
    threading.Timer(0.1, go.set).start()

    assert await work is True


async def test_no_time_passes_while_a_task_runs(clock):
    """Only `move` lets it pass then."""
    loop = asyncio.get_running_loop()
    fired = []
    loop.call_later(5, fired.append, 1)
    for _ in range(100):
        await asyncio.sleep(0)
    before = list(fired)
    clock.move(5)
    for _ in range(2):
        await asyncio.sleep(0)

    assert (before, fired) == ([], [1])


def test_the_loop_ends_in_real_time():
    """The shutdown of an executor, which a loop waits 300 seconds for, is waited for."""
    held = threading.Event()

    async def main():
        with controlled(asyncio.get_running_loop()):
            await asyncio.to_thread(held.set)

    asyncio.run(main())

    assert held.is_set()


async def test_afterwards_the_loop_has_its_own_clock():
    """A limit is real again."""
    loop = asyncio.get_running_loop()
    with controlled(loop):
        await asyncio.sleep(1000)
    began = loop.time()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.05)

    assert 0.05 <= loop.time() - began < 10
