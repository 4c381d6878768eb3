"""A sender that records requests, and the requests that an endpoint group is expected to make."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import NoneType
from typing import Any

import attrs

from peaka_async import Safety
from peaka_async._request import Request
from peaka_async.models import QueryResult


class RecordingSender:
    """Records every request. It returns the given answers one by one, and then None."""

    def __init__(self, *answers: object) -> None:
        self.requests: list[Request[Any]] = []
        self._answers = list(answers)

    async def send(self, request):
        self.requests.append(request)
        return self._answers.pop(0) if self._answers else None

    stream = send


@attrs.frozen
class Call:
    """An operation with the arguments of its method, and the expected request.

    `target` is the path with its parameters and the query, as they are sent.
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
    """Call the method and describe the request that it makes."""
    # The warning about a capped read looks at the result.
    sender = RecordingSender(QueryResult() if call.returns is QueryResult else None)
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
