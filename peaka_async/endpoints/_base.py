"""The base class of the endpoint groups."""

from __future__ import annotations

from peaka_async._request import Sender

List = list
"""The builtin `list`, for annotations in groups that have a method `list`."""


class Group:
    """A group of operations: each method describes one call and passes it to the sender."""

    __slots__ = ("_send", "_stream")

    def __init__(self, sender: Sender) -> None:
        self._send = sender.send
        self._stream = sender.stream
