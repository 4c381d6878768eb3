"""A store for pending flows in Redis, for several replicas."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, cast, final

from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from redis.asyncio import Redis

__all__ = ["RedisStore"]

# A stored value begins with the digest of its record. The script compares digests, because encryption gives a different
# text each time. ARGV: the digest of the old record or "", that of the new record, the new value, milliseconds.
_SWAP = """
local kept = redis.call('GET', KEYS[1])
local found = kept and string.sub(kept, 1, 64) or ''
if found ~= ARGV[1] and found ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
"""
_DIGEST_CHARS = 64

# ARGV: at, the flow's id, milliseconds, the earliest time that is kept.
_ADD = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
"""


@final
class RedisStore:
    """Keeps flows in a Redis that all replicas of the service share (extra `redis`; Redis 6.2 or later).

    Without `encryption_keys` the stored data holds no secrets: no code, state or credential. It holds the application's
    `remember` data, and the ids and names of connections. With keys this data is encrypted, and changes to it are
    detected.

    Args:
        redis: the client. You close it. Use a `redis.asyncio.BlockingConnectionPool`: if all connections are in use,
            the default pool raises an error, and this one waits.
        prefix: the prefix of the keys.
        encryption_keys: keys from `cryptography.fernet.Fernet.generate_key()`. The first one encrypts, and all of them
            decrypt, so that keys can be changed.
        replicas: how many of Redis' own replicas must confirm a change. If Redis fails over to a replica without the
            latest changes, a second caller could get a code. With 1 this cannot happen, and a claim fails while no
            replica is connected.

    Raises:
        ConfigurationError: a key is not a Fernet key, `replicas` is negative, or the package cryptography is missing.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str = "peaka:connect:",
        encryption_keys: Sequence[str | bytes] = (),
        replicas: int = 0,
    ) -> None:
        if replicas < 0:
            msg = "replicas must be 0 or more."
            raise ConfigurationError(msg)
        self._redis = redis
        self._prefix = prefix
        self._cipher = _cipher(encryption_keys) if encryption_keys else None
        self._replicas = replicas

    @property
    def encrypted(self) -> bool:
        """Whether there are encryption keys."""
        return self._cipher is not None

    async def get(self, flow_id: str) -> bytes | None:
        """Return the record, or None if it is missing, expired, or not encrypted with one of the keys."""
        kept = await self._redis.get(self._key("flow", flow_id))
        if kept is None:
            return None
        if isinstance(kept, str):  # from a client that decodes its answers
            kept = kept.encode()
        opened = self._opened(bytes(kept)[_DIGEST_CHARS:])
        owner, _, record = opened.partition(b" ")
        return record if owner == flow_id.encode() else None

    async def swap(self, flow_id: str, old: bytes | None, new: bytes, *, seconds: float) -> bool:
        """Store `new` for this many seconds if the record is `old`, on enough replicas.

        Raises:
            ConnectionError: too few of Redis' replicas have the change.
        """
        # The id is encrypted too, so a record that was moved to another flow's key is not accepted.
        sealed = flow_id.encode() + b" " + new
        if self._cipher is not None:
            sealed = self._cipher.encrypt(sealed)
        digest = _digest(new)
        arguments = ("" if old is None else _digest(old), digest, digest.encode() + sealed, _milliseconds(seconds))
        if not self._replicas:
            return await self._swapped(self._redis, flow_id, arguments)
        # WAIT counts the writes of its own connection.
        async with self._redis.client() as connection:
            kept = await self._swapped(connection, flow_id, arguments)
            if kept:
                await self._replicated(connection)
            return kept

    async def add(self, index: str, flow_id: str, *, at: float, seconds: float) -> None:
        """Add a flow to a list that is ordered by `at`, and drop entries that are this many seconds older."""
        arguments = (repr(at), flow_id, _milliseconds(seconds), repr(at - seconds))
        await cast("Awaitable[None]", self._redis.eval(_ADD, 1, self._key("list", index), *arguments))

    async def find(self, index: str, *, until: float, limit: int) -> list[str]:
        """Return the first flows of a list whose `at` is not after `until`."""
        key = self._key("list", index)
        found = await self._redis.zrange(key, "-inf", repr(until), byscore=True, offset=0, num=limit)
        return [each.decode() if isinstance(each, bytes) else str(each) for each in found]

    async def discard(self, index: str, flow_id: str) -> None:
        """Remove a flow from a list."""
        await self._redis.zrem(self._key("list", index), flow_id)

    async def _swapped(self, redis: Redis, flow_id: str, arguments: tuple[str, str, bytes, int]) -> bool:
        answer = redis.eval(_SWAP, 1, self._key("flow", flow_id), *arguments)
        return bool(await cast("Awaitable[int]", answer))

    async def _replicated(self, connection: Redis) -> None:
        if await connection.wait(self._replicas, _REPLICATION_MILLISECONDS) < self._replicas:
            msg = f"Fewer than {self._replicas} replicas of Redis have the change."
            raise ConnectionError(msg)

    def _opened(self, sealed: bytes) -> bytes:
        if self._cipher is None:
            return sealed
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - optional

        try:
            return self._cipher.decrypt(sealed)
        except InvalidToken:
            return b""

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    def __repr__(self) -> str:
        return f"<RedisStore {self._prefix}*{' encrypted' if self._cipher else ''}>"


_REPLICATION_MILLISECONDS = 2000


def _digest(record: bytes) -> str:
    return hashlib.sha256(record).hexdigest()


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _cipher(keys: Sequence[str | bytes]) -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - optional
    except ImportError as error:
        msg = "Encryption needs the package cryptography: install peaka-async[redis]."
        raise ConfigurationError(msg) from error
    given = [keys] if isinstance(keys, str | bytes) else keys
    try:
        return MultiFernet([Fernet(key) for key in given])
    except (ValueError, TypeError):
        msg = "encryption_keys must be keys of cryptography.fernet.Fernet.generate_key()."
    # Outside of the handler: the original error can show the key.
    raise ConfigurationError(msg)
