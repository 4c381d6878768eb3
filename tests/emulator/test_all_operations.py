"""All 137 operations, called through the client: the types of the answers, and in strict mode the document's form."""

from __future__ import annotations

import json
import types
import typing

import attrs
import jsonschema
import pytest
from emulator.tour import Tour
from operations import described

from peaka_async import APIError, PeakaClient, RetryPolicy
from peaka_async.emulator import Emulator
from peaka_async.models import ChatEvent

DESCRIBED = {each.name: each for each in described()}
ALWAYS_500 = "cache.list_statuses_by_schema"


async def walk(*, strict):
    """The results of the operations, and their answers on the wire."""
    answered = {}
    async with Emulator(manual_time=True, strict=strict) as emulator:
        work = emulator._work

        async def recorded(operation, request):
            answer = await work(operation, request)
            answered.setdefault(operation.id, answer)
            return answer

        emulator._work = recorded
        async with PeakaClient(emulator.api_key, base_url=emulator.base_url, retry=RetryPolicy(attempts=1)) as peaka:
            tour = Tour(peaka, emulator)
            if not strict:
                tour.do = _but_for_what_always_fails(tour.do)
            return await tour.walk(), answered


def _but_for_what_always_fails(do):
    async def wrapped(name, *arguments, **options):
        if name != ALWAYS_500:
            return await do(name, *arguments, **options)
        with pytest.raises(APIError) as caught:
            await do(name, *arguments, **options)
        assert caught.value.status == 500
        return None

    return wrapped


@pytest.mark.parametrize("strict", [False, True], ids=["live", "strict"])
async def test_each_returns_its_declared_type(strict):
    """All 137 results have the declared types: models, lists of models, mappings, bytes or None, with all members."""
    given, answered = await walk(strict=strict)
    wrong = [name for name, value in given.items() if not is_of(value, DESCRIBED[name].request.returns, name)]
    expected = DESCRIBED.keys() if strict else DESCRIBED.keys() - {ALWAYS_500}

    assert len(DESCRIBED) == 137
    assert given.keys() == expected
    assert answered.keys() == DESCRIBED.keys()
    assert wrong == []


def is_of(value, hint, name=""):
    if name == "agent.chat_stream":
        return bool(value) and all(isinstance(each, ChatEvent) for each in value)
    members = typing.get_args(hint) if typing.get_origin(hint) in {typing.Union, types.UnionType} else (hint,)
    return any(_is(value, _bare(member)) for member in members)


def _bare(hint):
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _is(value, hint):
    origin = typing.get_origin(hint)
    if origin is list:
        return isinstance(value, list) and all(is_of(each, typing.get_args(hint)[0]) for each in value)
    if origin is not None or hint is object:
        return hint is object or isinstance(value, dict)
    if isinstance(value, bool) and hint is not bool:
        return False
    if attrs.has(hint) and isinstance(value, hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        return all(is_of(getattr(value, field.name), hints[field.name]) for field in attrs.fields(hint))
    return isinstance(value, hint)


async def test_strict_answers_validate_against_the_document(published):
    """The status, media type and body of each answer follow the published document, checked with jsonschema."""
    _, answered = await walk(strict=True)
    problems = {}
    for name, answer in answered.items():
        request = DESCRIBED[name].request
        found = list(_problems(published, request, answer))
        if found:
            problems[name] = found

    assert len(answered) == 137
    assert problems == {}


def _problems(document, request, answer):
    responses = document["paths"][request.route][request.method.lower()]["responses"]
    if str(answer.status) not in responses:
        yield f"status {answer.status}"
        return
    for media_type, content in responses[str(answer.status)].get("content", {}).items():
        if media_type not in {"*/*", answer.content_type}:
            yield f"media type {answer.content_type}"
        if "schema" in content:
            yield from _mismatches(document, content["schema"], answer)


def _mismatches(document, schema, answer):
    if answer.content_type == "text/event-stream":
        lines = answer.body.decode().splitlines()
        body = [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]
    elif schema.get("format") == "binary":
        return
    else:
        body = json.loads(answer.body)
    # OpenAPI 3.0's schemas are JSON Schema's draft 4 with `nullable`.
    whole = {**_with_nullable(schema), "components": _with_nullable(document["components"])}
    validator = jsonschema.Draft4Validator(whole, format_checker=jsonschema.FormatChecker())
    for error in validator.iter_errors(body):
        yield f"{error.json_path}: {error.message[:200]}"


def _with_nullable(schema):
    if isinstance(schema, list):
        return [_with_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _with_nullable(each) for name, each in schema.items()}
    if made.pop("nullable", False) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made
