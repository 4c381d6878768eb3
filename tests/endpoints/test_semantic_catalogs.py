"""The requests that the methods of `semantic_catalogs` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.semantic_catalogs import SemanticCatalogs
from peaka_async.models import Catalog, CatalogShareRequest, SemanticCatalogRequest, SemanticTable, SemanticTableRequest

CATALOG = SemanticCatalogRequest(name="name")
TABLE = SemanticTableRequest(schema_name="schema")
SHARE = CatalogShareRequest(target="target")
CALLS = [
    Call(
        "semantic_catalogs.create",
        ("p", CATALOG),
        "POST",
        "/data/projects/p/semantic-catalogs",
        body=CATALOG,
        returns=Catalog,
        safety=Safety.ONCE,
    ),
    Call(
        "semantic_catalogs.create_table",
        ("p", "c", TABLE),
        "POST",
        "/data/projects/p/semantic-catalogs/c",
        body=TABLE,
        returns=SemanticTable,
        safety=Safety.ONCE,
    ),
    Call(
        "semantic_catalogs.share",
        ("p", "c", SHARE),
        "POST",
        "/data/projects/p/semantic-catalogs/c/share",
        body=SHARE,
        safety=Safety.ONCE,
    ),
    Call(
        "semantic_catalogs.delete_table",
        ("p", "c", "ti"),
        "DELETE",
        "/data/projects/p/semantic-catalogs/c/table/ti",
        safety=Safety.IDEMPOTENT,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(SemanticCatalogs, call) == call
