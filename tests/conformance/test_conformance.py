"""The code agrees with the published document, except for deviations that have a reason."""

from __future__ import annotations

import inspect

import pytest
from comparison import Comparison
from deviations import DEVIATIONS, NOT_REACHED
from digest import operations
from operations import described

from peaka_async import models
from peaka_async._request import Content, Safety, camel

DESCRIBED = {each.name: each for each in described()}


@pytest.fixture(scope="module")
def published(document):
    return {(verb, path): operation for verb, path, operation in operations(document)}


@pytest.fixture(params=DESCRIBED.values(), ids=DESCRIBED)
def described_one(request):
    return request.param


@pytest.fixture
def published_one(described_one, published):
    request = described_one.request
    return published[request.method, request.route]


def test_each_operation_has_one_method(published):
    """No operation is missing or described twice; the error names new operations of a newer document."""
    got = sorted((each.request.method, each.request.route) for each in DESCRIBED.values())

    added = sorted(published.keys() - set(got))
    assert not added, f"the document has {len(added)} operations that the code lacks: {added}"
    assert got == sorted(published)


def test_path_parameters_come_first_and_in_order(described_one):
    """Each path parameter is filled by the argument at its position."""
    names = list(described_one.arguments)[: len(described_one.request.path)]

    assert list(described_one.request.path.values()) == [described_one.arguments[name] for name in names]
    assert described_one.request.target()


def test_query_parameters(described_one, published_one):
    """The names are equal; required parameters are required arguments, and others can be left out."""
    wanted = {each["name"]: each["required"] for each in published_one.get("parameters", []) if each["in"] == "query"}
    parameters = inspect.signature(described_one.method).parameters
    values = {camel(name): value for name, value in described_one.request.query.items()}
    required = {
        camel(name): parameters[name].default is inspect.Parameter.empty
        for name in described_one.request.query
        if name in parameters
    }

    assert values.keys() == wanted.keys()
    assert {name: required.get(name, False) for name in wanted} == wanted
    assert None not in values.values()


def test_kinds_of_keys(described_one, published_one):
    """Operations that need a Partner key are marked."""
    assert described_one.request.partner_only == (published_one["keys"] == ["partner"])


def test_what_is_deprecated_says_so(described_one, published_one):
    """The deprecation shows in type checkers, in the docstring and at run time."""
    assert hasattr(described_one.method, "__deprecated__") == published_one.get("deprecated", False)


COMPUTED = {"queries.execute", "catalogs.search", "sql.transpile"}
CANCELS = {
    "cache.cancel_full_refresh",
    "cache.cancel_incremental_update",
    "materialized_queries.cancel",
}


def test_safety(described_one):
    """The safety follows from the HTTP method, except for POSTs that only compute or cancel."""
    by_verb = {"GET": Safety.SAFE, "PUT": Safety.IDEMPOTENT, "DELETE": Safety.IDEMPOTENT}
    expected = by_verb.get(described_one.request.method, Safety.ONCE)
    if described_one.name in COMPUTED:
        expected = Safety.SAFE
    if described_one.name in CANCELS:
        expected = Safety.IDEMPOTENT

    assert described_one.request.safety is expected


def body_schema(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema")


def answer_schema(operation):
    """The type is that of the successful answer's schema and media type."""
    (answer,) = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for media_type, content in answer.get("content", {}).items():
        return media_type, content.get("schema", {})
    return None, None


def body_hint(each):
    for name, value in each.arguments.items():
        if value is each.request.body:
            return each.hints[name]
    return type(None)


def test_bodies_answers_and_models(document, published):
    """Each schema has a model with the same fields. All deviations are listed, and all listed deviations exist."""
    comparison = Comparison(document)
    for name, each in DESCRIBED.items():
        operation = published[each.request.method, each.request.route]
        if not isinstance(each.request.body, Content):
            comparison.compare(body_schema(operation), body_hint(each), f"{name}(body)")
        media_type, schema = answer_schema(operation)
        if each.request.returns is not bytes or media_type in {None, "application/json", "*/*"}:
            comparison.compare(schema, each.request.returns, f"{name}(answer)")

    unexplained = {place: found for place, found in comparison.found.items() if place not in DEVIATIONS}
    assert unexplained == {}
    assert DEVIATIONS.keys() - comparison.found.keys() == set()
    schemas = {name for name, schema in document["components"]["schemas"].items() if "properties" in schema}
    assert schemas - comparison.models.keys() == NOT_REACHED
    assert schemas <= set(models.__all__)
