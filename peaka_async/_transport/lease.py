"""The rules for using a connection again, for both lanes.

1. Idle means silent: any data on an idle connection, or after the end of an answer, closes it. Before a connection is
   used again the kernel is asked, because the event loop may not know of the data yet.
2. A connection is kept only if its answer is complete, its request is completely written, and both sides keep it alive.
3. A connection that went stale while it was idle costs nothing: the next one is tried. If a new one is stale, the
   server accepts no connections, and the attempt ends.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import Final

# The loop may need this many turns to read the data that the kernel holds.
_MAX_TURNS: Final = 10


class Line:
    """A connection, for these rules; the protocols of both lanes are subclasses."""

    __slots__ = ("_ask", "is_spent", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_spent = False
        """Whether the connection must not be used again."""
        self._ask: Callable[[], bool] | None = None

    async def is_usable(self) -> bool:
        """Whether a request may be written to the connection."""
        if self.is_spent or self.transport.is_closing():
            return False
        return not self.is_readable() or await self._falls_silent()

    def is_readable(self) -> bool:
        """Ask the kernel whether data or the end of the connection has arrived."""
        if self._ask is None:
            self._ask = _question(self.transport.get_extra_info("socket").fileno())
        return self._ask()

    async def _falls_silent(self) -> bool:
        """Over TLS, let the event loop read the kernel's data: a session ticket leaves the connection usable."""
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
        """Whether a TLS connection ended without TLS's own end: then the answer can be cut off too."""
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
    """Make a function that tells whether a socket has data to read."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))
