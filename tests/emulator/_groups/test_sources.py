"""Connections, catalogs, search, parametric and semantic tables: what the service does."""

from __future__ import annotations

import pytest

POSTGRES = {"url": "db", "port": 5432, "user": "u", "password": "p", "databaseName": "d", "useSsl": True}


@pytest.mark.parametrize("broken", [{"password": "wrong"}, {"port": 1}], ids=["password", "port"])
async def test_a_source_that_does_not_answer(local, broken):
    """Fact: wrong password and unreachable port are INVALID_CREDENTIALS, name a route and never the credential."""
    credential = {**POSTGRES, "user": "the-secret-user", **broken}
    status, body = await local.call(
        "POST", "/connections/{p}", {"name": "pg", "type": "POSTGRES", "credential": credential}
    )

    assert (status, body["error"]) == (400, "INVALID_CREDENTIALS")
    assert "http://" in body["message"]
    assert "the-secret-user" not in str(body)


async def test_a_schema_error_repeats_what_was_sent(local):
    """Fact: the text of a schema error can hold the credential."""
    body = {"name": "pg", "type": "POSTGRES", "credential": {"user": "the-secret-user"}}
    status, answer = await local.call("POST", "/connections/{p}", body)

    assert status == 400
    assert "the-secret-user" in answer["message"]


async def test_an_access_token_alone_is_enough(local):
    """Fact: `{accessToken}` is a whole credential of an OAuth2 connector."""
    body = {"name": "crm", "type": "hubspot", "credential": {"accessToken": "t"}}

    assert "url" not in await local.good("POST", "/connections/{p}", body)


async def test_a_deleted_connection_is_400(local):
    """Fact: the document says 404, the service 400 with a message and cn004."""
    status, body = await local.call("GET", "/connections/{p}/nope")

    assert (status, body["errorCode"]) == (400, "cn004")
    assert "nope" in body["message"]


async def test_strictly_a_deleted_connection_is_404(strict):
    """The document: 404."""
    assert (await strict.call("GET", "/connections/{p}/nope"))[0] == 404


async def test_the_catalogs_of_the_seed(local):
    """Fact: types of catalogs, and two that have no connection."""
    catalogs = await local.good("GET", f"{local.data}/catalogs")

    assert {each["name"]: each["catalogType"] for each in catalogs if each["connectionId"]} == {
        "stripe": "stripe",
        "hubspot": "hubspot",
        "postgres": "peaka_postgres",
        "mongo": "peaka_mongodb",
        "google_ads": "google_ads",
    }
    assert [each["id"] for each in catalogs if each["connectionId"] is None] == ["1", "2"]


async def test_a_taken_name_is_an_error_code(local):
    """Fact: a duplicate name is 400 `{errorCode: 100}`."""
    body = {"name": "Stripe", "connectionId": local.emulator.state.seeded[0]}
    status, answer = await local.call("POST", f"{local.data}/catalogs", body)

    assert (status, answer["errorCode"]) == (400, 100)


async def test_strictly_a_taken_name_is_a_string(strict):
    """The document: 400 with a string."""
    body = {"name": "stripe", "connectionId": strict.emulator.state.seeded[0]}

    assert await strict.call("POST", f"{strict.data}/catalogs", body) == (
        400,
        "There are already a catalog with same name!!",
    )


async def test_a_catalog_of_another_name_has_the_same_tables(local):
    """A catalog is made over a connection, and can be queried at once."""
    body = {"name": "My Shop", "connectionId": local.emulator.state.seeded[0]}
    made = await local.good("POST", f"{local.data}/catalogs", body)

    assert (made["name"], made["displayName"]) == ("my_shop", "My Shop")
    assert await local.count("my_shop.payment.refunds") == 85


async def test_a_catalog_that_waits_for_its_consent_cannot_be_made(local):
    """The connection has no access yet."""
    request = {"name": "crm", "type": "hubspot", "connectionCallback": "https://app.example/done"}
    pending = await local.good("POST", "/connections/{p}", request)
    status, _ = await local.call("POST", f"{local.data}/catalogs", {"name": "crm", "connectionId": pending["id"]})

    assert status == 400


async def test_without_its_connection_a_catalog_gives_400(local):
    """Fact: errors, never 5xx, once the connection is deleted."""
    stripe = local.catalog("stripe")
    await local.good("DELETE", f"/connections/{{p}}/{local.emulator.state.seeded[0]}")
    status, body = await local.call("GET", f"{local.data}/catalogs/{stripe}/schemas/payment/tables")

    assert (status, body["errorCode"]) == (400, "cn004")


async def test_built_in_catalogs_stay(local):
    """They cannot be deleted."""
    assert (await local.call("DELETE", f"{local.data}/catalogs/1"))[0] == 400


async def test_which_tables_can_be_cached(local):
    """Fact: API tables can, both ways; databases and internal tables cannot."""
    path = f"{local.data}/catalogs/{local.catalog('stripe')}/schemas/payment/tables/charges/isCached"
    api = await local.good("GET", path)
    path = f"{local.data}/catalogs/{local.catalog('postgres')}/schemas/public/tables/orders/isCached"
    database = await local.good("GET", path)

    assert api == {"supportedCacheTypes": ["FULL_REFRESH", "INCREMENTAL"], "isCached": False, "isCacheable": True}
    assert database == {"supportedCacheTypes": [], "isCached": False, "isCacheable": False}


async def test_of_a_saved_query_the_service_knows_less(local):
    """Fact: isCached answers may lack what is not known."""
    await local.query("SELECT 1 AS one")

    assert await local.good("GET", f"{local.data}/catalogs/2/schemas/query/tables/q/isCached") == {"isCached": False}


async def test_columns_of_a_table(local):
    """Trino's types; the hidden column of MongoDB is in no list."""
    path = f"{local.data}/catalogs/{local.catalog('mongo')}/schemas/e_commerce/tables/products/columns"
    columns = await local.good("GET", path)

    assert [(each["name"], each["dataType"]) for each in columns] == [
        ("name", "varchar"),
        ("category", "varchar"),
        ("price", "double"),
    ]


async def test_columns_of_a_saved_query(local):
    """They are found out by asking it."""
    await local.query("SELECT id, amount FROM stripe.payment.charges")
    columns = await local.good("GET", f"{local.data}/catalogs/2/schemas/query/tables/q/columns")

    assert [(each["name"], each["dataType"]) for each in columns] == [("id", "varchar"), ("amount", "bigint")]


async def test_google_ads_tables_are_dynamic(local):
    """Fact: more than 100 tables, each with synthetic `_q_…` columns."""
    path = f"{local.data}/catalogs/{local.catalog('google_ads')}/schemas/public/tables"
    tables = await local.good("GET", path)
    columns = await local.good("GET", f"{path}/{tables[0]['tableName']}/columns")

    assert len(tables) > 100
    assert all(each["isDynamicTable"] for each in tables)
    assert [each["name"] for each in columns if each["name"].startswith("_q_")] == ["_q_start_date", "_q_end_date"]


async def test_statistics_of_postgres(local):
    """Fact: figures for each column; minus the fraction of rows that are distinct."""
    path = f"{local.data}/catalogs/{local.catalog('postgres')}/schemas/public/tables/orders/statistics"
    figures = {
        each["columnName"]: each["distinctFraction"] for each in (await local.good("GET", path))["columnStatistics"]
    }

    assert (figures["id"], figures["paid"]) == (-1.0, -0.0001)


async def test_statistics_of_all_others(local):
    """Fact: 400 "is not being supported yet"."""
    path = f"{local.data}/catalogs/{local.catalog('stripe')}/schemas/payment/tables/charges/statistics"
    status, body = await local.call("GET", path)

    assert (status, body["message"]) == (400, "Catalog type: stripe is not being supported yet")


async def test_search_pages_through_all_groups(local):
    """Fact: `limit` and `offset`, `nextOffset` null at the end."""
    found, offset = [], 0
    while offset is not None:
        page = await local.good("POST", f"{local.data}/search", {"query": "c", "limit": 50, "offset": offset})
        found += [
            each for group in ("matchedCatalogs", "matchedSchemas", "matchedTables") for each in page[group] or []
        ]
        offset = page["meta"]["page"]["nextOffset"]
    whole = await local.good("POST", f"{local.data}/search", {"query": "c", "limit": 1000})

    assert len(found) > 50
    assert found == [
        each for group in ("matchedCatalogs", "matchedSchemas", "matchedTables") for each in whole[group] or []
    ]


async def test_a_search_group_without_a_match_is_null(local):
    """Fact: null, not []; the text is echoed in `meta.query.text`."""
    answer = await local.good("POST", f"{local.data}/search", {"query": "charges"})

    assert (answer["matchedCatalogs"], answer["matchedSchemas"]) == (None, None)
    assert answer["matchedTables"] == [{"catalog": "stripe", "schema": "payment", "table": "charges"}]
    assert answer["meta"]["query"]["text"] == "charges"


async def test_search_within_a_catalog(local):
    """A catalog narrows the tables; its name in SQL is meant."""
    answer = await local.good("POST", f"{local.data}/search", {"query": "s", "catalog": "hubspot"})

    assert {each["catalog"] for each in answer["matchedTables"]} == {"hubspot"}


async def test_a_shared_catalog_can_be_read(local):
    """The other project gets a catalog of its own with the same tables."""
    other = local.emulator.add_project("Other")
    share = f"{local.data}/catalogs/{local.catalog('stripe')}/share"
    shared = await local.good("POST", share, {"targetProjectId": other.id})
    body = {"statement": "SELECT COUNT(*) FROM stripe.payment.refunds"}
    answer = await local.good("POST", f"/data/projects/{other.id}/queries/execute?format=COMPACT", body, key=other.key)

    assert shared["sharedCatalogId"] in local.emulator.state.projects[other.id].catalogs
    assert answer["data"] == [["85"]]


async def test_a_parametric_table_is_queried_by_its_own_name(local):
    """It is the source's table with values for its parameters."""
    path = f"{local.data}/catalogs/{local.catalog('google_ads')}/parametricTables"
    body = {"fromSchema": "public", "fromTable": "campaign", "toSchema": "mine", "toTable": "this_week"}
    values = [{"key": "_q_start_date", "value": "@sow"}]
    await local.good("POST", path, {**body, "paramValues": values})

    assert await local.count("google_ads.mine.this_week") == 100
    assert (await local.call("POST", path, body))[0] == 400
    assert await local.call("DELETE", f"{path}?toSchema=mine&toTable=this_week") == (204, None)
    assert (await local.call("DELETE", f"{path}?toSchema=mine&toTable=this_week"))[0] == 404


async def test_a_semantic_table_is_a_query_under_another_name(local):
    """Deleting it leaves the query."""
    query = await local.query("SELECT id FROM stripe.payment.refunds")
    catalog = await local.good("POST", f"{local.data}/semantic-catalogs", {"name": "meaning"})
    path = f"{local.data}/semantic-catalogs/{catalog['id']}"
    body = {"schemaName": "shop", "tableName": "refunded", "queryId": query["id"]}
    table = await local.good("POST", path, body)
    count = await local.count("meaning.shop.refunded")
    await local.good("DELETE", f"{path}/table/{table['tableId']}")

    assert (count, catalog["type"]) == (85, "SEMANTIC")
    assert (await local.execute({"statement": "SELECT * FROM meaning.shop.refunded"}))[0] == 400
    assert (await local.execute({"id": query["id"]}))[0] == 200
