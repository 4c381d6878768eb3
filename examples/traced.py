"""Make calls against a local Peaka that answers 429 once, and send their traces to an OTLP endpoint.

pip install arize-phoenix opentelemetry-exporter-otlp-proto-http
phoenix serve                                    # in another terminal, http://localhost:6006
python examples/traced.py [--endpoint http://localhost:6006/v1/traces]
"""

from __future__ import annotations

import argparse
import asyncio

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from peaka_async import ConnectionRequest, Oauth2Callback, OAuth2Credential, PeakaClient
from peaka_async.emulator import Emulator, Fault


def set_up(endpoint: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": "acme-app"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    trace.set_tracer_provider(provider)
    return provider


async def main() -> None:
    async with Emulator() as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka:
        credential = OAuth2Credential(
            client_id="app",
            client_secret="s3cret",  # noqa: S106 - the local Peaka's own
            redirect_url="https://app.example/oauth2/mycallback",
        )
        with trace.get_tracer("acme").start_as_current_span("GET /oauth2/mycallback"):
            pending = await peaka.connections.create(
                emulator.project_id, ConnectionRequest("Acme CRM", "hubspot", credential)
            )
            redirect = await emulator.consent(str(pending.url))
            emulator.faults.add("connections.oauth2_callback", Fault.rate_limited(1))
            callback = Oauth2Callback.from_redirect(redirect)
            connection = await peaka.connections.oauth2_callback(emulator.project_id, callback)
        print(f"connected {connection.id}, with a 429 on the way")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="http://localhost:6006/v1/traces")
    tracing = set_up(parser.parse_args().endpoint)
    asyncio.run(main())
    tracing.shutdown()
