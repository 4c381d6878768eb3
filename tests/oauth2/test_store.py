"""The contract of stores, and what is particular to each."""

from __future__ import annotations

import asyncio

import pytest

from peaka_async import ConfigurationError
from peaka_async.oauth2 import MemoryStore, RedisStore


async def test_a_record_is_kept_for_its_time(store):
    """And replaced by the next."""
    await store.put("a", b"one", seconds=60)
    await store.put("a", b"two", seconds=60)
    await store.put("b", b"three", seconds=0.05)
    before = await store.get("b")
    await asyncio.sleep(0.1)

    assert (before, await store.get("a"), await store.get("b"), await store.get("c")) == (b"three", b"two", None, None)


async def test_a_turn_is_taken_once(store):
    """By one of fifty at the same moment, and again only once it was offered again."""
    await store.put("a", b"one", seconds=60)
    nobody = await store.take("a")
    await store.offer("a", seconds=60)
    taken = await asyncio.gather(*(store.take("a") for _ in range(50)))
    await store.offer("a", seconds=60)

    assert (nobody, sorted(taken), await store.take("a")) == (False, [False] * 49 + [True], True)


async def test_a_turn_expires(store):
    """Nothing waits for ever."""
    await store.put("a", b"one", seconds=60)
    await store.offer("a", seconds=0.05)
    await asyncio.sleep(0.1)

    assert await store.take("a") is False


async def test_memory_is_bounded():
    """Expired flows make room first, then the oldest; with them goes their turn."""
    now = 0.0
    store = MemoryStore(max_flows=3, clock=lambda: now)
    for number, seconds in enumerate([10, 1, 10]):
        await store.put(str(number), b"x", seconds=seconds)
        await store.offer(str(number), seconds=seconds)
    now = 2.0
    await store.put("3", b"x", seconds=10)
    after_expiry = [await store.get(str(number)) is not None for number in range(4)]
    await store.put("4", b"x", seconds=10)

    assert after_expiry == [True, False, True, True]
    assert [await store.get(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    assert (len(store), await store.take("0"), await store.take("2")) == (3, False, True)


async def test_memory_offers_only_what_it_keeps():
    """So that turns are bounded too."""
    store = MemoryStore()
    await store.offer("a", seconds=60)

    assert await store.take("a") is False


async def test_redis_keeps_nothing_for_ever(make_redis):
    """Every key has its end."""
    redis = make_redis()
    store = RedisStore(redis, prefix="mine:")
    await store.put("a", b"one", seconds=60)
    await store.offer("a", seconds=60)

    assert sorted(await redis.keys()) == [b"mine:flow:a", b"mine:turn:a"]
    assert all([0 < await redis.pttl(key) <= 60_000 for key in await redis.keys()])


@pytest.mark.parametrize("decode_responses", [False, True])
async def test_redis_with_either_kind_of_client(make_redis, decode_responses):
    """A client that decodes its answers will do."""
    store = RedisStore(make_redis(decode_responses=decode_responses))
    await store.put("a", '{"ü": 1}'.encode(), seconds=60)

    assert await store.get("a") == '{"ü": 1}'.encode()


async def test_redis_encrypts(make_redis):
    """With keys nothing of a record is readable, keys can be changed, and a foreign record is none."""
    fernet = pytest.importorskip("cryptography.fernet").Fernet
    old, new = fernet.generate_key(), fernet.generate_key().decode()
    redis = make_redis()
    await RedisStore(redis, encryption_keys=[old]).put("a", b"tenant-7", seconds=60)
    raw = await redis.get("peaka:connect:flow:a")

    assert b"tenant-7" not in raw
    assert await RedisStore(redis, encryption_keys=[new, old]).get("a") == b"tenant-7"
    assert await RedisStore(redis, encryption_keys=[new]).get("a") is None


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_record_in_another_place_is_none(make_redis, encrypted):
    """Who can write to Redis cannot give one flow's record to another."""
    fernet = pytest.importorskip("cryptography.fernet").Fernet
    redis = make_redis()
    store = RedisStore(redis, encryption_keys=[fernet.generate_key()] if encrypted else [])
    await store.put("a", b"one", seconds=60)
    await redis.set("peaka:connect:flow:b", await redis.get("peaka:connect:flow:a"))

    assert (await store.get("a"), await store.get("b")) == (b"one", None)


def test_a_wrong_key_is_not_shown():
    """The error does not repeat it."""
    pytest.importorskip("cryptography")
    with pytest.raises(ConfigurationError) as raised:
        RedisStore(None, encryption_keys=["s3cret-but-no-key"])

    assert "s3cret" not in f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"
