"""The messages of the logger `peaka_async` about retries and waits. They contain no bodies, codes or keys."""

from __future__ import annotations

import logging
import os
from time import monotonic
from typing import final

logger = logging.getLogger("peaka_async")

LONG_SECONDS = 1.0
_QUIET_SECONDS = 60.0
_SWITCH = "PEAKA_LOG"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def switch_on() -> None:
    """Log to stderr at the level of PEAKA_LOG, `info` or `debug`, unless the application has its own handlers."""
    wanted = os.environ.get(_SWITCH, "").strip().lower()
    if not wanted:
        return
    if wanted not in _LEVELS:
        logger.warning("%s must be debug or info; it is ignored", _SWITCH)
        return
    logger.setLevel(_LEVELS[wanted])
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)


@final
class Voice:
    """Logs for a client. The first long wait in a minute is logged at WARNING, to explain why a program is silent."""

    __slots__ = ("_quiet_until",)

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def retrying(self, operation: str, attempt: int, error: str, reason: str, delay: float) -> None:
        """Log that another attempt follows."""
        logger.log(
            self._level(delay),
            "%s: attempt %d failed (%s): %s; again in %.2f s",
            operation,
            attempt,
            error,
            reason,
            delay,
            extra={"operation": operation, "attempt": attempt, "reason": reason, "delay": delay},
        )

    def failed(self, operation: str, attempt: int, error: str, reason: str) -> None:
        """Log that no other attempt follows."""
        logger.debug(
            "%s: attempt %d failed (%s): %s",
            operation,
            attempt,
            error,
            reason,
            extra={"operation": operation, "attempt": attempt, "reason": reason},
        )

    def waits(self, operation: str, attempt: int, what: str) -> None:
        """Log that an attempt has been waiting for long."""
        logger.log(
            self._level(LONG_SECONDS),
            "%s: attempt %d waits for the %s",
            operation,
            attempt,
            what,
            extra={"operation": operation, "attempt": attempt, "reason": what, "delay": LONG_SECONDS},
        )

    def waited(self, operation: str, attempt: int, what: str, seconds: float) -> None:
        """Log that an attempt has waited."""
        logger.info(
            "%s: attempt %d waited %.2f s for the %s",
            operation,
            attempt,
            seconds,
            what,
            extra={"operation": operation, "attempt": attempt, "reason": what, "delay": seconds},
        )

    def _level(self, seconds: float) -> int:
        now = monotonic()
        if seconds < LONG_SECONDS or now < self._quiet_until:
            return logging.INFO
        self._quiet_until = now + _QUIET_SECONDS
        return logging.WARNING
