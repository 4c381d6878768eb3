"""How calls are made, and what a client and its views share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import final

import attrs

from peaka_async._transport.credential import KeySource
from peaka_async._transport.logs import Voice
from peaka_async._transport.pool import Pools
from peaka_async._transport.retry import RetryBudget, RetryPolicy
from peaka_async._transport.throttle import Limiter, Queues
from peaka_async._transport.tracing import Telemetry
from peaka_async.errors import ConfigurationError

# How much longer than the time that the server was asked to spend a call may take: its answer has to travel.
_SERVER_TIMEOUT_MARGIN = 10.0


@final
@attrs.frozen
class Timeouts:
    """How long a call may take, in seconds; None sets no limit.

    Attributes:
        total: the whole call: waiting for a connection, all attempts, reading the answers, the waits between.
        attempt: one attempt, from its connection to the end of its answer.
        connect: making a connection (DNS, TCP, TLS).
    """

    total: float | None = 60.0
    attempt: float | None = 30.0
    connect: float | None = 10.0

    def __attrs_post_init__(self) -> None:
        for name in ("total", "attempt", "connect"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                msg = f"Timeouts: {name} must be more than 0 seconds, or None for no limit."
                raise ConfigurationError(msg)

    @classmethod
    def of(cls, timeout: float | Timeouts | None) -> Timeouts:
        """The limits that an argument named `timeout` means.

        Raises:
            ConfigurationError: it is neither `Timeouts` nor a number of seconds above 0.
        """
        if timeout is None or isinstance(timeout, Timeouts):
            return timeout or cls()
        if not _is_number(timeout):
            msg = f"timeout must be a number of seconds or Timeouts(…), not {type(timeout).__name__}. Nothing was sent."
            raise ConfigurationError(msg)
        return cls(total=timeout, attempt=timeout)

    def widened(self, server_timeout: float) -> Timeouts:
        """The limits that let the server spend the time that it was asked to spend."""
        needed = server_timeout + _SERVER_TIMEOUT_MARGIN
        return attrs.evolve(
            self,
            total=None if self.total is None else max(self.total, needed),
            attempt=None if self.attempt is None else max(self.attempt, needed),
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@final
@attrs.frozen(kw_only=True)
class Settings:
    """How calls are made; `with_options` makes another of it."""

    credential: KeySource = attrs.field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    max_response_bytes: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    project_id: str | None = None


@final
@attrs.frozen(kw_only=True, eq=False)
class Shared:
    """What a client and its views have in common."""

    origin: str
    prefix: str
    pools: Pools
    telemetry: Telemetry
    budget: RetryBudget = attrs.field(factory=RetryBudget)
    voice: Voice = attrs.field(factory=Voice)
    queues: Queues = attrs.field(factory=Queues)
    limiter: Limiter | None = None
    throttle_key: Callable[[], Hashable] | None = None
