"""The requests that the methods of `catalogs` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, RecordingSender, made

from peaka_async import Safety
from peaka_async.endpoints.catalogs import Catalogs
from peaka_async.models import (
    Catalog,
    CatalogRequest,
    CatalogShareRequestV2,
    ColumnDetail,
    Schema,
    SearchRequest,
    SearchResult,
    SharedCatalogResponse,
    Table,
    TableCacheResult,
    TableStatistics,
)

CATALOG = CatalogRequest(name="name")
SHARE = CatalogShareRequestV2(target_project_id="target")
SEARCH = SearchRequest(catalog="catalog")
CALLS = [
    Call("catalogs.list", ("p",), "GET", "/data/projects/p/catalogs", returns=list[Catalog], safety=Safety.SAFE),
    Call(
        "catalogs.create",
        ("p", CATALOG),
        "POST",
        "/data/projects/p/catalogs",
        body=CATALOG,
        returns=Catalog,
        safety=Safety.ONCE,
    ),
    Call("catalogs.get", ("p", "c"), "GET", "/data/projects/p/catalogs/c", returns=Catalog, safety=Safety.SAFE),
    Call("catalogs.delete", ("p", "c"), "DELETE", "/data/projects/p/catalogs/c", safety=Safety.IDEMPOTENT),
    Call(
        "catalogs.list_schemas",
        ("p", "c"),
        "GET",
        "/data/projects/p/catalogs/c/schemas",
        returns=list[Schema],
        safety=Safety.SAFE,
    ),
    Call(
        "catalogs.list_tables",
        ("p", "c", "s"),
        "GET",
        "/data/projects/p/catalogs/c/schemas/s/tables",
        returns=list[Table],
        safety=Safety.SAFE,
    ),
    Call(
        "catalogs.list_columns",
        ("p", "c", "s", "t"),
        "GET",
        "/data/projects/p/catalogs/c/schemas/s/tables/t/columns",
        returns=list[ColumnDetail],
        safety=Safety.SAFE,
    ),
    Call(
        "catalogs.is_cached",
        ("p", "c", "s", "t"),
        "GET",
        "/data/projects/p/catalogs/c/schemas/s/tables/t/isCached",
        returns=TableCacheResult,
        safety=Safety.SAFE,
    ),
    Call(
        "catalogs.get_table_statistics",
        ("p", "c", "s", "t"),
        "GET",
        "/data/projects/p/catalogs/c/schemas/s/tables/t/statistics",
        returns=TableStatistics,
        safety=Safety.SAFE,
    ),
    Call(
        "catalogs.share",
        ("p", "c", SHARE),
        "POST",
        "/data/projects/p/catalogs/c/share",
        body=SHARE,
        returns=SharedCatalogResponse,
        safety=Safety.ONCE,
    ),
    Call(
        "catalogs.search",
        ("p", SEARCH),
        "POST",
        "/data/projects/p/search",
        body=SEARCH,
        returns=SearchResult,
        safety=Safety.SAFE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Catalogs, call) == call


@pytest.mark.parametrize(
    ("cacheable", "cached", "capped"),
    [(True, False, True), (True, True, False), (False, False, False), (None, False, None), (True, None, None)],
)
async def test_which_reads_are_capped(cacheable, cached, capped):
    """Those of a table that could be cached and is not; None if the service does not say."""
    sender = RecordingSender(TableCacheResult(None, cached, cacheable))

    assert await Catalogs(sender).read_is_capped("p", "c", "s", "t") is capped
