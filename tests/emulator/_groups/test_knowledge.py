"""Metadata and chat: what the service does, with answers that are always the same."""

from __future__ import annotations

import json

TABLE = "payment/charges"


async def document(local, table="charges"):
    documents = (await local.good("GET", f"/metadata/{{p}}?catalogId={local.catalog('stripe')}"))["metadata"]
    return next(each["metadata"] for each in documents if each["metadata"]["tableName"] == table)


async def test_metadata_are_documents_of_tables(local):
    """Fact: `{metadata: [{id, content, metadata: {…}}]}`, with `sampleValues` of columns."""
    found = await document(local)

    assert (found["catalogSubType"], found["catalogQueryName"], found["isCacheable"]) == ("stripe", "stripe", True)
    assert found["columns"][0]["sampleValues"] == ["id 1", "id 2"]


async def test_metadata_of_a_schema_alone(local):
    """By `schemaName`."""
    found = (await local.good("GET", "/metadata/{p}?schemaName=crm"))["metadata"]

    assert {each["metadata"]["tableName"] for each in found} == {"contacts", "companies", "deals"}


async def test_a_description_is_kept(local):
    """Of a table and its columns."""
    body = {"tableDescription": "Paid", "columns": [{"columnName": "amount", "columnDescription": "In cents"}]}
    await local.good("PUT", f"/metadata/{{p}}/{local.catalog('stripe')}/{TABLE}", body)
    found = await document(local)

    assert (found["tableDescription"], found["columns"][2]["columnDescription"]) == ("Paid", "In cents")


async def test_a_table_that_the_agent_may_not_use(local):
    """By catalog, by schema and by table."""
    path = f"/metadata/{{p}}/{local.catalog('stripe')}"
    await local.good("PUT", path, {"useWithAI": False})
    await local.good("PUT", f"{path}/{TABLE}", {"useWithAI": True})

    assert ((await document(local))["useWithAI"], (await document(local, "refunds"))["useWithAI"]) == (True, False)


async def test_values_of_a_categorical_column(local):
    """They are read from the table, and forgotten."""
    path = f"/metadata/{{p}}/categorical/{local.catalog('stripe')}/payment/charges/status"
    answer = await local.good("PUT", path, {"limit": 10, "frequency": "DAILY"})
    column = (await document(local))["columns"][4]
    await local.good("DELETE", path)

    assert answer["categoricalValues"] == column["categoricalValues"] == ["failed", "succeeded"]
    assert (await document(local))["columns"][4]["isCategorical"] is False


async def test_golden_sqls(local):
    """Fact: `{result: [{id, content, metadata: {sql, prompt, projectId}}]}`, and matches `{question, sql}`."""
    await local.good("POST", "/metadata/{p}/golden-sqls", {"prompt": "How many refunds?", "sql": "SELECT 85"})
    (kept,) = (await local.good("GET", "/metadata/{p}/golden-sqls"))["result"]
    matches = await local.good("GET", "/metadata/{p}/golden-sql/query?q=refunds")
    await local.good("DELETE", f"/metadata/{{p}}/golden-sqls/{kept['id']}")

    assert kept["metadata"]["sql"] == "SELECT 85"
    assert matches == {"result": [{"question": "How many refunds?", "sql": "SELECT 85"}]}
    assert await local.good("GET", "/metadata/{p}/golden-sqls") == {"result": []}


async def test_tables_that_match_a_text(local):
    """The best first."""
    found = (await local.good("GET", "/metadata/{p}/query?table=refunds%20charge&topK=1"))["result"]

    assert [each["tableName"] for each in found] == ["refunds"]


async def test_sample_questions_have_a_thread(local):
    """Fact: `{questions: [{question, category}], threadId}`."""
    answer = await local.good("GET", "/metadata/{p}/questions/generate?question=money")

    assert answer["threadId"]
    assert set(answer["questions"][0]) == {"question", "category"}


async def test_relations(local):
    """Fact: types MANY_TO_ONE, ONE_TO_MANY, ONE_TO_ONE; others are 400."""
    stripe = local.catalog("stripe")
    path = f"/metadata/{{p}}/relations/{stripe}"
    target = {"targetCatalogId": stripe, "targetSchemaName": "payment", "targetTableName": "customers"}
    body = {**target, "targetColumnName": "id", "type": "MANY_TO_ONE"}
    await local.good("POST", f"{path}/{TABLE}/customer", body)
    (relation,) = (await local.good("GET", path))["relations"]
    one = f"{path}/{TABLE}/{relation['id']}"
    await local.good("PUT", one, {"type": "ONE_TO_ONE"})

    assert (await document(local))["relations"][0]["type"] == "ONE_TO_ONE"
    assert (await local.call("PUT", one, {"type": "MANY_TO_MANY"}))[0] == 400
    await local.good("DELETE", one)
    assert (await local.good("GET", path))["relations"] == []


async def test_generated_descriptions(local):
    """Fact: `{metadata, threadId}`."""
    answer = await local.good("POST", f"/metadata/{{p}}/semantics/{local.catalog('stripe')}/{TABLE}", {})

    assert answer["metadata"]["tableDescription"] == "Rows of charges, with 7 columns."
    assert answer["threadId"]


async def test_a_callback_is_kept_without_its_token(local):
    """A callback is kept, but its token is not shown."""
    body = {"callbackURL": "https://app.example/done", "callbackToken": "hush"}
    await local.good("POST", "/metadata/{p}/refresh/callback", body)
    kept = await local.good("GET", "/metadata/{p}/refresh/callback")
    await local.good("DELETE", "/metadata/{p}/refresh/callback")

    assert kept == {"callback": {"callbackURL": "https://app.example/done"}}
    assert await local.good("GET", "/metadata/{p}/refresh/callback") == {"callback": {}}


async def test_the_agent_counts_rows(local):
    """Fact: `{result: {messages: […]}}`; what it sees is capped as everything is."""
    answer = await local.good("POST", "/ai-agent/{p}/chat", {"message": "How many customers are there?"})

    assert [each["type"] for each in answer["result"]["messages"]] == ["human", "ai"]
    assert answer["result"]["messages"][1]["content"] == "There are 100 rows in stripe.payment.customers."


async def test_the_agent_writes_sql_without_running_it(local):
    """`noExecute`."""
    body = {"message": "How many customers?", "noExecute": True}
    answer = await local.good("POST", "/ai-agent/{p}/chat", body)

    assert answer["result"]["sql"] == 'SELECT COUNT(*) AS "count" FROM "stripe"."payment"."customers"'
    assert "100" not in answer["result"]["messages"][1]["content"]


async def test_a_chat_goes_on_in_its_thread(local):
    """An unknown thread is 404."""
    first = await local.good("POST", "/ai-agent/{p}/chat", {"message": "customers"})
    thread = first["result"]["threadId"]
    await local.good("POST", "/ai-agent/{p}/chat", {"message": "charges", "threadId": thread})
    kept = (await local.good("GET", f"/ai-agent/{{p}}/threads/{thread}"))["thread"]

    assert len(kept["messages"]) == 4
    assert (await local.call("POST", "/ai-agent/{p}/chat", {"message": "x", "threadId": "nope"}))[0] == 404


async def test_a_stream_is_of_a_spring_server(local):
    """Fact: `data:{json}` with no space after the colon, comments and ids."""
    text = await local.good("POST", "/ai-agent/{p}/chat/stream", {"message": "customers", "streamModes": ["updates"]})
    data = [json.loads(line.removeprefix("data:")) for line in text.splitlines() if line.startswith("data:{")]

    assert text.startswith(":connected\n\nid:1\nevent:metadata\n")
    assert data[-1]["agent"]["messages"][0]["content"] == "There are 100 rows in stripe.payment.customers."


async def test_threads_are_renamed_and_deleted(local):
    """They are listed until then."""
    await local.good("POST", "/ai-agent/{p}/chat", {"message": "customers"})
    (thread,) = (await local.good("GET", "/ai-agent/{p}/threads"))["threads"]
    path = f"/ai-agent/{{p}}/threads/{thread['id']}"
    renamed = await local.good("PUT", path, {"displayName": "Mine"})
    await local.good("DELETE", path)

    assert renamed["thread"]["displayName"] == "Mine"
    assert await local.good("GET", "/ai-agent/{p}/threads") == {"threads": []}
