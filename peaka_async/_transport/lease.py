"""The rules by which a connection is used again, for both lanes.

1. Idle means silent: whatever comes on an idle connection, or after the end of an answer, ends it. Before it is used
   again the kernel is asked, since the event loop may not have been told yet.
2. It goes back only if its answer is complete, the request is wholly written and both sides keep it alive.
3. A connection that went stale while it was idle costs nothing: the next one is tried. If a fresh one is stale, the
   server takes no connections, and the attempt ends.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import Final

# How many turns of the loop may pass until what the kernel holds was read.
_MAX_TURNS: Final = 10


class Line:
    """A connection as the rules see it; the protocols of both lanes are one."""

    __slots__ = ("_ask", "is_spent", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_spent = False
        """Whether it must not be used again."""
        self._ask: Callable[[], bool] | None = None

    async def is_usable(self) -> bool:
        """Whether a request may be written to it."""
        if self.is_spent or self.transport.is_closing():
            return False
        return not self.is_readable() or await self._falls_silent()

    def is_readable(self) -> bool:
        """Ask the kernel whether anything has come, be it the end."""
        if self._ask is None:
            self._ask = _question(self.transport.get_extra_info("socket").fileno())
        return self._ask()

    async def _falls_silent(self) -> bool:
        """Let the event loop read what the kernel holds, over TLS: a session ticket leaves the connection as it was."""
        if self.transport.get_extra_info("ssl_object") is None:
            return False
        for _ in range(_MAX_TURNS):
            await asyncio.sleep(0)
            if self.is_spent or self.transport.is_closing():
                return False
            if not self.is_readable():
                return True
        return False

    def is_torn(self) -> bool:
        """Whether an end over TLS came without a farewell: whoever cut the connection can have cut the answer."""
        tls = self.transport.get_extra_info("ssl_object")
        if tls is None:
            return False
        try:
            return bool(tls.read(1))
        except ssl.SSLError:
            return True

    def abort(self) -> None:
        """Close the connection at once."""
        self.is_spent = True
        self.transport.abort()


def _question(descriptor: int) -> Callable[[], bool]:
    """What tells whether something can be read from a socket."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))
