"""Errors can be sent between processes, and hold no secrets."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import logging
import pickle

import jsonpickle
import msgspec
import orjson
import pytest
from scripted_server import ScriptedServer, answer, drip, redirect, reset
from test_tracing import Recorded

from peaka_async import (
    APIError,
    Attempt,
    ConflictError,
    ConnectionRequest,
    NotFoundError,
    Oauth2Callback,
    OAuth2Credential,
    PeakaClient,
    PeakaError,
    RetryPolicy,
    ServerError,
    Timeouts,
    WireProgress,
    errors,
)

KEY = "pk-2f9c41d7"
CODE = "4/P7q7W91a-oMsCeLvIaQm6bTrgtp7"
SECRET = 'cl13nt"s3cret'
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PeakaError)]


LEDGER = (
    Attempt(
        number=1, progress=WireProgress.ANSWERED, status=500, error="ServerError", duration=0.5, request_id="r1",
        delay=1.5, delay_source="backoff",
    ),
    Attempt(number=2, progress=WireProgress.NOT_SENT),
)  # fmt: skip
VALUES = {
    "status": 418,
    "path": "$.a",
    "headers": {"a": "b"},
    "error": "E",
    "error_code": 7,
    "retry_after": 1.5,
    "phase": "pool",
    "problem": "tls",
    "progress": WireProgress.NOT_SENT,
    "location": "https://a.example/b",
    "state": "CANCELLED",
    "description": "no",
    "uri": "https://a.example",
    "body": b"raw \xff",
    "redacted_body": b"[redacted]",
}


def complete(kind):
    """Make an error with all attributes."""
    names = [name for name, p in inspect.signature(kind).parameters.items() if p.kind is p.KEYWORD_ONLY]
    given = {name: VALUES[name] for name in names if name in VALUES}
    error = kind("what failed", operation="connections.oauth2_callback", attempts=LEDGER, **given)
    error.outcome_unknown = True
    error.add_note("a note")
    return error


def bare(kind):
    """Make an error with a message only."""
    return kind("what failed")


def through_celery(error):
    """Store and load an error as a Celery result backend does with JSON, its default."""
    import celery  # noqa: PLC0415 - not in every environment

    app = celery.Celery(backend="cache+memory://", set_as_current=False)
    return app.backend.exception_to_python(json.loads(json.dumps(app.backend.prepare_exception(error, "json"))))


def through_taskiq(error):
    """Store and load an error in taskiq's default result format."""
    import taskiq  # noqa: PLC0415 - not in every environment

    result = taskiq.TaskiqResult(is_err=True, return_value=None, execution_time=0.1, error=error)
    return taskiq.TaskiqResult.model_validate_json(result.model_dump_json()).error


WAYS = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),  # noqa: S301
    "old pickle": lambda error: pickle.loads(pickle.dumps(error, 0)),  # noqa: S301
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "args": lambda error: type(error)(*error.args),
    "args in json": lambda error: type(error)(*json.loads(json.dumps(error.args))),
    "to_dict": lambda error: PeakaError.from_dict(json.loads(json.dumps(error.to_dict()))),
    "orjson": lambda error: PeakaError.from_dict(orjson.loads(orjson.dumps(error.to_dict()))),
    "msgspec": lambda error: type(error)(*msgspec.msgpack.decode(msgspec.msgpack.encode(error.args))),
    "jsonpickle": lambda error: jsonpickle.decode(jsonpickle.encode(error, keys=True), keys=True),  # noqa: S301
}
# `nox -s workers` installs the queues, and runs these tests too.
WAYS |= {
    name: way
    for name, way in {"celery": through_celery, "taskiq": through_taskiq}.items()
    if importlib.util.find_spec(name) is not None
}


def known(error):
    """All public attributes of an error."""
    return {
        "type": type(error),
        "str": str(error),
        "repr": repr(error),
        "args": error.args,
        "notes": getattr(error, "__notes__", []),
        "data": error.to_dict(),
        "attempts": error.attempts,
        "body": getattr(error, "redacted_body", b""),
        **{name: getattr(error, name) for name in VALUES if hasattr(error, name) and name != "body"},
    }


@pytest.mark.parametrize("make", [complete, bare])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_error_comes_through_as_it_was(way, kind, make):
    """Type, text, attempts, notes and all attributes are kept, so that a worker can pass an error on."""
    error = make(kind)
    twin = way(error)

    assert known(twin) == known(error)
    assert getattr(twin, "body", b"") in {b"", b"[redacted]"}


def test_a_dict_says_all_that_a_handler_asks():
    """The data for logs says what failed, on which operation, and what to do next."""
    error = ServerError("no", operation="connections.create", status=502, attempts=LEDGER[:1])
    data = error.to_dict()

    assert json.loads(json.dumps(data)) == data
    assert data == {
        "type": "ServerError",
        "message": "no",
        "operation": "connections.create",
        "attempts": [
            {
                "number": 1,
                "progress": "answered",
                "status": 500,
                "error": "ServerError",
                "duration": 0.5,
                "request_id": "r1",
                "delay": 1.5,
                "delay_source": "backoff",
            }
        ],
        "status": 502,
        "error": None,
        "error_code": None,
        "headers": {},
        "retry_after": None,
        "body": "",
        "outcome_unknown": False,
        "nothing_sent": False,
        "request_id": "r1",
    }


def test_what_another_version_wrote_can_be_read():
    """An unknown class becomes the class that was asked for, and unknown members are left out."""
    written = {"type": "TeapotError", "message": "no", "status": 418, "operation": "x", "added": 1,
               "attempts": [{"number": 1, "progress": "answered", "added": 1}]}  # fmt: skip

    error = APIError.from_dict(written)
    assert (type(error), str(error), error.attempts) == (
        APIError,
        "x: HTTP 418: no",
        (Attempt(number=1, progress=WireProgress.ANSWERED),),
    )
    assert type(PeakaError.from_dict({**written, "type": "NotFoundError"})) is NotFoundError
    assert type(ConflictError.from_dict({**written, "type": "NotFoundError"})) is ConflictError


def test_what_an_application_adds_stays():
    """Pickle keeps an application's own attributes and classes; JSON keeps those that it can represent."""
    error = TenantError("no", operation="x")
    error.tenant, error.seen = "blue", object
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert (type(twin), twin.tenant, twin.seen) == (TenantError, "blue", object)
    assert error.to_dict()["tenant"] == "blue"
    assert "seen" not in error.to_dict()
    assert type(PeakaError.from_dict(error.to_dict())) is TenantError


def test_args_can_be_replaced():
    """As with any exception, `error.args = (…, *error.args[1:])` can change the message."""
    error = ServerError("no", status=500)
    error.args = ("more", *error.args[1:])

    assert (error.message, str(error), error.args[1]["status"]) == ("more", "HTTP 500: more", 500)


class TenantError(ServerError):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_on_which_operation(kind):
    """The text begins with the operation."""
    assert str(kind("it failed", operation="connections.get")).startswith("connections.get: ")


def echo(status):
    """Quote a request's data in an answer, as the service does."""
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
        shown += [
            repr(link),
            str(link),
            repr(link.args),
            json.dumps(link.to_dict()),
            jsonpickle.encode(link, keys=True),
            pickle.dumps(link, 0).decode("latin-1"),
        ]
        link = link.__cause__ or link.__context__
    shown += [caplog.text, recorded.reader.get_metrics_data().to_json(), *(span.to_json() for span in recorded.spans)]

    sent = [KEY] + ([CODE, CODE.replace("/", "%2F")] if call == "oauth2_callback" else [SECRET, "s3cret"])
    assert [secret for secret in sent for text in shown if secret in text] == []


async def test_the_raw_body_is_there_for_who_needs_it():
    """The error keeps the original body; its text shows where a secret was replaced."""
    async with ScriptedServer() as server, PeakaClient(KEY, base_url=server.base_url) as peaka:
        server.script(echo(400))
        with pytest.raises(PeakaError) as raised:
            await peaka.connections.oauth2_callback("p", Oauth2Callback(f"code={CODE}&state=s"))

    assert CODE in raised.value.body.decode()
    assert "for [redacted] and [redacted]," in str(raised.value)
    assert raised.value.headers["x-echo"] == "[redacted]"
    assert "set-cookie" not in raised.value.headers
