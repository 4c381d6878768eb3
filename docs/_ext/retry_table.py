"""The directive `retry-table`: the table of retries, made from `RetryPolicy.explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

from peaka_async import (
    APIError,
    DecodeError,
    OutcomeUnknownError,
    PeakaError,
    Request,
    RetryPolicy,
    Safety,
    TransportError,
    WireProgress,
)

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FAILURES: dict[str, PeakaError] = {
    "not sent: DNS, refused, TLS, connect timeout, wait for a connection": TransportError(
        progress=WireProgress.NOT_SENT
    ),
    "maybe sent: disconnect, timeout, broken body": TransportError(progress=WireProgress.MAYBE_SENT),
    "429": APIError(status=429),
    **{str(status): APIError(status=status) for status in (408, 425, 500, 502, 503, 504)},
    "another 4xx": APIError(status=400),
    "2xx that does not decode": DecodeError(status=200),
}


def rows() -> list[list[str]]:
    """The rows of the table, the heading first."""
    head = ["Failure", *(f"{safety.name}" for safety in Safety)]
    return [head, *([name, *(outcome(safety, failure) for safety in Safety)] for name, failure in FAILURES.items())]


def outcome(safety: Safety, failure: PeakaError) -> str:
    request = Request("docs.table", "POST", "/", returns=object, safety=safety)
    decision = RetryPolicy().explain(request, failure)
    if decision.retry:
        return "retry"
    kind = OutcomeUnknownError if decision.outcome_unknown else type(failure)
    return f"{kind.__name__}, at once"


class RetryTable(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(rows())]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("retry-table", RetryTable)
    return {"parallel_read_safe": True}
