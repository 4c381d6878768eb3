"""Models as data: they pass through frameworks and queues, without their confidential fields."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Annotated

import attrs
import fastapi
import kombu.utils.json
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from test_every_model import MODELS, instances

from peaka_async import ConfigurationError, Connection, Oauth2Callback, OAuth2Credential, TokenCredential, models
from peaka_async._codec import is_confidential
from peaka_async.client import Info
from peaka_async.models._model import Model

KINDS = {name: kind for name, kind in {**MODELS, "Info": Info}.items() if name != "Record"}
SECRETS = {name: [f for f in attrs.fields(kind) if is_confidential(f)] for name, kind in KINDS.items()}

THROUGH = {
    "json": lambda kind, value: kind.from_dict(json.loads(json.dumps(value.to_dict(confidential=True)))),
    "msgspec": lambda kind, value: kind.from_dict(
        msgspec.msgpack.decode(msgspec.msgpack.encode(value.to_dict(confidential=True)))
    ),
    "kombu": lambda kind, value: kind.from_dict(
        kombu.utils.json.loads(kombu.utils.json.dumps(value.to_dict(confidential=True)))
    ),
    "pydantic": lambda kind, value: (
        adapter := pydantic.TypeAdapter(kind),
        adapter.validate_json(adapter.dump_json(value, context={"confidential": True})),
    )[1],
    "pydantic in python": lambda kind, value: pydantic.TypeAdapter(kind).validate_python(value),
    "pickle": lambda _, value: pickle.loads(pickle.dumps(value)),  # noqa: S301
}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_model_is_one(name):
    """Every model can be converted to data and back in the same way."""
    assert issubclass(KINDS[name], Model)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"ConnectionRequest"}))
@pytest.mark.parametrize("way", THROUGH.values(), ids=THROUGH)
def test_every_model_comes_through_as_it_was(way, name):
    """The value is equal afterwards if confidential fields are included."""

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(instances(KINDS[name]))
    def check(value):
        assert way(KINDS[name], value) == value

    check()


WITHOUT = {
    "to_dict": lambda value: json.dumps(value.to_dict()),
    "kombu": kombu.utils.json.dumps,
    "pydantic": lambda value: pydantic.TypeAdapter(type(value)).dump_json(value).decode(),
    "pydantic in python": lambda value: repr(pydantic.TypeAdapter(type(value)).dump_python(value)),
}


@pytest.mark.parametrize("name", sorted(name for name in KINDS if SECRETS[name]))
@pytest.mark.parametrize("way", WITHOUT.values(), ids=WITHOUT)
def test_confidential_fields_stay_behind(way, name):
    """By default, keys, credentials, codes and links that give access are not written to a queue."""
    kind = KINDS[name]
    secret = {
        field.alias: "s3cret" if "str" in str(field.type) else {"a": "s3cret"} if "Credential" in str(field.type) else 5
        for field in SECRETS[name]
    }

    assert "s3cret" not in way(kind(**secret))
    assert "s3cret" in json.dumps(kind(**secret).to_dict(confidential=True))


def test_names_are_those_of_the_api():
    """Fields that are None are left out, and nested values are converted too."""
    job = models.ExportJobResponse(
        id="e", row_count=5, status=models.ExportStatus.SUCCEEDED, files=[models.ExportFile("a", "https://s3cret", 7)]
    )

    assert job.to_dict() == {"id": "e", "rowCount": 5, "status": "SUCCEEDED", "files": [{"name": "a", "bytes": 7}]}
    assert models.ExportJobResponse.from_dict({**job.to_dict(), "addedLater": 1}).row_count == 5


@pytest.mark.parametrize(
    ("kind", "data", "problem"),
    [
        (Connection, {}, r"the data is not a valid Connection: at \$\.id is missing"),
        (Connection, {"id": 5}, r"at \$\.id expected a string, got a number"),
        (TokenCredential, {"token": ["s3cret"]}, r"at \$\.token expected a string, got a list"),
        (Oauth2Callback, {"queryParameters": ""}, "query_parameters must be"),
    ],
)
def test_what_is_no_such_model_says_where(kind, data, problem):
    """A typed error names the place, but does not show the value."""
    with pytest.raises(ConfigurationError, match=problem) as raised:
        kind.from_dict(data)
    assert "s3cret" not in str(raised.value)


class Wish(pydantic.BaseModel):
    callback: Oauth2Callback
    folder: models.QueryFolderTreeNode | None = None
    connections: list[Connection] = []


def test_models_are_fields_of_pydantic_models():
    """They can be given as models or as JSON; an error names the place."""
    wish = Wish(callback=Oauth2Callback("code=1&state=2"), connections=[{"id": "c"}])

    assert Wish.model_validate_json('{"callback": {"queryParameters": "code=1&state=2"}}').callback == wish.callback
    assert wish.model_dump() == {"callback": {}, "folder": None, "connections": [{"id": "c"}]}
    assert wish.model_dump(context={"confidential": True})["callback"] == {"queryParameters": "code=1&state=2"}
    with pytest.raises(pydantic.ValidationError, match="not a Connection"):
        Wish(callback=wish.callback, connections=[5])
    with pytest.raises(pydantic.ValidationError, match="expected a string"):
        Wish(callback=wish.callback, connections=[{"id": 5}])


app = fastapi.FastAPI()


@app.post("/connections/{name}")
def create(
    name: str,
    credential: Annotated[OAuth2Credential, fastapi.Body()],
    callback: Annotated[Oauth2Callback, fastapi.Body()],
) -> Connection:
    return Connection(f"{credential.client_secret} {callback.code}", name)


@app.get("/exports")
def exports() -> list[models.ExportJobResponse]:
    return [models.ExportJobResponse(id="e", files=[models.ExportFile("a", "https://s3cret")])]


@app.get("/folders")
def folders() -> models.QueryFolderTreeResponse:
    return models.QueryFolderTreeResponse([])


async def asked(method, path, body=None):
    """Call the application; return the status and the JSON of the body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


async def test_fastapi_takes_and_gives_them():
    """FastAPI accepts models as bodies and results, with the API's names; an invalid body is a 422."""
    body = {"credential": {"clientSecret": "x"}, "callback": {"queryParameters": "code=1&state=2"}}

    assert await asked("POST", "/connections/n", body) == (200, {"id": "x 1", "name": "n"})
    assert (await asked("POST", "/connections/n", {**body, "callback": {}}))[0] == 422
    assert await asked("GET", "/exports") == (200, [{"id": "e", "files": [{"name": "a"}]}])


def test_fastapi_documents_them():
    """The schema has members, descriptions and enums, and ends if a model contains itself."""
    document = app.openapi()
    text = json.dumps(document)

    assert "A connection of a project" in text
    found = [each for each in schemas(document) if each.get("title") == "Connection"]
    assert found[0]["properties"]["name"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert found[0]["required"] == ["id"]
    (credential,) = [each for each in schemas(document) if each.get("title") == "OAuth2Credential"]
    assert credential["properties"]["clientSecret"]["writeOnly"] is True
    (job,) = [each for each in schemas(document) if each.get("title") == "ExportJobResponse"]
    assert {"type": "string", "enum": [each.value for each in models.ExportStatus]} in job["properties"]["status"][
        "anyOf"
    ]


def schemas(node):
    if isinstance(node, dict):
        yield node
        for member in node.values():
            yield from schemas(member)
    elif isinstance(node, list):
        for member in node:
            yield from schemas(member)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_model_has_a_schema(name):
    """Pydantic describes each model, in both directions."""
    for mode in ("validation", "serialization"):
        schema = pydantic.TypeAdapter(KINDS[name]).json_schema(mode=mode)
        assert json.loads(json.dumps(schema))


def test_no_framework_is_imported():
    """Frameworks that an application does not use are not imported."""
    code = (
        "import sys, peaka_async; from peaka_async import models; peaka_async.Connection('c').to_dict(); models.Cache\n"
        "print([name for name in ('pydantic', 'pydantic_core', 'kombu', 'msgspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.strip() == "[]"
