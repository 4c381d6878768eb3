"""Capped reads, execution, saved queries and their folders: what the service does."""

from __future__ import annotations

import pytest

CUSTOMERS = "stripe.payment.customers"
CHARGES = "SELECT id, amount FROM stripe.payment.charges"


@pytest.mark.parametrize("table", [CUSTOMERS, "hubspot.crm.contacts", "google_ads.public.campaign"])
async def test_a_scan_of_an_uncached_api_table_stops_at_100_rows(local, table):
    """Fact: COUNT gives 100, and nothing says so."""
    assert await local.count(table) == 100


async def test_where_filters_the_first_100_rows(local):
    """Fact: of 85 refunded charges 15 are among the first 100 of 652."""
    assert await local.rows("SELECT COUNT(*) FROM stripe.payment.charges WHERE refunded") == [["15"]]


async def test_joins_and_aggregates_see_100_rows(local):
    """Fact: the cap lies beneath everything."""
    sql = f"SELECT COUNT(*) FROM {CUSTOMERS} s JOIN postgres.public.orders o ON o.customer_email = s.email"

    assert await local.rows(sql) == [["5000"]]
    assert await local.rows("SELECT COUNT(DISTINCT customer) FROM stripe.payment.charges") == [["100"]]


@pytest.mark.parametrize(
    ("table", "rows"),
    [("postgres.public.orders", 25_000), ("mongo.e_commerce.products", 60), ("peaka.bitable.events", 5)],
)
async def test_databases_and_internal_tables_are_never_capped(local, table, rows):
    """Fact: they give all rows."""
    assert await local.count(table) == rows


async def test_a_capped_table_without_rows_is_empty(local):
    """Fact: `transfers` has none."""
    assert await local.count("stripe.payment.transfers") == 0


async def test_every_cell_is_a_text_or_null(local):
    """Fact: bigint "25000", double in Java's notation, decimal with its scale, dates as dates."""
    sql = "SELECT id, weight, total, ordered_on, paid, shipped_at FROM postgres.public.orders WHERE id = 25000"

    assert await local.rows(sql) == [["25000", "1.254740786E7", "312500.0000000000", "2024-07-12", "false", None]]


async def test_cell_typed_carries_the_types(local):
    """Fact: each cell has its column's name, type and order."""
    _, answer = await local.execute({"statement": f"{CHARGES} LIMIT 1"}, "CELL_TYPED")

    assert answer["data"][0][1] == {
        "name": "amount",
        "displayName": "amount",
        "dataType": "bigint",
        "order": 1,
        "value": "500",
    }
    assert answer["columns"][1] == {
        "catalogName": "stripe",
        "schemaName": "payment",
        "tableName": "charges",
        "columnName": "amount",
    }


async def test_no_rows_carry_no_types(local):
    """Fact: only cells have types."""
    _, answer = await local.execute({"statement": f"{CHARGES} WHERE FALSE"}, "CELL_TYPED")

    assert (len(answer["columns"]), answer["data"]) == (2, [])


async def test_simple_collapses_columns_of_one_name(local):
    """Fact: of two columns named `id` one survives; COMPACT keeps both."""
    sql = {"statement": "SELECT a.id, b.id FROM postgres.public.small_01 a, postgres.public.small_01 b LIMIT 1"}

    assert (await local.execute(sql, "SIMPLE"))[1]["data"] == [{"id": "1"}]
    assert (await local.execute(sql, "COMPACT"))[1]["data"] == [["1", "1"]]


async def test_an_unknown_format_is_400(local):
    """There are three."""
    assert (await local.execute({"statement": "SELECT 1"}, "XML"))[0] == 400


async def test_a_saved_query_runs_by_its_id(local):
    """Fact: ids are strings."""
    query = await local.query(CHARGES)
    status, answer = await local.execute({"id": query["id"]})

    assert (status, len(answer["data"])) == (200, 100)


@pytest.mark.parametrize("body", [{"id": 7}, {"queryId": "7"}, {}], ids=["a number", "another key", "nothing"])
async def test_an_id_of_another_form_is_400(local, body):
    """Fact: a numeric id or another key is 400."""
    assert (await local.execute(body))[0] == 400


async def test_a_deleted_query_is_400(local):
    """Fact: reading or executing it is 400 "There is no query with id", cn004."""
    query = await local.query(CHARGES)
    await local.good("DELETE", f"{local.data}/queries/{query['id']}")
    read = await local.call("GET", f"{local.data}/queries/{query['id']}")
    executed = await local.execute({"id": query["id"]})

    assert read == executed
    assert (read[0], read[1]["errorCode"]) == (400, "cn004")
    assert read[1]["message"].startswith("There is no query with id")


@pytest.mark.parametrize("name", ["peaka.query.q", '"stripe"."payment"."charges"'])
async def test_a_qualified_name_is_a_query_or_a_table(local, name):
    """Both have one."""
    await local.query(CHARGES)

    assert (await local.execute({"qualifiedName": name}))[0] == 200


async def test_a_query_put_together_of_its_parts(local):
    """Columns, filters, order, limit and offset."""
    table = {"catalogName": "postgres", "schemaName": "public", "tableName": "orders"}
    body = {
        "columns": ["id"],
        "from": [table],
        "filters": {"and": [[{"column": {**table, "columnName": "id"}}, ">", [10]]]},
        "orderBy": ["id DESC"],
        "limit": 2,
        "offset": 1,
    }

    assert (await local.execute(body))[1]["data"] == [["24999"], ["24998"]]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ([["id"], "in", [1, 3]], ["1", "3"]),
        ([["id"], "not in", [1, 3]], ["2"]),
        ([["name"], "like", ["%2 of%"]], ["2"]),
        ([["name"], "is not null"], ["1", "2", "3"]),
        ([["id"], "<=", [2]], ["1", "2"]),
    ],
)
async def test_operators_of_filters(local, condition, ids):
    """Each is a column, an operator, and its values."""
    (column,), *rest = condition
    table = {"catalogName": "postgres", "schemaName": "public", "tableName": "small_01"}
    body = {
        "columns": ["id"],
        "from": [table],
        "filters": {"or": [[{"column": {**table, "columnName": column}}, *rest]]},
        "orderBy": ["id"],
    }

    assert [row[0] for row in (await local.execute(body))[1]["data"]] == ids


async def test_a_builder_names_a_catalog_by_id_too(local):
    """`catalogId` stands for the catalog's name."""
    body = {"from": [{"catalogId": local.catalog("hubspot"), "schemaName": "crm", "tableName": "deals"}], "limit": 1}

    assert (await local.execute(body))[1]["data"] == [["9000", "5000", "0.00", "open"]]


async def test_writing_is_not_allowed(local):
    """Fact: INSERT, UPDATE, DELETE, CREATE are 400 "Statement type 'X' is not allowed"."""
    status, body = await local.execute({"statement": "INSERT INTO peaka.table.x VALUES (1)"})

    assert (status, body["message"]) == (400, "Statement type 'INSERT' is not allowed")


async def test_offset_comes_before_limit(local):
    """Fact: the reverse is a syntax error."""
    assert (await local.execute({"statement": f"{CHARGES} OFFSET 1 LIMIT 1"}))[0] == 200
    assert (await local.execute({"statement": f"{CHARGES} LIMIT 1 OFFSET 1"}))[0] == 400


@pytest.mark.parametrize(
    ("sql", "names"), [("nope.a.b", "nope"), ("stripe.nope.b", "nope"), ("stripe.payment.nope", "nope")]
)
async def test_what_does_not_exist_is_named(local, sql, names):
    """Fact: unknown schema, table or column is 400 that names it."""
    status, body = await local.execute({"statement": f"SELECT * FROM {sql}"})

    assert status == 400
    assert names in body["message"]


async def test_an_unknown_column_is_named(local):
    """Fact: 400 that names it."""
    _, body = await local.execute({"statement": f"SELECT nope FROM {CUSTOMERS}"})

    assert "'nope'" in body["message"]


async def test_a_querys_name_works_in_sql(local):
    """Fact: `"peaka"."query"."name"`, in lower case."""
    query = await local.query(CHARGES, "My Refunds")

    assert query["name"] == "myrefunds"
    assert await local.count('"peaka"."query"."myrefunds"') == 100


async def test_the_sql_of_a_query_is_bound_when_it_runs(local):
    """Fact: dropping the table breaks the run with 4xx, making it again mends it."""
    table = f"{local.data}/table/people"
    await local.good("POST", table)
    query = await local.query("SELECT * FROM peaka.table.people")
    await local.good("DELETE", table)
    broken, _ = await local.execute({"id": query["id"]})
    await local.good("POST", table)

    assert (broken, (await local.execute({"id": query["id"]}))[0]) == (400, 200)


async def test_sql_that_does_not_parse_is_not_saved(local):
    """A name that does not exist is, unless the request asks."""
    path = f"{local.data}/queries"
    body = {"displayName": "Q", "inputQuery": "SELECT * FROM nope.a.b"}

    assert (await local.call("POST", path, {**body, "inputQuery": "SELEC"}))[0] == 400
    assert (await local.call("POST", path, body))[0] == 200
    assert (await local.call("POST", f"{path}?checkSchemaExists=true", body))[0] == 400


async def test_a_put_is_partial(local):
    """Fact: what is left out stays."""
    query = await local.query(CHARGES, path="/reports")
    changed = await local.good("PUT", f"{local.data}/queries/{query['id']}", {"displayName": "Other"})

    assert changed == {**query, "displayName": "Other"}


async def test_the_root_has_a_path_and_no_folder(local):
    """Fact: `path "/"`, `folderId null`."""
    query = await local.query(CHARGES)

    assert (query["path"], query["folderId"]) == ("/", None)


async def test_moving_creates_a_folder_that_outlives_the_query(local):
    """Fact: the folder stays when the query is deleted."""
    query = await local.query(CHARGES)
    await local.good("PATCH", f"{local.data}/queries/{query['id']}/path", {"path": "/reports/monthly"})
    moved = await local.good("GET", f"{local.data}/queries/{query['id']}")
    await local.good("DELETE", f"{local.data}/queries/{query['id']}")
    folders = await local.good("GET", f"{local.data}/queries/folders")

    assert moved["path"] == "/reports/monthly"
    assert [each["path"] for each in folders["items"]] == ["/reports", "/reports/monthly"]


async def test_folders_are_listed_as_items(local):
    """Fact: `{items}`; the parent of one at the root is null."""
    await local.good("POST", f"{local.data}/queries/folders", {"folderName": "a"})

    (folder,) = (await local.good("GET", f"{local.data}/queries/folders"))["items"]
    assert folder["parentId"] is None


async def test_a_folder_is_201_and_the_same_again_409(local):
    """A name that is a path makes the folders between."""
    path = f"{local.data}/queries/folders"
    status, made = await local.call("POST", path, {"folderName": "a/b"})

    assert (status, made["path"]) == (201, "/a/b")
    assert (await local.call("POST", path, {"folderName": "a/b"}))[0] == 409


async def test_a_folder_that_is_not_empty_needs_force(local):
    """With force its folders and queries go too."""
    query = await local.query(CHARGES, path="/a/b")
    tree = await local.good("GET", f"{local.data}/queries/folders/tree")
    path = f"{local.data}/queries/folders/{tree['tree'][0]['id']}"

    assert (await local.call("DELETE", path))[0] == 409
    assert await local.call("DELETE", f"{path}?force=true") == (204, None)
    assert (await local.call("GET", f"{local.data}/queries/{query['id']}"))[0] == 400


async def test_a_folder_moves_with_what_is_in_it(local):
    """Paths follow from the folders; a folder cannot move into itself."""
    query = await local.query(CHARGES, path="/a/b")
    tree = await local.good("GET", f"{local.data}/queries/folders/tree")
    path = f"{local.data}/queries/folders/{tree['tree'][0]['id']}"
    moved = await local.good("PATCH", f"{path}/path", {"path": "/archive/a"})
    renamed = await local.good("PATCH", f"{path}/name", {"name": "z"})

    assert (moved["path"], renamed["path"]) == ("/archive/a", "/archive/z")
    assert (await local.good("GET", f"{local.data}/queries/{query['id']}"))["path"] == "/archive/z/b"
    assert (await local.call("PATCH", f"{path}/path", {"path": "/archive/z/b/z"}))[0] == 409


async def test_queries_are_put_into_a_folder_and_taken_out(local):
    """Both lists are needed."""
    query = await local.query(CHARGES)
    folder = await local.good("POST", f"{local.data}/queries/folders", {"folderName": "a"})
    path = f"{local.data}/queries/folders/{folder['id']}"
    put = await local.good("PUT", path, {"queryIdsAdded": [query["id"]], "queryIdsRemoved": []})
    taken = await local.good("PUT", path, {"queryIdsAdded": [], "queryIdsRemoved": [query["id"]]})

    assert ([each["id"] for each in put["queries"]], taken["queries"]) == ([query["id"]], [])
    assert (await local.call("PUT", path, {"queryIdsAdded": []}))[0] == 400


async def test_transpile_reads_the_dialect(local):
    """Fact: `{"query": …}`, from mysql with its backticks."""
    answer = await local.good("POST", "/sql/transpile/mysql", {"query": "SELECT `id` FROM `a`.`b` LIMIT 1, 2"})

    assert answer == {"query": 'SELECT "id" FROM "a"."b" OFFSET 1 LIMIT 2'}


async def test_strictly_transpile_writes_the_dialect(strict):
    """The document: from Trino into mysql, as `result`."""
    answer = await strict.good("POST", "/sql/transpile/mysql", {"query": 'SELECT "id" FROM "a"."b"'})

    assert answer == {"result": "SELECT `id` FROM `a`.`b`"}


async def test_an_unknown_dialect_is_400(local):
    """It is named."""
    assert (await local.call("POST", "/sql/transpile/nope", {"query": "SELECT 1"}))[0] == 400
