"""How the callers of a client slow down after a 429, on a clock that the tests move."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque

import pytest

from peaka_async._transport import throttle
from peaka_async._transport.throttle import Queue, Queues, Throttle, TooLateError


def started(control, now, most=1000):
    """How many requests may start in this moment."""
    return next(number for number in range(most + 1) if number == most or control.take(now))


def test_a_new_client_starts_slowly():
    """Five requests start at once, and each answer lets two more start."""
    control = Throttle(100.0)

    at_once = started(control, 100.0)
    for _ in range(5):
        control.succeeded(100.01)
    after_answers = started(control, 100.01)

    assert (at_once, after_answers) == (5, 5)


def test_a_start_does_not_wait_for_answers():
    """If nothing is answered yet, twenty requests a second start all the same."""
    control = Throttle(0.0)
    started(control, 0.0)

    begun = sum(not control.take(tick / 1000) for tick in range(1, 1001))

    assert begun == pytest.approx(20, abs=1)


def test_answers_set_a_client_free():
    """A client that was never refused, and whose requests did not have to wait, is not held up any more."""
    control = Throttle(0.0)
    for number in range(64):
        assert control.take(number / 100) == 0
        control.succeeded(number / 100)

    assert control.is_free
    assert started(control, 1.0, most=500) == 500


def free(now=0.0, rate=50):
    """A throttle that was free for a second of this many answers."""
    control = Throttle(now)
    for number in range(rate + 1):
        control.take(now + number / rate)
        control.succeeded(now + number / rate)
    return control


def test_the_first_429_pauses_everybody():
    """Nobody starts before the server has said; then the rate is below what went through."""
    control = free()
    control.limited(1.0, 5.0)

    assert control.take(3.0) == pytest.approx(3.0)
    assert control.take(5.999) > 0
    assert control.rate(6.0) == pytest.approx(0.7 * 51, rel=0.02)


def test_the_longest_pause_counts():
    """Of the refusals of one moment the longest wait holds, and the rate falls once."""
    control = free()
    control.limited(1.0, 1.0)
    control.limited(1.0, 4.0)
    control.limited(1.01, 2.0)

    assert control.pause(1.0) == 4.0
    assert control.rate(5.0) == pytest.approx(0.7 * 51, rel=0.02)


def test_the_rate_comes_back_stays_and_grows():
    """It comes back to what went through within seconds, and goes beyond it later."""
    control = free()
    control.limited(1.0, 1.0)
    rates = [control.rate(2.0 + seconds) for seconds in range(8)]

    assert rates == sorted(rates)
    assert 40 < rates[2] <= 51 < rates[4]
    assert rates[7] > 100


def test_a_429_between_successes_lowers_the_rate_alone():
    """While answers come, a refusal stops nobody."""
    control = free()
    control.limited(1.0, 1.0)
    control.succeeded(3.0)
    control.limited(3.5, 30.0)

    assert control.pause(3.5) == 0
    assert control.rate(3.5) < 0.71 * 51


def test_a_429_after_a_429_pauses_again():
    """A server that refuses whoever comes back is left alone for as long as it asks."""
    control = free()
    control.limited(1.0, 1.0)
    control.limited(3.0, 30.0)

    assert control.pause(3.0) == 30.0


def test_a_short_wait_allows_a_high_rate():
    """A server that asks for 20 ms does not mean one request a second."""
    control = Throttle(0.0)
    control.limited(0.0, 0.02)

    assert control.rate(0.02) >= 35


def test_a_client_is_free_again_when_nobody_refuses():
    """After ten quiet seconds or so nobody is held up."""
    control = free()
    control.limited(1.0, 1.0)
    begun = started(control, 20.0, most=10_000)

    assert (begun, control.is_free) == (10_000, True)


# ── Many processes on one key ────────────────────────────────────────────────────────────────────────────────────────


class Fixed:
    """50 requests in each second of the clock."""

    def __init__(self):
        self.counts = {}

    def allow(self, now):
        second = int(now + 0.37)
        self.counts[second] = self.counts.get(second, 0) + 1
        return self.counts[second] <= 50


class Sliding:
    """50 requests in any second."""

    def __init__(self):
        self.log = deque()

    def allow(self, now):
        while self.log and self.log[0] <= now - 1:
            self.log.popleft()
        if len(self.log) >= 50:
            return False
        self.log.append(now)
        return True


class Bucket:
    """50 requests a second, and 50 at once."""

    def __init__(self):
        self.tokens, self.at = 50.0, 0.0

    def allow(self, now):
        self.tokens, self.at = min(50.0, self.tokens + (now - self.at) * 50), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Process:
    """Calls of one client; each waits in the queue, is sent, and comes back after a 429."""

    def __init__(self, world, calls):
        self.world, self.waiting, self.sleeping = world, deque(range(calls)), False
        self.control = Throttle(world.now)

    def go_on(self):
        while self.waiting and not self.sleeping:
            seconds = self.control.take(self.world.now)
            if seconds:
                self.sleeping = True
                self.world.later(seconds + 0.001, self.wake)
                return
            self.world.later(self.world.chance.uniform(0.004, 0.006), self.arrive, self.waiting.popleft())

    def wake(self):
        self.sleeping = False
        self.go_on()

    def arrive(self, call):
        self.world.later(0.005, self.answered, call, self.world.limit.allow(self.world.now))

    def answered(self, call, allowed):
        if allowed:
            self.control.succeeded(self.world.now)
            self.world.done.append(self.world.now)
        else:
            self.world.refused += 1
            self.control.limited(self.world.now, 1.0)
            self.world.later(1 + self.world.chance.random(), self.back, call)
        self.go_on()

    def back(self, call):
        self.waiting.append(call)
        self.go_on()


class World:
    """Processes that share a limit of 50 requests a second, on a clock of their own."""

    def __init__(self, limit, processes, calls, seed):
        self.limit, self.chance = limit, random.Random(seed)
        self.now, self.coming, self.number, self.done, self.refused = 0.0, [], 0, [], 0
        self.processes = [Process(self, calls) for _ in range(processes)]

    def later(self, seconds, what, *arguments):
        self.number += 1
        heapq.heappush(self.coming, (self.now + seconds, self.number, what, arguments))

    def run(self):
        for process in self.processes:
            self.later(self.chance.uniform(0, 0.05), process.go_on)
        while self.coming:
            self.now, _, what, arguments = heapq.heappop(self.coming)
            what(*arguments)
        return self


@pytest.mark.parametrize("limit", [Fixed, Sliding, Bucket])
@pytest.mark.parametrize("seed", range(3))
def test_eight_processes_of_fifty_calls(limit, seed, monkeypatch):
    """All calls get through in 1.5 times the ideal 8 seconds, with few refusals."""
    monkeypatch.setattr(throttle, "random", random.Random(seed))
    world = World(limit(), 8, 50, seed).run()

    assert len(world.done) == 400
    assert world.now < 12
    assert world.refused < 120


@pytest.mark.parametrize("limit", [Fixed, Sliding, Bucket])
def test_fifty_processes_of_twenty_calls(limit, monkeypatch):
    """All calls get through long before their deadline of a minute, though each process may send one a second."""
    monkeypatch.setattr(throttle, "random", random.Random(1))
    world = World(limit(), 50, 20, 1).run()

    assert len(world.done) == 1000
    assert world.now < 30


@pytest.mark.parametrize("limit", [Fixed, Sliding, Bucket])
def test_one_process_of_many_calls(limit, monkeypatch):
    """A client alone finds the limit and stays near it."""
    monkeypatch.setattr(throttle, "random", random.Random(1))
    world = World(limit(), 1, 400, 1).run()

    assert (len(world.done), world.refused < 40) == (400, True)
    assert world.now < 14


# ── Waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_calls_wait_in_their_order():
    """Who came first starts first, and a cancelled call gives its place to the next."""
    queue, order = Queue(), []
    queue.throttle.limited(throttle.monotonic(), 0.02)

    async def call(number):
        await queue.wait(None)
        order.append(number)

    tasks = [asyncio.create_task(call(number)) for number in range(6)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert order == [1, 2, 4, 5]


async def test_a_pause_beyond_the_deadline_fails_at_once():
    """Who cannot wait for the end of the pause is told so, with the seconds that are left of it."""
    queue = Queue()
    queue.throttle.limited(throttle.monotonic(), 30)

    with pytest.raises(TooLateError) as raised:
        await queue.wait(throttle.monotonic() + 5)

    assert 29 < raised.value.seconds <= 31


async def test_a_place_too_far_back_fails_at_the_deadline():
    """Who waits behind others waits until its deadline and no longer."""
    queue = Queue()
    queue.throttle.limited(throttle.monotonic(), 30)
    first = asyncio.create_task(queue.wait(None))
    await asyncio.sleep(0)

    with pytest.raises(TooLateError):
        await queue.wait(throttle.monotonic() + 0.01)
    first.cancel()


async def test_a_slow_start_makes_no_call_fail():
    """A call of a new client that cannot wait for its turn starts before its deadline."""
    queue = Queue()
    deadline = throttle.monotonic() + 0.2

    await asyncio.gather(*(queue.wait(deadline) for _ in range(200)))

    assert queue.throttle.is_starting


async def test_a_429_reaches_those_that_wait_for_their_start():
    """Who waits in a slow start waits for the end of the pause if another call is refused."""
    queue, order = Queue(), []

    async def call(number):
        await queue.wait(throttle.monotonic() + 30)
        order.append(number)

    tasks = [asyncio.create_task(call(number)) for number in range(10)]
    await asyncio.sleep(0)
    queue.throttle.limited(throttle.monotonic(), 60)
    refused = await asyncio.gather(*tasks, return_exceptions=True)

    assert order == [0, 1, 2, 3, 4]
    assert [type(error) for error in refused[5:]] == [TooLateError] * 5


def test_each_key_has_its_own_queue():
    """What has the same key waits together; keys that were not used for long are forgotten."""
    queues = Queues()
    first = queues.of("a")
    assert queues.of("a") is first
    assert queues.of("b") is not first

    for number in range(2000):
        queues.of(number)
    assert queues.of("a") is not first
    assert len(queues._by_key) == 1000


def test_a_queue_serves_several_event_loops():
    """A client that is used under one loop after the other waits under each."""
    queue = Queue()
    for _ in range(2):
        queue.throttle.limited(throttle.monotonic(), 0.01)
        asyncio.run(asyncio.wait_for(queue.wait(None), 5))
