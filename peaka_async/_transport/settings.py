"""The settings of calls, and the objects that a client and its views share."""

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

# Seconds that a call may take in addition to the time that the server may spend, for the answer's way.
_SERVER_TIMEOUT_MARGIN = 10.0


@final
@attrs.frozen
class Timeouts:
    """The time limits of a call, in seconds; None sets no limit.

    Attributes:
        total: the limit of the whole call: the wait for a connection, all attempts, and the waits between them.
        attempt: the limit of one attempt, from its connection to the end of its answer.
        connect: the limit for making a connection (DNS, TCP, TLS).
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
        """The limits for an argument `timeout`.

        Raises:
            ConfigurationError: the argument is not `Timeouts` and not a number of seconds above 0.
        """
        if timeout is None or isinstance(timeout, Timeouts):
            return timeout or cls()
        if not _is_number(timeout):
            msg = f"timeout must be a number of seconds or Timeouts(…), not {type(timeout).__name__}. Nothing was sent."
            raise ConfigurationError(msg)
        return cls(total=timeout, attempt=timeout)

    def widened(self, server_timeout: float) -> Timeouts:
        """The limits, raised above the time that the server may spend."""
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
    """The settings of calls; `with_options` makes a changed copy."""

    credential: KeySource = attrs.field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    max_response_bytes: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    project_id: str | None = None


@final
@attrs.frozen(kw_only=True, eq=False)
class Shared:
    """The objects that a client and its views share."""

    origin: str
    prefix: str
    pools: Pools
    telemetry: Telemetry
    budget: RetryBudget = attrs.field(factory=RetryBudget)
    voice: Voice = attrs.field(factory=Voice)
    queues: Queues = attrs.field(factory=Queues)
    limiter: Limiter | None = None
    throttle_key: Callable[[], Hashable] | None = None
