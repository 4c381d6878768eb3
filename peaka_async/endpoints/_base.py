"""What every group of endpoints shares."""

from __future__ import annotations

from peaka_async._request import Sender

List = list
"""`list` in the annotations of groups, whose method of that name hides the builtin."""


class Group:
    """A group of operations: each method describes one call and hands it to the sender."""

    __slots__ = ("_send", "_stream")

    def __init__(self, sender: Sender) -> None:
        self._send = sender.send
        self._stream = sender.stream
