"""The demo: it completes an OAuth2 connection against a local Peaka, with one failure that is retried."""

from __future__ import annotations

import sys

from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from peaka_async import Attempt, ConnectionRequest, Oauth2Callback, OAuth2Credential, PeakaClient
from peaka_async.emulator import Emulator, Fault

REDIRECT_URL = "https://app.example/oauth2/mycallback"
BOLD, DIM, GREEN, YELLOW, OFF = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[0m") if sys.stdout.isatty() else [""] * 5
)


async def main() -> None:
    """Run the demo, and print the connection, the attempts and the span tree."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with (
        Emulator() as emulator,
        PeakaClient(emulator.api_key, base_url=emulator.base_url, tracer_provider=provider) as peaka,
    ):
        step(1, "Create the connection; Peaka answers with the consent page")
        pending = await peaka.connections.create(
            emulator.project_id,
            ConnectionRequest(
                name="Acme CRM",
                type="hubspot",
                credential=OAuth2Credential(client_id="acme-app", client_secret="***", redirect_url=REDIRECT_URL),  # noqa: S106 - none is needed here
            ),
        )
        print(f"   {DIM}{(pending.url or '').partition('?')[0]}?…{OFF}")

        step(2, "The customer allows it; the provider sends the browser back")
        redirect = await emulator.consent(pending.url or "")
        print(f"   {DIM}{redirect.partition('?')[0]}?code=…&state=…{OFF}")

        step(
            3, "Post the query, byte for byte. The server answers 429 first: nothing was done, so it is safe to repeat"
        )
        emulator.faults.add("connections.oauth2_callback", Fault.rate_limited(0.4))
        callback = Oauth2Callback.from_redirect(redirect)
        done = await peaka.with_raw_response(peaka.connections.oauth2_callback, emulator.project_id, callback)

        print(f"\n{BOLD}Connection{OFF}\n   {GREEN}{done.value}{OFF}")
        print(f"\n{BOLD}Attempts{OFF}")
        for attempt in done.attempts:
            print(f"   {line_of(attempt)}")
        print(f"\n{BOLD}Spans{OFF}")
        print_tree(spans.get_finished_spans())
        (code,) = emulator.provider.codes.values()
        print(f"\nThe authorization code was used {BOLD}{code.presented}×{OFF}.")


def step(number: int, text: str) -> None:
    print(f"{BOLD}{number}{OFF}  {text}")


def line_of(attempt: Attempt) -> str:
    outcome = f"{attempt.number}  HTTP {attempt.status}  {attempt.duration * 1000:6.1f} ms  {attempt.progress.value}"
    if attempt.delay is None:
        return outcome
    return f"{YELLOW}{outcome}{OFF}  then waited {attempt.delay:.2f} s ({attempt.delay_source})"


def wait_of(event: Event) -> str:
    notes = dict(event.attributes or {})
    if "peaka.retry.delay" not in notes:
        return f"waited {notes['peaka.wait.duration']:.2f} s for the {notes['peaka.wait.for']}"
    return (
        f"waited {notes['peaka.retry.delay']:.2f} s, {notes['peaka.retry.delay_source']}: {notes['peaka.retry.reason']}"
    )


def print_tree(spans: tuple[ReadableSpan, ...], parent: int | None = None, indent: str = "   ") -> None:
    children = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
    for number, span in enumerate(sorted(children, key=lambda child: child.start_time or 0), start=1):
        last = number == len(children)
        facts = dict(span.attributes or {})
        shown = [f"HTTP {facts['http.response.status_code']}"] if "http.response.status_code" in facts else []
        shown += [f"resend {facts['http.request.resend_count']}"] if "http.request.resend_count" in facts else []
        took = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
        print(f"{indent}{'└─' if last else '├─'} {span.name}  {DIM}{took:.1f} ms  {'  '.join(shown)}{OFF}")
        for event in span.events:
            print(f"{indent}{'   ' if last else '│  '}{YELLOW}· {event.name}: {wait_of(event)}{OFF}")
        context = span.get_span_context()
        if context is not None:
            print_tree(spans, context.span_id, indent + ("   " if last else "│  "))
