"""The package's own names in spans, metrics and events. The documentation's table is made from them."""

from __future__ import annotations

OPERATION = "peaka.operation"
SAFETY = "peaka.safety"
ATTEMPTS = "peaka.attempts"
CANCELLED = "peaka.cancelled"
PROGRESS = "peaka.wire_progress"

RETRY = "peaka.retry"
RETRY_DELAY = "peaka.retry.delay"
RETRY_SOURCE = "peaka.retry.delay_source"
RETRY_REASON = "peaka.retry.reason"
RETRY_EXPLANATION = "peaka.retry.explanation"

WAIT = "peaka.wait"
WAIT_FOR = "peaka.wait.for"
WAIT_DURATION = "peaka.wait.duration"

OPERATION_DURATION = "peaka.client.operation.duration"
WAITS = "peaka.client.wait.duration"
RETRIES = "peaka.client.retries"
BUDGET = "peaka.client.retry_budget"
ACTIVE = "peaka.client.active_operations"

TABLE: tuple[tuple[str, str, str], ...] = (
    (OPERATION, "attribute of spans and metrics", "The operation, such as `connections.oauth2_callback`."),
    (SAFETY, "attribute of the call's span", "`safe`, `idempotent` or `once`: the effect of a second execution."),
    (ATTEMPTS, "attribute of the call's span", "The number of attempts of the call."),
    (CANCELLED, "attribute of spans", "True if the caller cancelled the call; the status is unset."),
    (RETRY, "event of the call's span", "An attempt failed, and another follows."),
    (RETRY_DELAY, "attribute of the event", "Seconds until the next attempt."),
    (RETRY_SOURCE, "attribute of the event", "`backoff`, `retry-after`, `retry-after-ms` or `retry-after-date`."),
    (
        RETRY_REASON,
        "attribute of the event and of the metric",
        "`not_sent`, `unreachable`, `maybe_sent`, `rate_limited` or `transient`.",
    ),
    (RETRY_EXPLANATION, "attribute of the event", "The reason in a sentence."),
    (PROGRESS, "attribute of the event", "How far the failed attempt got: `not_sent`, `maybe_sent` or `answered`."),
    (WAIT, "event of the call's span", "The call waited before an attempt."),
    (WAIT_FOR, "attribute of the event and of the metric", "`throttle` or `limiter`."),
    (WAIT_DURATION, "attribute of the event", "The duration of the wait in seconds."),
    (OPERATION_DURATION, "histogram, s", "Calls with all their attempts and waits."),
    (WAITS, "histogram, s", "Waits for the throttle and the limiter, of a millisecond and longer."),
    (RETRIES, "counter, {retry}", "Attempts made after a failed one."),
    (BUDGET, "observable gauge, {token}", "The rest of the retry budget; the lowest of several clients."),
    (ACTIVE, "observable up-down counter, {operation}", "Calls in flight."),
)
"""The names, each with its kind and its meaning."""
