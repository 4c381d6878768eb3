"""Many calls at once on few connections: in turn, within limits, and without a trace when they are cancelled."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from peaka_async import Connection, Oauth2Callback, PeakaClient, PeakaTimeoutError, RetryPolicy, Timeouts

BODY = b'{"id":"6243f42a","name":"n","type":"t"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
CALLBACK = Oauth2Callback("code=1&state=2")


class Counter:
    """What a server saw of many connections."""

    def __init__(self, delay):
        self.delay = delay
        self.open = self.most_open = self.busy = self.most_busy = self.requests = 0

    def protocol(self):
        return CountedConnection(self)


class CountedConnection(asyncio.Protocol):
    def __init__(self, counter):
        self.counter = counter
        self.data = b""
        self.answering = None

    def connection_made(self, transport):
        self.transport = transport
        self.counter.open += 1
        self.counter.most_open = max(self.counter.most_open, self.counter.open)

    def connection_lost(self, exc):
        self.counter.open -= 1
        if self.answering is not None:
            self.answering.cancel()
            self.counter.busy -= 1

    def data_received(self, data):
        self.data += data
        if self.data.endswith(b"}"):
            self.data = b""
            self.counter.requests += 1
            self.counter.busy += 1
            self.counter.most_busy = max(self.counter.most_busy, self.counter.busy)
            self.answering = asyncio.get_running_loop().call_later(self.counter.delay, self.answer)

    def answer(self):
        self.answering = None
        self.counter.busy -= 1
        self.transport.write(ANSWER)


@pytest.fixture
async def serve():
    servers = []

    async def serve(delay=0.0):
        counter = Counter(delay)
        server = await asyncio.get_running_loop().create_server(counter.protocol, "127.0.0.1", 0, backlog=1000)
        servers.append(server)
        counter.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
        return counter

    yield serve
    for server in servers:
        server.close()


def client(counter, connections, **options):
    options.setdefault("timeout", Timeouts(total=60, attempt=20))
    return PeakaClient("key", base_url=counter.base_url, max_connections=connections, **options)


async def call(peaka):
    return await peaka.connections.oauth2_callback("p", CALLBACK)


async def test_ten_thousand_calls_on_a_hundred_connections(serve):
    """All succeed, and the limit holds; that none waits for ever is the next test's."""
    counter = await serve()
    finished = []

    async def numbered(peaka, number):
        await call(peaka)
        finished.append(number)

    async with client(counter, 100) as peaka:
        await asyncio.gather(*(numbered(peaka, number) for number in range(10_000)))

    assert sorted(finished) == list(range(10_000))
    assert counter.most_open <= 100
    assert counter.requests == 10_000


async def test_no_caller_starves_another(serve):
    """Callers that come back at once do not overtake those that wait."""
    counter = await serve(0.001)
    done = [0] * 100
    stop = asyncio.Event()

    async def greedy(peaka, number):
        while not stop.is_set():
            await call(peaka)
            done[number] += 1

    async with client(counter, 10) as peaka:
        tasks = [asyncio.create_task(greedy(peaka, number)) for number in range(100)]
        while sum(done) < 3000:
            await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*tasks)

    assert min(done) > 0.5 * sum(done) / len(done)


async def test_the_limit_of_connections_holds(serve):
    """However many calls there are, the server has no more at a time than it was promised."""
    counter = await serve(0.002)
    async with client(counter, 5) as peaka:
        await asyncio.gather(*(call(peaka) for _ in range(500)))

    assert (counter.most_open, counter.most_busy, counter.requests) == (5, 5, 500)


async def test_cancelling_half_of_them_leaks_nothing(serve):
    """Those that are left succeed, and the connections of the others are there for the next."""
    counter = await serve(0.005)
    before = set(asyncio.all_tasks())
    chance = random.Random(1)
    async with client(counter, 50) as peaka:
        tasks = [asyncio.create_task(call(peaka)) for _ in range(2000)]
        cancelled = set(chance.sample(tasks, 1000))
        for task in sorted(cancelled, key=tasks.index):
            task.cancel()
            if chance.random() < 0.05:
                await asyncio.sleep(0.002)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [outcome for task, outcome in zip(tasks, outcomes, strict=True) if task not in cancelled]
        again = await asyncio.gather(*(call(peaka) for _ in range(200)))
        pool = peaka._transport.shared.pools.get(asyncio.get_running_loop())
        limits = len(pool.deadlines._limits)
        direct = pool._lanes._direct
        busy = direct.connections - len(direct._idle)
    for _ in range(100):
        if counter.open == 0:
            break
        await asyncio.sleep(0.01)
    gc.collect()

    assert {type(outcome) for outcome in kept} == {Connection}
    assert len(again) == 200
    assert (limits, busy, counter.open) == (0, 0, 0)
    # The server may accept a connection before it hears that the one in whose place it comes was closed.
    assert counter.most_open <= 2 * 50
    assert asyncio.all_tasks() == before


async def test_a_full_pool_fails_in_time_and_recovers(serve):
    """Calls that find no connection before their deadline say that nothing was sent; the pool goes on."""
    counter = await serve(0.05)
    options = {"timeout": Timeouts(total=0.2, attempt=None), "retry": RetryPolicy(attempts=1)}
    async with client(counter, 2, **options) as peaka:
        outcomes = await asyncio.gather(*(call(peaka) for _ in range(100)), return_exceptions=True)
        later = await call(peaka)

    failed = [outcome for outcome in outcomes if isinstance(outcome, PeakaTimeoutError)]
    assert {error.phase for error in failed} <= {"pool", "connect", "response"}
    assert sum(error.phase == "pool" for error in failed) > 80
    assert counter.requests <= 100 - sum(error.phase == "pool" for error in failed) + 1
    assert later.id == "6243f42a"
