"""A sender that records, and the requests that an endpoint group is expected to make of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import NoneType
from typing import Any

import attrs

from peaka_async import Safety
from peaka_async._request import Request


class RecordingSender:
    """Takes every request and answers with what it is given, one after the other, and then with nothing."""

    def __init__(self, *answers: object) -> None:
        self.requests: list[Request[Any]] = []
        self._answers = list(answers)

    async def send(self, request):
        self.requests.append(request)
        return self._answers.pop(0) if self._answers else None

    stream = send


@attrs.frozen
class Call:
    """An operation with the arguments of its method, and the request that it makes.

    `target` is what goes over the wire: the path with its parameters, and the query.
    """

    operation: str
    arguments: tuple[object, ...]
    verb: str
    target: str
    options: Mapping[str, object] = attrs.field(kw_only=True, factory=dict)
    body: object = attrs.field(kw_only=True, default=None)
    returns: object = attrs.field(kw_only=True, default=NoneType)
    safety: Safety = attrs.field(kw_only=True)
    partner_only: bool = attrs.field(kw_only=True, default=False)
    server_timeout: float | None = attrs.field(kw_only=True, default=None)

    def __str__(self) -> str:
        return self.operation


async def made(group, call: Call) -> Call:
    """The call as the one request describes it that the group's method makes."""
    sender = RecordingSender()
    method = getattr(group(sender), call.operation.partition(".")[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        await method(*call.arguments, **call.options)
    (request,) = sender.requests
    return attrs.evolve(
        call,
        operation=request.operation,
        verb=request.method,
        target=request.target(),
        body=request.body,
        returns=request.returns,
        safety=request.safety,
        partner_only=request.partner_only,
        server_timeout=request.server_timeout,
    )
