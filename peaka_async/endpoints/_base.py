"""What every group of endpoints shares: the ways to send."""

from __future__ import annotations

from peaka_async._request import Send, Stream

List = list
"""`list` in the annotations of groups, whose method of that name hides the builtin."""


class Group:
    """A group of operations; it describes calls and hands them to `send`."""

    __slots__ = ("_send",)

    def __init__(self, send: Send) -> None:
        self._send = send


class StreamingGroup(Group):
    """A group with answers that are read piece by piece; those go to `stream`."""

    __slots__ = ("_stream",)

    def __init__(self, send: Send, stream: Stream) -> None:
        super().__init__(send)
        self._stream = stream
