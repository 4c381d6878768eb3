"""The whole document, if it is there: the stored digest is current, and the code reads the examples."""

from __future__ import annotations

import json

import pytest
from deviations import EXAMPLES_BEYOND_THE_SCHEMA, NOT_JSON
from digest import digest, stored
from scaffold import Operation, page, summary_of
from test_conformance import DESCRIBED, body_hint

from peaka_async._codec import decode, encode


def test_the_digest_is_the_documents(whole):
    """A newer document needs a new digest: `python tools/digest.py DOCUMENT`."""
    assert digest(whole) == stored()


@pytest.fixture(params=DESCRIBED.values(), ids=DESCRIBED)
def described_one(request):
    return request.param


@pytest.fixture
def published_one(described_one, whole):
    request = described_one.request
    return whole["paths"][request.route][request.method.lower()]


def examples(content):
    for media in content.values():
        if "example" in media:
            yield media["example"]
        yield from (example["value"] for example in media.get("examples", {}).values())


def known(value):
    """The value without its null members."""
    if isinstance(value, dict):
        return {name: known(member) for name, member in value.items() if member is not None}
    return [known(item) for item in value] if isinstance(value, list) else value


def test_example_requests_are_sent_as_they_stand(described_one, published_one):
    """Each example of a request, read as the method's argument, is sent unchanged."""
    hint = body_hint(described_one)
    for example in examples(published_one.get("requestBody", {}).get("content", {})):
        sent = json.loads(encode(decode(json.dumps(example).encode(), hint)))
        beyond = EXAMPLES_BEYOND_THE_SCHEMA.get(described_one.name, set())
        expected = known(example)
        if isinstance(expected, dict):
            expected = {name: member for name, member in expected.items() if name not in beyond}

        assert sent == expected


def test_example_answers_are_read(described_one, published_one):
    """Each example of an answer is decoded to the method's type, and encodes to the same JSON."""
    returns = described_one.request.returns
    for status, answer in published_one["responses"].items():
        if not status.startswith("2") or returns in {bytes, type(None)}:
            continue
        for example in examples(answer.get("content", {})):
            if isinstance(example, str) and described_one.name in NOT_JSON:
                continue
            if hasattr(returns, "from_text"):
                read = returns.from_text(json.dumps(example))
                assert read.jdbc or read.sql_alchemy
                continue
            value = decode(json.dumps(example).encode(), returns)

            assert decode(encode(value), returns) == value
            assert value not in (None, [], {}) or example in (None, [], {})


def test_each_method_names_its_page(described_one, whole):
    """The link in the docstring follows the scheme of the documentation's addresses."""
    request = described_one.request
    operation = Operation(
        request.method, request.route, digest(whole)["paths"][request.route][request.method.lower()], {}
    )

    assert f"[API page]({page(operation, summary_of(operation, whole))})" in described_one.method.__doc__
