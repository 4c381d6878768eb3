"""A walk through all operations of the API, by a client."""

from __future__ import annotations

import inspect
import warnings
from operator import attrgetter

from peaka_async import ConnectionRequest, Oauth2Callback, OAuth2Credential
from peaka_async.models import (
    AIAgentChatRequestDto,
    AIAgentChatStreamRequestDto,
    AIAgentThreadUpdateRequest,
    ApiKeyRequest,
    CacheRequest,
    CacheSettingsUpdateRequest,
    CatalogRequest,
    CatalogShareRequest,
    CatalogShareRequestV2,
    ColumnDataType,
    ColumnRequest,
    CsvImportRequest,
    ExportFormat,
    ExportRequest,
    InitSessionRequest,
    MetadataAddGoldenSqlRequest,
    MetadataAddRelationRequest,
    MetadataAIUsageUpdateRequest,
    MetadataCategoricalColumnRequest,
    MetadataCreateSemanticsRequest,
    MetadataRefreshMetadataCallbackRequest,
    MetadataRefreshMetadataRequest,
    MetadataUpdateRelationRequest,
    MetadataUpdateRequest,
    ParametricTable,
    ParametricTableColumn,
    ProjectRequest,
    QueryExecuteRequestStatement,
    QueryFolderCreateRequest,
    QueryFolderRenameRequest,
    QueryFolderUpdateRequest,
    QueryPathUpdateRequest,
    QueryRequest,
    QueryType,
    RelationType,
    Schedule,
    SearchRequest,
    SemanticCatalogRequest,
    SemanticTableRequest,
    SQLTranspileQueryRequest,
    UpdateFrequency,
    WorkspaceRequest,
)

REDIRECT = "https://app.example/oauth2/mycallback"
SQL = 'SELECT id, amount FROM "stripe"."payment"."charges" WHERE refunded'


class Tour:
    """Calls each operation, and keeps its result by name."""

    def __init__(self, peaka, emulator) -> None:
        self.peaka, self.emulator, self.project = peaka, emulator, emulator.project_id
        self.given = {}

    async def do(self, name, *arguments, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made = attrgetter(name)(self.peaka)(*arguments, **options)
            self.given[name] = await made if inspect.isawaitable(made) else [event async for event in made]
        return self.given[name]

    def catalog(self, name, number=0):
        catalogs = self.emulator.state.projects[self.project].catalogs.values()
        return [each.id for each in catalogs if each.name == name][number]

    async def walk(self):
        await self.administration()
        await self.connections()
        await self.catalogs()
        await self.tables()
        await self.queries()
        await self.caches()
        await self.exports()
        await self.metadata()
        await self.chat()
        return self.given

    async def administration(self):
        (organization,) = await self.do("organizations.list")
        await self.do("organizations.get", organization.id)
        await self.do("workspaces.list", organization.id)
        workspace = await self.do("workspaces.create", organization.id, WorkspaceRequest("Team", "Theirs"))
        await self.do("workspaces.get", organization.id, workspace.id)
        await self.do("workspaces.update", organization.id, workspace.id, WorkspaceRequest("Team 2"))
        place = organization.id, workspace.id
        project = await self.do("projects.create", *place, ProjectRequest("New", "One"))
        await self.do("projects.list", *place)
        await self.do("projects.get", *place, project.id)
        await self.do("projects.update", *place, project.id, ProjectRequest("Newer"))
        await self.do("api_keys.create", project.id, ApiKeyRequest("ci"))
        (key,) = await self.do("api_keys.list", project.id)
        await self.do("api_keys.delete", project.id, key.api_key_id)
        await self.do("projects.delete", *place, project.id)
        await self.do("workspaces.delete", *place)
        old = await self.do("deprecated_projects.create", ProjectRequest("Old"))
        await self.do("deprecated_projects.list")
        await self.do("deprecated_projects.get", old.id)
        await self.do("deprecated_projects.update", old.id, ProjectRequest("Older"))
        await self.do("deprecated_projects.delete", old.id)
        await self.do("embedded.init_session", InitSessionRequest(project_id=self.project))
        await self.do("embedded.init_session_from_query", self.project)
        await self.do("supported_drivers.get")
        await self.do("supported_drivers.get_jdbc")
        await self.do("supported_drivers.get_sql_alchemy", "stripe")

    async def connections(self):
        await self.do("connections.list_configs")
        await self.do("connections.get_config", "hubspot")
        await self.do("connections.list", self.project)
        credential = OAuth2Credential(client_id="app", client_secret="hush", redirect_url=REDIRECT)
        pending = await self.do("connections.create", self.project, ConnectionRequest("crm", "hubspot", credential))
        returned = Oauth2Callback.from_redirect(await self.emulator.consent(pending.url))
        await self.do("connections.oauth2_callback", self.project, returned)
        await self.do("connections.get", self.project, pending.id)
        await self.do("connections.update", self.project, pending.id, ConnectionRequest(name="crm 2"))
        await self.do("connections.get_view", self.project, pending.id)
        await self.do("connections.delete", self.project, pending.id)

    async def catalogs(self):
        connection = self.emulator.state.seeded[0]
        made = await self.do("catalogs.create", self.project, CatalogRequest("More", connection))
        table = self.catalog("stripe"), "payment", "charges"
        await self.do("catalogs.list", self.project)
        await self.do("catalogs.get", self.project, made.id)
        await self.do("catalogs.list_schemas", self.project, made.id)
        await self.do("catalogs.list_tables", self.project, *table[:2])
        await self.do("catalogs.list_columns", self.project, *table)
        await self.do("catalogs.is_cached", self.project, *table)
        orders = self.catalog("postgres"), "public", "small_01"
        await self.do("catalogs.get_table_statistics", self.project, *orders)
        other = self.emulator.add_project("Other")
        await self.do("catalogs.share", self.project, made.id, CatalogShareRequestV2(other.id))
        await self.do("catalogs.delete", self.project, made.id)
        await self.do("catalogs.search", self.project, SearchRequest(query="charge"))
        ads = self.catalog("google_ads")
        values = [ParametricTableColumn("_q_start_date", "@som")]
        parametric = ParametricTable(
            from_schema="public",
            from_table="campaign",
            to_schema="public",
            to_table="my_campaigns",
            param_values=values,
        )
        await self.do("parametric_tables.create", self.project, ads, parametric)
        await self.do("parametric_tables.list", self.project, ads)
        await self.do("parametric_tables.delete", self.project, ads, "public", "my_campaigns")
        query = await self.peaka.queries.create(self.project, QueryRequest(display_name="Q", input_query=SQL))
        semantic = await self.do("semantic_catalogs.create", self.project, SemanticCatalogRequest("Meaning"))
        request = SemanticTableRequest(schema_name="shop", table_name="refunded", query_id=query.id)
        table = await self.do("semantic_catalogs.create_table", self.project, semantic.id, request)
        await self.do("semantic_catalogs.share", self.project, semantic.id, CatalogShareRequest(other.id))
        await self.do("semantic_catalogs.delete_table", self.project, semantic.id, table.table_id)

    async def tables(self):
        for kind, of in (("", "list"), ("bi_", "list_bi_tables")):
            suffix = "" if kind == "" else "_bi_table"
            name = f"people{kind[:-1]}"
            await self.do(f"internal_tables.create{suffix}", self.project, name)
            await self.do(f"internal_tables.{of}", self.project)
            column = ColumnRequest("age", ColumnDataType.BIGINT)
            await self.do(f"internal_tables.add_{kind}column", self.project, name, [column])
            await self.do(f"internal_tables.list_{kind}columns", self.project, name)
            if kind == "":
                mapping = CsvImportRequest.of_columns("age")
                await self.do("internal_tables.import_csv", self.project, name, b"age\n7\n", mapping)
                await self.do("internal_tables.get_csv_sample", self.project, name)
            changed = ColumnRequest("years", ColumnDataType.BIGINT)
            await self.do(f"internal_tables.update_{kind}column", self.project, name, "age", changed)
            await self.do(f"internal_tables.delete_{kind}column", self.project, name, "years")
            await self.do(f"internal_tables.delete{suffix}", self.project, name)

    async def queries(self):
        request = QueryRequest(display_name="Refunds", input_query=SQL, path="/reports")
        query = await self.do("queries.create", self.project, request)
        await self.do("queries.list", self.project)
        await self.do("queries.get", self.project, query.id)
        await self.do("queries.update", self.project, query.id, QueryRequest(display_name="Refunds 2"))
        await self.do("queries.update_path", self.project, query.id, QueryPathUpdateRequest("/reports/2026"))
        await self.do("queries.execute", self.project, QueryExecuteRequestStatement(SQL))
        await self.do("sql.transpile", "mysql", SQLTranspileQueryRequest("SELECT 1"))
        folder = await self.do("query_folders.create", self.project, QueryFolderCreateRequest("old"))
        await self.do("query_folders.create_in_folder", self.project, folder.id, QueryFolderCreateRequest("older"))
        await self.do("query_folders.list", self.project)
        await self.do("query_folders.get_tree", self.project)
        moved = QueryFolderUpdateRequest(query_ids_added=[query.id])
        await self.do("query_folders.add_or_remove_query", self.project, folder.id, moved)
        await self.do("query_folders.get", self.project, folder.id)
        await self.do("query_folders.rename", self.project, folder.id, QueryFolderRenameRequest("ancient"))
        await self.do("query_folders.move", self.project, folder.id, QueryPathUpdateRequest("/archive/ancient"))
        await self.do("query_folders.delete", self.project, folder.id, force=True)
        request = QueryRequest(display_name="Kept", input_query=SQL, query_type=QueryType.MATERIALIZED)
        kept = await self.peaka.queries.create(self.project, request)
        await self.do("materialized_queries.refresh", self.project, kept.id)
        await self.do("materialized_queries.get_status", self.project, kept.id)
        await self.do("materialized_queries.list_statuses", self.project)
        await self.do("materialized_queries.cancel", self.project, kept.id)
        await self.do("queries.delete", self.project, kept.id)

    async def caches(self):
        stripe = self.catalog("stripe")
        of = {"catalog_id": stripe, "schema_name": "payment"}
        cache = await self.do("cache.create", self.project, CacheRequest(table_name="charges", **of))
        await self.do("cache.create_batch", self.project, [CacheRequest(table_name="customers", **of)])
        self.emulator.advance(10)
        await self.do("cache.get_settings", self.project, cache.id)
        settings = CacheSettingsUpdateRequest(incremental_cache_schedule=Schedule.every("PT6H"))
        await self.do("cache.update_settings", self.project, cache.id, settings)
        await self.do("cache.incremental_update", self.project, cache.id)
        self.emulator.advance(0.4)
        await self.do("cache.cancel_incremental_update", self.project, cache.id)
        await self.do("cache.full_refresh", self.project, cache.id)
        self.emulator.advance(0.4)
        await self.do("cache.cancel_full_refresh", self.project, cache.id)
        await self.do("cache.get_status", self.project, cache.id)
        await self.do("cache.list_executions", self.project, cache.id)
        await self.do("cache.list_statuses", self.project)
        await self.do("cache.list_statuses_by_catalog", self.project, stripe)
        await self.do("cache.list_statuses_by_schema", self.project, stripe, "payment")
        await self.do("cache.delete", self.project, cache.id)

    async def exports(self):
        query = await self.peaka.queries.create(self.project, QueryRequest(display_name="Export", input_query=SQL))
        request = ExportRequest(format=ExportFormat.CSV)
        job = await self.do("exports.start_query", self.project, query.id, request)
        place = self.catalog("postgres"), "public", "small_01"
        other = await self.do("exports.start_table", self.project, *place, request)
        await self.do("exports.cancel", self.project, other.id)
        self.emulator.advance(10)
        await self.do("exports.get", self.project, job.id)
        await self.do("exports.list", self.project)

    async def metadata(self):
        stripe = self.catalog("stripe")
        table = stripe, "payment", "charges"
        await self.do("metadata.get", self.project, catalog_id=stripe)
        categorical = MetadataCategoricalColumnRequest(10, UpdateFrequency.DAILY)
        await self.do("metadata.generate_categorical_column_values", self.project, *table, "status", categorical)
        await self.do("metadata.delete_categorical_column_values", self.project, *table, "status")
        golden = MetadataAddGoldenSqlRequest(prompt="How many charges?", sql=SQL)
        await self.do("metadata.add_golden_sql", self.project, golden)
        await self.do("metadata.query_golden_sqls", self.project, "charges")
        await self.do("metadata.list_golden_sqls", self.project)
        (golden_id,) = self.emulator.state.projects[self.project].golden_sqls
        await self.do("metadata.delete_golden_sql", self.project, golden_id)
        await self.do("metadata.query", self.project, "charges")
        await self.do("metadata.generate_sample_questions", self.project, "customers")
        await self.do("metadata.refresh", self.project, MetadataRefreshMetadataRequest(catalog_id=stripe))
        await self.do("metadata.get_refresh_status", self.project, stripe)
        callback = MetadataRefreshMetadataCallbackRequest(callback_url="https://app.example/done")
        await self.do("metadata.register_refresh_callback", self.project, callback)
        await self.do("metadata.get_refresh_callback", self.project)
        await self.do("metadata.unregister_refresh_callback", self.project)
        relation = MetadataAddRelationRequest(
            target_catalog_id=stripe,
            target_schema_name="payment",
            target_table_name="customers",
            target_column_name="id",
            type=RelationType.MANY_TO_ONE,
        )
        await self.do("metadata.add_relation", self.project, *table, "customer", relation)
        await self.do("metadata.list_relations", self.project, stripe)
        (relation_id,) = self.emulator.state.projects[self.project].relations
        one_to_one = MetadataUpdateRelationRequest(RelationType.ONE_TO_ONE)
        await self.do("metadata.update_relation", self.project, *table, relation_id, one_to_one)
        await self.do("metadata.delete_relation", self.project, *table, relation_id)
        await self.do("metadata.generate_semantics", self.project, *table, MetadataCreateSemanticsRequest())
        usage = MetadataAIUsageUpdateRequest(use_with_ai=True)
        await self.do("metadata.update_catalog", self.project, stripe, usage)
        await self.do("metadata.update_schema", self.project, stripe, "payment", usage)
        await self.do("metadata.update_table", self.project, *table, MetadataUpdateRequest(table_description="Paid"))

    async def chat(self):
        await self.do("agent.get_workflow_image")
        await self.do("agent.chat", self.project, AIAgentChatRequestDto("How many customers are there?"))
        await self.do("agent.chat_stream", self.project, AIAgentChatStreamRequestDto("How many invoices?"))
        await self.do("agent.list_threads", self.project)
        thread_id = next(iter(self.emulator.state.projects[self.project].threads))
        await self.do("agent.get_thread", self.project, thread_id)
        await self.do("agent.update_thread", self.project, thread_id, AIAgentThreadUpdateRequest("Customers"))
        await self.do("agent.delete_thread", self.project, thread_id)
