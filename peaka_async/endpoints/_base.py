"""What every group of endpoints shares: the way to send."""

from __future__ import annotations

from peaka_async._request import Send


class Group:
    """A group of operations; it describes calls and hands them to `send`."""

    __slots__ = ("_send",)

    def __init__(self, send: Send) -> None:
        self._send = send
