"""The scaffold prints the code that the project has, except for parts that were changed by hand."""

from __future__ import annotations

import ast
import asyncio
import enum
import inspect
import subprocess
import sys
import textwrap
import types
import typing
from datetime import datetime
from pathlib import Path
from types import NoneType

import attrs
import pytest
from comparison import Comparison
from deviations import DEVIATIONS
from digest import operations, stored
from operations import Recorded, described, stand_in
from scaffold import (
    NotDescribedError,
    Operation,
    class_of,
    formatted,
    found,
    method,
    model,
    plural,
    row_of_test,
    snake,
)
from test_conformance import CANCELS, COMPUTED

from peaka_async import models
from peaka_async._request import Request, Safety
from peaka_async.endpoints._deprecated import deprecated

ROOT = Path(__file__).parents[2]
DOCUMENT = stored()
CODE = {(each.request.method, each.request.route): each for each in described()}
BY_ID = {operation["operationId"]: CODE[verb, route] for verb, route, operation in operations(DOCUMENT)}

# The operation sends a file, or answers with events.
NOT_DESCRIBED = {"chatStream", "importCsv"}

# The document's names are misspelt, repeat the path, or do not say that they list or start something.
NAMED_BY_HAND = {
    "addOrRemoveQueryFromFolder",
    "cancelIncrementalCache",
    "createInternalBiTable",
    "createQueryFolderAtRoot",
    "createQueryFolderWithParentId",
    "createSemanticTable",
    "csvSample",
    "deleteSemanticTable",
    "exportQuery",
    "exportTable",
    "getCacheExecutionHistory",
    "getCacheStatusByCatalog",
    "getCacheStatusByProject",
    "getCacheStatusBySchema",
    "getJdbcDriver",
    "getProjectCatalogMetadataRelations",
    "getProjectMetadata",
    "getRefreshMetadataJobStatus",
    "getSqlAlchemyDriver",
    "initSession_1",
    "registerMetadatRefreshCallback",
    "shareSemanticTable",
    "unRegisterMetadatRefreshCallback",
    "updateMetadata",
    "updateMetadataWithCatalogId",
    "updateMetadataWithCatalogIdAndSchemaName",
}


def test_names_follow_one_rule():
    """All names follow the rule, except the listed names that were chosen by hand."""
    by_rule = {each: f"{found(each, DOCUMENT).group}.{found(each, DOCUMENT).method}" for each in BY_ID}

    assert {each for each, name in by_rule.items() if name != BY_ID[each].name} == NAMED_BY_HAND


def executed(source, **names):
    known = {name: getattr(models, name) for name in models.__all__}
    known |= {"Request": Request, "Safety": Safety, "NoneType": NoneType, "List": list, "datetime": datetime}
    known |= {"attrs": attrs, "enum": enum, "deprecated": deprecated, **names}
    exec(compile(source, "scaffold", "exec", dont_inherit=True), known)  # noqa: S102 - that it runs is the test
    return known


def requested(operation):
    """The request that the printed method makes."""

    class Group:
        async def _send(self, request):
            raise Recorded(request)

    # Inside a class, as in the project, where a method `list` must not hide the builtin from annotations.
    kind = executed("class Printed:\n" + textwrap.indent(method(operation), "    "))["Printed"]
    printed = inspect.unwrap(getattr(kind, operation.method))
    hints = typing.get_type_hints(printed)
    arguments = {name: stand_in(name, hints[name]) for name in list(inspect.signature(printed).parameters)[1:]}
    with pytest.raises(Recorded) as raised:
        asyncio.run(printed(Group(), **arguments))
    return raised.value.request


@pytest.mark.parametrize("operation_id", sorted(BY_ID.keys() - NOT_DESCRIBED))
def test_the_method_makes_the_request_of_the_code(operation_id):
    """Method, route, parameters, kind of key, safety and answer are equal, except for listed deviations."""
    got, code = requested(found(operation_id, DOCUMENT)), BY_ID[operation_id]
    expected = code.request

    assert (got.method, got.route, got.partner_only) == (expected.method, expected.route, expected.partner_only)
    assert (len(got.path), got.query.keys()) == (len(expected.path), expected.query.keys())
    assert (got.body is None) == (expected.body is None)
    if code.name not in COMPUTED | CANCELS:
        assert got.safety is expected.safety
    if f"{code.name}(answer)" not in DEVIATIONS:
        assert got.returns == expected.returns


def without_docstring(source):
    (function,) = ast.parse(textwrap.dedent(source)).body
    function.body = function.body[1:]
    return ast.unparse(function)


@pytest.mark.parametrize(
    "operation_id",
    [
        "createConnection",
        "deleteConnection",
        "deleteQueryFolder",
        "getQueryFolderTree",
        "listApiKeys",
        "listTables_1",
        "listWorkspaces",
        "updateWorkspace",
    ],
)
def test_the_method_is_the_codes_own(operation_id):
    """Names and arguments are equal if nothing was named by hand."""
    printed = formatted(method(found(operation_id, DOCUMENT)))

    assert without_docstring(printed) == without_docstring(inspect.getsource(BY_ID[operation_id].method))


SCHEMAS = [name for name, schema in DOCUMENT["components"]["schemas"].items() if "properties" in schema]


def test_models_are_what_the_document_says(monkeypatch):
    """Together, the printed models run and agree with the schemas, as the project's models do."""
    module = types.ModuleType("scaffolded")
    monkeypatch.setitem(sys.modules, "scaffolded", module)
    source = "\n".join(model(name, DOCUMENT) for name in SCHEMAS)
    vars(module).update(executed(f"from __future__ import annotations\n{source}", __name__="scaffolded"))
    comparison = Comparison(DOCUMENT)
    for name in SCHEMAS:
        comparison.compare_model(name, [getattr(module, name)], name)

    assert comparison.models.keys() == set(SCHEMAS)
    assert comparison.found == {}


@pytest.mark.parametrize(
    "name", ["Connection", "ExportJobResponse", "Workspace", "WorkspaceRequest", "QueryFolderItem"]
)
def test_a_model_has_the_fields_of_the_code(name):
    """The names are equal and in the same order."""
    (printed,) = [
        each for each in ast.parse(model(name, DOCUMENT)).body if isinstance(each, ast.ClassDef) and each.name == name
    ]
    fields = [each.target.id for each in printed.body if isinstance(each, ast.AnnAssign)]

    assert sorted(fields) == sorted(field.name for field in attrs.fields(getattr(models, name)))


def test_the_row_of_the_test_is_the_codes_own():
    """The row is that of `tests/endpoints/test_connections.py`."""
    assert row_of_test(found("getConnection", DOCUMENT)) == (
        'Call("connections.get", ("project_id", "connection_id"), "GET", "/connections/project_id/connection_id", '
        "returns=Connection, safety=Safety.SAFE),\n"
    )
    assert row_of_test(found("createWorkspace", DOCUMENT)) == (
        'Call("workspaces.create", ("organization_id", WORKSPACE), "POST", '
        '"/organizations/organization_id/workspaces", '
        "body=WORKSPACE, returns=Workspace, safety=Safety.ONCE, partner_only=True),\n"
    )
    assert row_of_test(found("deleteApiKey", DOCUMENT)).endswith("safety=Safety.IDEMPOTENT, partner_only=True),\n")


def test_it_prints_all_three_with_their_files():
    """`nox -s scaffold` runs this command."""
    command = [sys.executable, ROOT / "tools" / "scaffold.py", "createWorkspace"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603

    files = [line for line in printed.splitlines() if line.startswith("# ")]
    assert [line.split()[1].strip(",") for line in files] == [
        "peaka_async/endpoints/workspaces.py",
        "peaka_async/models/workspaces.py",
        "tests/endpoints/test_workspaces.py",
    ]
    assert "async def create(self, organization_id: str, workspace: WorkspaceRequest) -> Workspace:" in printed
    assert "class WorkspaceRequest:" in printed


@pytest.mark.parametrize(("operation_id", "says"), [("noSuchThing", "no operation"), ("importCsv", "multipart")])
def test_what_it_cannot_print_it_says(operation_id, says):
    """The error is an exit status and one line."""
    command = [sys.executable, ROOT / "tools" / "scaffold.py", operation_id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert says in done.stderr


def test_a_stream_is_for_a_person_to_describe():
    """The scaffold raises an error instead of printing wrong code."""
    with pytest.raises(NotDescribedError, match="stream of events"):
        _ = found("chatStream", DOCUMENT).returns


def test_a_new_operation_of_a_new_group():
    """New operations are named by the same rules."""
    described_one = {
        "operationId": "listAuditPolicies",
        "tags": ["Data -- Audit Policy"],
        "keys": ["partner"],
        "parameters": [{"name": "createdAfter", "in": "query", "required": True, "schema": {"type": "string"}}],
        "responses": {"200": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}}},
    }
    operation = Operation("GET", "/audit/{projectId}/policies", described_one, DOCUMENT)

    assert (operation.group, class_of(operation.group), operation.method) == ("audit_policies", "AuditPolicies", "list")
    assert 'query={"created_after": created_after}' in method(operation)
    assert "def list(self, project_id: str, *, created_after: str)" in method(operation)


@pytest.mark.parametrize(
    ("noun", "nouns"), [("query", "queries"), ("status", "statuses"), ("tables", "tables"), ("key", "keys")]
)
def test_plurals(noun, nouns):
    """Plurals are right for all nouns of the API."""
    assert plural(noun) == nouns


@pytest.mark.parametrize(
    ("name", "words"), [("transpileSQL", "transpile_sql"), ("restApiTokenUrl", "rest_api_token_url")]
)
def test_snakes(name, words):
    """Adjacent capital letters are one word."""
    assert snake(name) == words
