"""The contract of stores, and what is particular to each."""

from __future__ import annotations

import asyncio

import pytest

from peaka_async import ConfigurationError
from peaka_async.oauth2 import MemoryStore, RedisStore, TooManyFlowsError


async def test_a_record_is_kept_for_its_time(store):
    """And replaced by the next."""
    first = await store.swap("a", None, b"one", seconds=60)
    second = await store.swap("a", b"one", b"two", seconds=60)
    await store.swap("b", None, b"three", seconds=0.3)
    before = await store.get("b")
    while await store.get("b") is not None:
        await asyncio.sleep(0.05)

    assert (first, second, before, await store.get("a"), await store.get("c")) == (True, True, b"three", b"two", None)
    assert await store.swap("b", None, b"four", seconds=60) is True


async def test_a_record_is_changed_by_one_caller(store):
    """Of fifty that saw the same record one changes it; who repeats its change is told that it took place."""
    await store.swap("a", None, b"one", seconds=60)
    changed = await asyncio.gather(*(store.swap("a", b"one", b"by %d" % n, seconds=60) for n in range(50)))
    winner = b"by %d" % changed.index(True)

    assert (sum(changed), await store.get("a")) == (1, winner)
    assert await store.swap("a", b"one", winner, seconds=60) is True
    assert await store.swap("a", b"one", b"late", seconds=60) is False
    assert await store.swap("a", None, b"late", seconds=60) is False
    assert await store.swap("b", b"one", b"late", seconds=60) is False
    assert (await store.get("a"), await store.get("b")) == (winner, None)


async def test_a_list_is_in_order(store):
    """By time and not by arrival; up to a time, and no more than asked for."""
    for flow_id, at in (("late", 30.5), ("early", 10.25), ("middle", 20.0), ("early", 11.0)):
        await store.add("mine", flow_id, at=at, seconds=1000)
    await store.add("other", "else", at=1, seconds=1000)
    everything = await store.find("mine", until=float("inf"), limit=10)
    some = [await store.find("mine", until=20.0, limit=10), await store.find("mine", until=100, limit=1)]
    await store.discard("mine", "early")
    await store.discard("mine", "unknown")

    assert (everything, some) == (["early", "middle", "late"], [["early", "middle"], ["early"]])
    assert await store.find("mine", until=100, limit=10) == ["middle", "late"]
    assert await store.find("nothing", until=100, limit=10) == []


async def test_a_list_drops_what_is_old(store):
    """It does not grow although nobody takes anything out."""
    for at in range(20):
        await store.add("mine", f"flow {at}", at=at, seconds=5)

    assert await store.find("mine", until=100, limit=100) == [f"flow {at}" for at in range(15, 20)]


async def test_memory_is_bounded():
    """Expired flows make room, and nobody else's do: a full store takes no new ones."""
    now = 0.0
    store = MemoryStore(max_flows=3, clock=lambda: now)
    for number, seconds in enumerate([10, 1, 10]):
        await store.add("all", str(number), at=number, seconds=5)
        await store.swap(str(number), None, b"x", seconds=seconds)
    with pytest.raises(TooManyFlowsError):
        await store.swap("3", None, b"x", seconds=10)
    with pytest.raises(TooManyFlowsError):
        await store.add("all", "3", at=3, seconds=10)
    assert await store.swap("2", b"x", b"y", seconds=10) is True
    await store.add("all", "2", at=2, seconds=5)
    now = 2.0
    assert await store.swap("3", None, b"x", seconds=10) is True
    now = 20.0
    await store.add("new", "4", at=4, seconds=10)
    await store.swap("4", None, b"x", seconds=10)
    await store.swap("5", None, b"x", seconds=10)
    await store.swap("6", None, b"x", seconds=10)

    assert [await store.get(str(number)) is not None for number in range(7)] == [False] * 4 + [True] * 3
    assert (len(store), repr(store)) == (3, "<MemoryStore with 3 of at most 3 flows>")
    assert await store.find("all", until=100, limit=10) == []


async def test_memory_forgets_lists():
    """With the flows that were in them."""
    now = 0.0
    store = MemoryStore(max_flows=1, clock=lambda: now)
    await store.add("mine", "a", at=1, seconds=5)
    await store.add("emptied", "a", at=1, seconds=5)
    await store.discard("emptied", "a")
    await store.swap("a", None, b"x", seconds=1)
    now = 6.0
    await store.swap("b", None, b"x", seconds=1)

    assert store._indexes == {}


@pytest.mark.parametrize("made", [lambda: MemoryStore(max_flows=0), lambda: RedisStore(None, replicas=-1)])
def test_what_a_store_cannot_be(made):
    """Said at once."""
    with pytest.raises(ConfigurationError):
        made()


async def test_redis_keeps_nothing_for_ever(make_redis):
    """Every key has its end."""
    redis = make_redis()
    store = RedisStore(redis, prefix="mine:")
    await store.swap("a", None, b"one", seconds=60)
    await store.add("b", "a", at=1, seconds=60)
    await store.add("b", "c", at=1, seconds=1)

    assert sorted(await redis.keys()) == [b"mine:flow:a", b"mine:list:b"]
    assert all([30_000 < await redis.pttl(key) <= 60_000 for key in await redis.keys()])


@pytest.mark.parametrize("decode_responses", [False, True])
async def test_redis_with_either_kind_of_client(make_redis, decode_responses):
    """A client that decodes its answers will do."""
    store = RedisStore(make_redis(decode_responses=decode_responses))
    await store.swap("a", None, '{"ü": 1}'.encode(), seconds=60)
    await store.add("b", "a", at=1, seconds=60)

    assert await store.get("a") == '{"ü": 1}'.encode()
    assert await store.swap("a", '{"ü": 1}'.encode(), b"2", seconds=60) is True
    assert await store.find("b", until=2, limit=1) == ["a"]


async def test_redis_encrypts(make_redis):
    """With keys nothing of a record is readable, keys can be changed, and a foreign record is none."""
    fernet = pytest.importorskip("cryptography.fernet").Fernet
    old, new = fernet.generate_key(), fernet.generate_key().decode()
    redis = make_redis()
    await RedisStore(redis, encryption_keys=[old]).swap("a", None, b"tenant-7", seconds=60)
    raw = await redis.get("peaka:connect:flow:a")

    assert b"tenant-7" not in raw
    assert await RedisStore(redis, encryption_keys=[new, old]).get("a") == b"tenant-7"
    assert await RedisStore(redis, encryption_keys=[new]).get("a") is None
    assert await RedisStore(redis, encryption_keys=[new, old]).swap("a", b"tenant-7", b"2", seconds=60) is True
    assert await RedisStore(redis, encryption_keys=[new]).get("a") == b"2"
    assert (RedisStore(redis).encrypted, RedisStore(redis, encryption_keys=[new]).encrypted) == (False, True)
    assert (MemoryStore().encrypted, repr(RedisStore(redis, encryption_keys=[new]))) == (
        False,
        "<RedisStore peaka:connect:* encrypted>",
    )


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_record_in_another_place_is_none(make_redis, encrypted):
    """Who can write to Redis cannot give one flow's record to another."""
    fernet = pytest.importorskip("cryptography.fernet").Fernet
    redis = make_redis()
    store = RedisStore(redis, encryption_keys=[fernet.generate_key()] if encrypted else [])
    await store.swap("a", None, b"one", seconds=60)
    await redis.set("peaka:connect:flow:b", await redis.get("peaka:connect:flow:a"))

    assert (await store.get("a"), await store.get("b")) == (b"one", None)


def test_a_wrong_key_is_not_shown():
    """The error does not repeat it."""
    pytest.importorskip("cryptography")
    with pytest.raises(ConfigurationError) as raised:
        RedisStore(None, encryption_keys=["s3cret-but-no-key"])

    assert "s3cret" not in f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"
