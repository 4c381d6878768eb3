"""Errors travel between processes, and keep what they know to themselves."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle

import pytest
from scripted_server import ScriptedServer, answer, drip, redirect, reset
from test_tracing import Recorded

from peaka_async import (
    Attempt,
    ConnectionRequest,
    Oauth2Callback,
    OAuth2Credential,
    PeakaClient,
    PeakaError,
    RetryPolicy,
    Timeouts,
    WireProgress,
    errors,
)

KEY = "pk-2f9c41d7"
CODE = "4/P7q7W91a-oMsCeLvIaQm6bTrgtp7"
SECRET = 'cl13nt"s3cret'
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PeakaError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives_pickle_and_copies(kind):
    """Type, text, ledger and all attributes come back, so that a worker can hand an error on."""
    ledger = (
        Attempt(number=1, progress=WireProgress.ANSWERED, status=500),
        Attempt(number=2, progress=WireProgress.NOT_SENT),
    )
    optional = [name for name, p in inspect.signature(kind).parameters.items() if p.kind is p.KEYWORD_ONLY]
    values = {"status": 418, "path": "$.a", "headers": {"a": "b"}, "error": "E", "retry_after": 1.5, "phase": "pool"}
    given = {name: values[name] for name in optional if name in values}
    error = kind("what failed", operation="connections.oauth2_callback", attempts=ledger, **given)
    error.add_note("a note")

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert (type(twin), str(twin), repr(twin), twin.__dict__) == (kind, str(error), repr(error), error.__dict__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_on_which_operation(kind):
    """The text begins with the operation."""
    assert str(kind("it failed", operation="connections.get")).startswith("connections.get: ")


def echo(status):
    """The service's way of quoting what it was sent."""
    text = f'cannot map {{"clientSecret":"{SECRET}"}} for code={CODE} and 4%2FP7q7W91a-oMsCeLvIaQm6bTrgtp7, key {KEY}'
    return answer(status, {"error": "E", "message": text}, {"X-Echo": CODE, "Set-Cookie": "a=b"})


FAULTS = {
    "400": (echo(400), {}),
    "429": (echo(429), {}),
    "500": (echo(500), {}),
    "reset": (reset(after="body"), {}),
    "redirect": (redirect(307, f"http://elsewhere.example/{'x'}?code={CODE}"), {}),
    "slow": (drip(0.1), {}),
    "junk": (answer(200, f'{{"clientSecret": "{CODE}'.encode()), {}),
    "too large": (answer(200, {"id": CODE * 100}), {"max_response_bytes": 50}),
    "mistyped": (answer(200, {"id": [CODE]}), {}),
}


@pytest.mark.parametrize(("behaviour", "options"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("call", ["oauth2_callback", "create"])
async def test_no_error_log_or_span_holds_a_secret(behaviour, options, call, caplog):
    """The key, the code and the credential are in no repr, str, args, pickle, log, span or metric."""
    caplog.set_level(logging.DEBUG)
    recorded = Recorded()
    callback = Oauth2Callback.from_redirect(f"https://app.example/cb?code={CODE.replace('/', '%2F')}&state=st4te")
    request = ConnectionRequest("n", "hubspot", OAuth2Credential(client_id="cl13nt", client_secret=SECRET))
    async with ScriptedServer() as server:
        server.default = behaviour
        async with PeakaClient(
            KEY,
            base_url=server.base_url,
            timeout=Timeouts(total=2, attempt=0.2),
            retry=RetryPolicy(backoff=0.001),
            tracer_provider=recorded.tracer_provider,
            meter_provider=recorded.meter_provider,
            **options,
        ) as peaka:
            with pytest.raises(PeakaError) as raised:
                if call == "oauth2_callback":
                    await peaka.connections.oauth2_callback("p", callback)
                else:
                    await peaka.connections.create("p", request)
            shown = [repr(peaka), repr(callback), repr(request), repr(peaka._transport.settings)]
    link: BaseException | None = raised.value
    while link is not None:
        shown += [repr(link), str(link), repr(link.args), pickle.dumps(link, 0).decode("latin-1")]
        link = link.__cause__ or link.__context__
    shown += [caplog.text, recorded.reader.get_metrics_data().to_json(), *(span.to_json() for span in recorded.spans)]

    sent = [KEY] + ([CODE, CODE.replace("/", "%2F")] if call == "oauth2_callback" else [SECRET, "s3cret"])
    assert [secret for secret in sent for text in shown if secret in text] == []


async def test_the_raw_body_is_there_for_who_needs_it():
    """The live error keeps the body as it came; its text shows where something was replaced."""
    async with ScriptedServer() as server, PeakaClient(KEY, base_url=server.base_url) as peaka:
        server.script(echo(400))
        with pytest.raises(PeakaError) as raised:
            await peaka.connections.oauth2_callback("p", Oauth2Callback(f"code={CODE}&state=s"))

    assert CODE in raised.value.body.decode()
    assert "for [redacted] and [redacted]," in str(raised.value)
    assert raised.value.headers["x-echo"] == "[redacted]"
    assert "set-cookie" not in raised.value.headers
