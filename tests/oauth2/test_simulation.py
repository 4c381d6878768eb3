"""Three replicas over one store, under schedules that a seed decides: killed, cancelled and duplicated deliveries.

`nox -s simulation` runs 100,000 of them. A failure prints its shortest schedule and a token; `DETANGLE_REPLAY=token`
runs that schedule again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import attrs
import pytest

from peaka_async import ConnectError, Connection, OutcomeUnknownError, PeakaError, RateLimitError, WireProgress
from peaka_async.oauth2 import ConnectFlow, ConnectRequest, MemoryStore, OwnRedirect, Settled, TryAgain
from peaka_async.oauth2 import _flow as flow_module
from peaka_async.oauth2 import _records as records

detangle = pytest.importorskip("detangle")

SCHEDULES = int(os.environ.get("PEAKA_SCHEDULES", "300"))
SEED = int(os.environ.get("PEAKA_SEED", "1"))
ALICE = "user-1"
CONSENT = "https://provider.example/?state=s"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process does not exist any more."""


@attrs.define(eq=False)
class World:
    """Peaka, and the store that the replicas share."""

    store: MemoryStore = attrs.field(factory=lambda: MemoryStore(clock=detangle.now))
    begun: int = 0
    posts: list[str] = attrs.field(factory=list)
    completed: bool = False
    told: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class Replica:
    """A process: all that it does to the world goes through here, and ends with it."""

    world: World
    alive: bool = True
    tasks: list[asyncio.Task] = attrs.field(factory=list)
    flow: ConnectFlow = attrs.field(init=False)

    def __attrs_post_init__(self):
        connections = SimpleNamespace(create=self.create, oauth2_callback=self.post, get=self.look, delete=self.delete)
        self.flow = ConnectFlow(
            SimpleNamespace(connections=connections), store=Remote(self), on_connected=self.save, wait_seconds=60
        )

    async def step(self):
        """A moment in which anything can happen elsewhere, and this process can end."""
        await asyncio.sleep(detangle.choice([0, 0.01, 0.3]))
        if not self.alive:
            raise Killed

    async def create(self, *_):
        self.world.begun += 1
        return Connection(id="c1", name="crm", type="hubspot", url=f"{CONSENT}{self.world.begun}")

    async def post(self, _, callback):
        await self.step()
        fate = detangle.choice(["done", "done", "lost answer", "lost request", "not sent", "429"])
        if fate == "not sent":
            raise ConnectError("refused", progress=WireProgress.NOT_SENT)
        if fate == "429":
            raise RateLimitError("slowly", status=429)
        self.world.posts.append(callback.query_parameters)
        await asyncio.sleep(detangle.choice([0, 0.1, 6.0]))
        if fate == "lost request":
            raise OutcomeUnknownError("no answer")
        self.world.completed = True
        await self.step()
        if fate == "lost answer":
            raise OutcomeUnknownError("no answer")
        return Connection(id="c1", name="crm", type="hubspot")

    async def look(self, *_):
        await self.step()
        url = None if self.world.completed else CONSENT
        return Connection(id="c1", name="crm", type="hubspot", url=url)

    async def delete(self, *_):
        await self.step()

    async def save(self, _, connection):
        await self.step()
        if detangle.flip(0.1):
            raise RuntimeError("the database is away")
        self.world.told.append(connection.id)

    def kill(self):
        self.alive = False
        for task in [*self.tasks, *self.flow._running]:
            task.cancel()


@attrs.define(eq=False)
class Remote:
    """The store as a process reaches it: slow, and some answers get lost."""

    replica: Replica

    @property
    def encrypted(self):
        return True

    def __getattr__(self, name):
        async def call(*arguments, **options):
            await self.replica.step()
            answer = await getattr(self.replica.world.store, name)(*arguments, **options)
            await self.replica.step()
            if detangle.flip(0.02):
                raise ConnectionError("the answer was lost")
            return answer

        return call


async def delivered(replica, pending, query, how):
    """One delivery, whatever comes of it."""
    with contextlib.suppress(PeakaError, ConnectionError, Killed, asyncio.CancelledError):
        if how == "complete":
            await replica.flow.complete(query, user_ref=ALICE)
        elif how == "settle":
            await replica.flow.settle(query, user_ref=ALICE)
        elif how == "accept":
            await replica.flow.accept(query, user_ref=ALICE)
            await replica.step()
            await replica.flow.settle(pending.id)
        else:
            await replica.flow.resolve(pending, max_told=2)


def request():
    via = OwnRedirect("app", "s3cret", "https://app.example/connect/return")
    return ConnectRequest(project_id="p1", connector="hubspot", name="crm", via=via)


async def scenario():
    """A flow that is begun once, and whose return is delivered by all means at all times."""
    world = World()
    replicas = [Replica(world) for _ in range(3)]
    flow_module.now = records.now = lambda: EPOCH + timedelta(seconds=detangle.now())
    pending = None
    while pending is None:
        with contextlib.suppress(ConnectionError):
            pending = await replicas[0].flow.start(request(), user_ref=ALICE)
    query = f"code=c1&state={pending.state}"
    for _ in range(detangle.randint(1, 5)):
        replica = detangle.choice(replicas)
        how = detangle.choice(["complete", "complete", "settle", "accept", "resolve"])
        task = asyncio.create_task(delivered(replica, pending, query, how))
        replica.tasks.append(task)
        if detangle.flip(0.3):
            detangle.inject_cancellation(task)
        await asyncio.sleep(detangle.choice([0, 0.02, 0.5]))
        if detangle.flip(0.2) and replica is not replicas[2]:
            replica.kill()
    await asyncio.gather(*(task for each in replicas for task in each.tasks), return_exceptions=True)
    await settled(world, replicas[2], pending, query)
    for each in replicas:
        while each.flow._running:
            await asyncio.wait(each.flow._running)


async def settled(world, replica, pending, query):
    """The last delivery, by the flow's user, until there is nothing left to do."""
    outcome = None
    for _ in range(60):
        with contextlib.suppress(ConnectionError):
            outcome = await replica.flow.settle(query, user_ref=ALICE)
            if isinstance(outcome, TryAgain) and outcome.error.args[0].endswith("not posted yet."):
                outcome = await replica.flow.settle(pending.id)
        if outcome is not None and not isinstance(outcome, TryAgain):
            break
        await asyncio.sleep(5)
    assert len(world.posts) <= 1, f"the code was posted {len(world.posts)} times"
    assert outcome is not None, "the flow was lost"
    assert not isinstance(outcome, TryAgain), f"the flow did not end: {outcome}"
    assert isinstance(outcome, Settled) is world.completed, f"completed: {world.completed}, told: {outcome}"
    assert bool(world.told) is world.completed, f"completed: {world.completed}, saved {len(world.told)} times"


@pytest.fixture
def _restore_clocks():
    kept = flow_module.now, records.now
    yield
    flow_module.now, records.now = kept


@pytest.mark.usefixtures("_restore_clocks")
def test_no_schedule_posts_a_code_twice_or_loses_a_flow():
    """The code goes out at most once, and a later delivery by its user gets the outcome."""
    stats = detangle.explore(
        scenario, runs=SCHEDULES, seed=SEED, timer_jitter=0.02, fail_on_unobserved=False, fail_on_callback_error=False
    )

    assert stats.runs == SCHEDULES


class Careless(MemoryStore):
    """A store that lets everybody change a record."""

    async def swap(self, flow_id, old, new, *, seconds):
        return await super().swap(flow_id, await self.get(flow_id), new, seconds=seconds)


@pytest.mark.usefixtures("_restore_clocks")
def test_the_simulation_finds_a_careless_store(monkeypatch):
    """Without the atomic change a code is posted twice, and the schedule that does it is found."""
    monkeypatch.setitem(globals(), "MemoryStore", Careless)
    with pytest.raises(detangle.BugFound, match="times"):
        detangle.explore(scenario, runs=2000, seed=SEED, fail_on_unobserved=False, fail_on_callback_error=False)
