"""The whole life of a customer, from the organization to the deletion, through the client."""

from __future__ import annotations

import asyncio
import csv
import io

import pytest

from peaka_async import ConnectionRequest, NotFoundError, Oauth2Callback, PeakaClient
from peaka_async.emulator import Emulator, Pace
from peaka_async.models import (
    AIAgentChatRequestDto,
    ApiKeyRequest,
    CacheRequest,
    CatalogRequest,
    ExportCompression,
    ExportFormat,
    ExportRequest,
    ProjectRequest,
    QueryExecuteRequestId,
    QueryExecuteRequestName,
    QueryExecuteRequestStatement,
    QueryRequest,
    QueryType,
)

OWN_APP = {"clientId": "app", "clientSecret": "hush", "redirectUrl": "https://app.example/return"}
COUNT = QueryExecuteRequestStatement('SELECT COUNT(*) AS contacts FROM "acme_crm"."crm"."contacts"')

pytestmark = pytest.mark.usefixtures("polled_often")


@pytest.fixture
async def emulator():
    pace = Pace(waits=0.01, runs=0.01, record=0.01, deletes=0.01)
    async with Emulator(pace=pace) as emulator:
        yield emulator


async def test_the_whole_life_of_a_customer(emulator):
    """Organization, project, key, connect flow, catalog, cache, query, export, materialized query, chat, deletion."""
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url) as partner:
        (organization,) = await partner.organizations.list()
        (workspace,) = await partner.workspaces.list(str(organization.id))
        place = str(organization.id), str(workspace.id)
        project = str((await partner.projects.create(*place, ProjectRequest("Acme"))).id)
        key = await partner.api_keys.create(project, ApiKeyRequest("acme"))
        async with PeakaClient(str(key.api_key), base_url=emulator.base_url) as peaka:
            assert (await peaka.info()).project_id == project
            connection = await connect(peaka, project, emulator)
            catalog = str((await peaka.catalogs.create(project, CatalogRequest("Acme CRM", connection))).id)
            await cache(peaka, project, catalog)
            query = await save_query(peaka, project)
            await export(peaka, project, query)
            await materialize(peaka, project)
            await chat(peaka, project)
            await clean_up(peaka, project, connection, catalog, query)
        await partner.projects.delete(*place, project)
        with pytest.raises(NotFoundError):
            await partner.projects.get(*place, project)


async def connect(peaka, project, emulator):
    pending = await peaka.connections.create(project, ConnectionRequest("Acme CRM", "hubspot", OWN_APP))
    redirect = await emulator.consent(pending.url)
    done = await peaka.connections.oauth2_callback(project, Oauth2Callback.from_redirect(redirect))
    (code,) = emulator.codes
    assert (done.id, done.url, code.presented) == (pending.id, None, 1)
    return done.id


async def count(peaka, project):
    return (await peaka.queries.execute(project, COUNT)).records[0]["contacts"]


async def cache(peaka, project, catalog):
    table = catalog, "crm", "contacts"
    assert (await count(peaka, project), await peaka.catalogs.read_is_capped(project, *table)) == (100, True)
    request = CacheRequest(catalog_id=catalog, schema_name="crm", table_name="contacts")
    await peaka.cache.run_create(project, request)
    assert (await count(peaka, project), await peaka.catalogs.read_is_capped(project, *table)) == (250, False)
    (status,) = await peaka.cache.list_statuses_in_schema(project, catalog, "crm")
    refreshed = await peaka.cache.run_full_refresh(project, status.id)
    assert refreshed.last_full_refresh_cache_execution.progress.number_of_cached_records == 250


async def save_query(peaka, project):
    sql = "SELECT id, email FROM acme_crm.crm.contacts ORDER BY id"
    query = await peaka.queries.create(project, QueryRequest(display_name="Contacts", input_query=sql, path="/crm"))
    result = await peaka.queries.execute(project, QueryExecuteRequestId(query.id))
    assert (result.row_count, query.path) == (250, "/crm")
    return query.id


async def export(peaka, project, query):
    request = ExportRequest(format=ExportFormat.CSV, compression=ExportCompression.GZIP)
    job = await peaka.exports.run_query(project, query, request)
    async with peaka.exports.download(project, job.id, decompress=True) as download:
        text = b"".join([piece async for piece in download]).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert (job.row_count, len(rows), rows[1]) == (250, 251, ["1000", "customer1@example.com"])


async def materialize(peaka, project):
    sql = "SELECT company_id, COUNT(*) AS n FROM acme_crm.crm.contacts GROUP BY company_id"
    request = QueryRequest(display_name="By company", input_query=sql, query_type=QueryType.MATERIALIZED)
    kept = await peaka.queries.create(project, request)
    status = await peaka.materialized_queries.run_refresh(project, kept.id)
    result = await peaka.queries.execute(project, QueryExecuteRequestName(f"peaka.mtquery.{kept.name}"))
    assert status.last_execution_start_time is not None
    assert result.row_count == 120


async def chat(peaka, project):
    answer = await peaka.agent.chat(project, AIAgentChatRequestDto("How many contacts are there?"))
    assert answer["result"]["messages"][-1]["content"] == "There are 250 rows in acme_crm.crm.contacts."


async def clean_up(peaka, project, connection, catalog, query):
    await peaka.queries.delete(project, query)
    with pytest.raises(NotFoundError, match="There is no query with id"):
        await peaka.queries.execute(project, QueryExecuteRequestId(query))
    await peaka.connections.delete(project, connection)
    with pytest.raises(NotFoundError, match="There is no connection with id"):
        await peaka.catalogs.list_schemas(project, catalog)
    await peaka.catalogs.delete(project, catalog)
    assert [each.id for each in await peaka.catalogs.list(project)] == ["1", "2"]


async def test_twenty_queries_at_once(emulator):
    """All calls are answered."""
    statement = QueryExecuteRequestStatement('SELECT COUNT(*) FROM "postgres"."public"."orders"')
    async with PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka:
        results = await asyncio.gather(*(peaka.queries.execute(emulator.project_id, statement) for _ in range(20)))

    assert [result.records[0][0] for result in results] == [25_000] * 20
    assert len(emulator.received("queries.execute")) == 20
