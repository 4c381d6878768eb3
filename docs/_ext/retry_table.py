"""The directives `retry-table` and `retry-cases`: the code that decides retries describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive
from tables import table

from peaka_async import (
    APIError,
    ConnectError,
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

CASES = Path(__file__).parents[2] / "tests" / "retry_cases.json"
MANY = 100

FAILURES: dict[str, PeakaError] = {
    "not sent: refused, reset, connect timeout": ConnectError(),
    "not sent: name does not resolve, certificate not trusted": ConnectError(problem="name"),
    "maybe sent: disconnect, timeout, broken body": TransportError(progress=WireProgress.MAYBE_SENT),
    "429": APIError(status=429),
    **{str(status): APIError(status=status) for status in (408, 425, 500, 502, 503, 504)},
    "another 4xx": APIError(status=400),
    "2xx that does not decode": DecodeError(status=200),
}


def rows() -> list[list[str]]:
    """The table, a heading first."""
    head = ["Failure", *(f"{safety.name}" for safety in Safety)]
    return [head, *([name, *(outcome(safety, failure) for safety in Safety)] for name, failure in FAILURES.items())]


def outcome(safety: Safety, failure: PeakaError) -> str:
    request = Request("docs.table", "POST", "/", returns=object, safety=safety)
    policy = RetryPolicy()
    decision = policy.explain(request, failure)
    if not decision.retry:
        kind = OutcomeUnknownError if isinstance(failure, TransportError) else type(failure)
        return f"{kind.__name__} at once" + (", outcome unknown" if decision.outcome_unknown else "")
    if not policy.explain(request, failure, attempt=MANY).retry:
        return f"again, {policy.attempts} attempts"
    if not policy.explain(request, failure, unsent_for=policy.unsent_seconds).retry:
        return f"again, for {policy.unsent_seconds:g} s"
    return "again, until the deadline"


def cases() -> list[list[str]]:
    """The table of cases that the tests run against `RetryPolicy.explain`, a heading first."""
    head = ["Request", "Failure", "Failures so far", "Seconds left", "Decision", "Wait in seconds, or reason"]
    return [head, *(case_row(case) for case in json.loads(CASES.read_text()))]


def case_row(case: dict[str, Any]) -> list[str]:
    expected, left = case["expect"], case["remaining"]
    name = case["name"] + "".join(f", {key}={value}" for key, value in case.get("policy", {}).items())
    if expected["retry"]:
        low, high = expected["delay"]
        decision = ["again", f"{low:g} to {high:g} ({expected['source']})"]
    else:
        decision = ["error" + (", outcome unknown" if expected["outcome_unknown"] else ""), expected["reason"]]
    return [case["safety"].upper(), name, str(case["attempt"]), "no deadline" if left is None else str(left), *decision]


class RetryTable(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(rows())]


class RetryCases(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(cases())]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("retry-table", RetryTable)
    app.add_directive("retry-cases", RetryCases)
    return {"parallel_read_safe": True}
