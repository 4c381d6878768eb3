"""Pending flows on Redis, for several replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from redis.asyncio import Redis

__all__ = ["RedisStore"]


@final
class RedisStore:
    """Keeps flows on a Redis that all replicas share (extra `redis`; Redis 6.2 or later).

    What is kept holds no secret: neither code, state nor credential. It holds what the application remembers, and the
    connections' ids and names: with `encryption_keys` these are encrypted too, and cannot be changed unnoticed.

    Args:
        redis: the client; it stays yours. Give it a `redis.asyncio.BlockingConnectionPool`: the usual pool fails calls
            above its number of connections, where that one lets them wait.
        prefix: how the keys begin.
        encryption_keys: keys of `cryptography.fernet.Fernet.generate_key()`; the first one encrypts, all of them
            decrypt, so that keys can be changed.

    Raises:
        ConfigurationError: a key is none of Fernet's, or the package cryptography is missing.
    """

    def __init__(
        self, redis: Redis, *, prefix: str = "peaka:connect:", encryption_keys: Sequence[str | bytes] = ()
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._cipher = _cipher(encryption_keys) if encryption_keys else None

    async def put(self, flow_id: str, record: bytes, *, seconds: float) -> None:
        """Keep a record for that long."""
        # The id is sealed in: a record that somebody moved to another flow's place is none.
        sealed = flow_id.encode() + b" " + record
        if self._cipher is not None:
            sealed = self._cipher.encrypt(sealed)
        await self._redis.set(self._key("flow", flow_id), sealed, px=_milliseconds(seconds))

    async def get(self, flow_id: str) -> bytes | None:
        """The record; None where there is none, none any more, or none that was sealed with a key of ours."""
        sealed = await self._redis.get(self._key("flow", flow_id))
        if sealed is None:
            return None
        if isinstance(sealed, str):  # from a client that decodes its answers
            sealed = sealed.encode()
        opened = self._opened(bytes(sealed))
        owner, _, record = opened.partition(b" ")
        return record if owner == flow_id.encode() else None

    async def offer(self, flow_id: str, *, seconds: float) -> None:
        """Let the flow be taken, once, for that long."""
        await self._redis.set(self._key("turn", flow_id), b"1", px=_milliseconds(seconds))

    async def take(self, flow_id: str) -> bool:
        """Take the flow: True for one caller of all, on any replica."""
        # Atomic. Where the answer is lost and the client asks again, nobody has it: that is the safe side.
        return await self._redis.getdel(self._key("turn", flow_id)) is not None

    def _opened(self, sealed: bytes) -> bytes:
        if self._cipher is None:
            return sealed
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - optional

        try:
            return self._cipher.decrypt(sealed)
        except InvalidToken:
            return b""

    def _key(self, kind: str, flow_id: str) -> str:
        return f"{self._prefix}{kind}:{flow_id}"

    def __repr__(self) -> str:
        return f"<RedisStore {self._prefix}*{' encrypted' if self._cipher else ''}>"


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
