"""The results of `ConnectFlow.settle`, which say whether a job must run again."""

from __future__ import annotations

from typing import final

import attrs

from peaka_async.errors import PeakaError
from peaka_async.models.connections import Connection

__all__ = ["GiveUp", "Settled", "Settlement", "TryAgain"]


@final
@attrs.frozen
class Settled:
    """The connection is made and saved; the job is done."""

    connection: Connection


@final
@attrs.frozen
class TryAgain:
    """Nothing was sent, or the outcome is not known yet; run the job again after this many seconds."""

    seconds: float
    error: PeakaError = attrs.field(eq=False)


@final
@attrs.frozen
class GiveUp:
    """There is no connection, and running the job again would not change that."""

    error: PeakaError = attrs.field(eq=False)


Settlement = Settled | TryAgain | GiveUp
"""A result of `ConnectFlow.settle`."""
