"""The API's requests and answers, as attrs classes. No I/O.

A module is imported when one of its names is first used: importing all models at once would take too long.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peaka_async.models.agent import *
    from peaka_async.models.api_keys import *
    from peaka_async.models.cache import *
    from peaka_async.models.catalogs import *
    from peaka_async.models.connections import *
    from peaka_async.models.embedded import *
    from peaka_async.models.exports import *
    from peaka_async.models.internal_tables import *
    from peaka_async.models.materialized_queries import *
    from peaka_async.models.metadata import *
    from peaka_async.models.organizations import *
    from peaka_async.models.parametric_tables import *
    from peaka_async.models.projects import *
    from peaka_async.models.queries import *
    from peaka_async.models.query_folders import *
    from peaka_async.models.query_results import *
    from peaka_async.models.semantic_catalogs import *
    from peaka_async.models.sql import *
    from peaka_async.models.supported_drivers import *
    from peaka_async.models.workspaces import *

_NAMES = {
    "agent": ("AIAgentChatRequestDto", "AIAgentChatStreamRequestDto", "AIAgentThreadUpdateRequest", "ChatEvent"),
    "api_keys": ("ApiKey", "ApiKeyRequest"),
    "cache": (
        "Cache",
        "CacheActionRecord",
        "CacheCreateStatus",
        "CacheExecutionInfo",
        "CacheExecutionProgress",
        "CacheRequest",
        "CacheRun",
        "CacheSettingsUpdateRequest",
        "CacheState",
        "CacheStatus",
        "CacheTrigger",
        "Schedule",
        "ScheduleType",
    ),
    "catalogs": (
        "Catalog",
        "CatalogRequest",
        "CatalogSchemaTable",
        "CatalogShareRequestV2",
        "ColumnStatistics",
        "Meta",
        "Page",
        "Schema",
        "SearchRequest",
        "SearchResult",
        "SearchText",
        "SharedCatalogResponse",
        "TableCacheResult",
        "TableStatistics",
    ),
    "connections": (
        "Connection",
        "ConnectionConfiguration",
        "ConnectionConfigurationItem",
        "ConnectionRequest",
        "Credential",
        "DatabaseCredential",
        "FieldType",
        "OAuth2Credential",
        "Oauth2Callback",
        "PersonalAccessTokenCredential",
        "TokenCredential",
    ),
    "embedded": ("EmbeddedSession", "InitSessionRequest", "SessionMode"),
    "exports": (
        "ExportCompression",
        "ExportCsvOptions",
        "ExportFile",
        "ExportFormat",
        "ExportJobCreated",
        "ExportJobResponse",
        "ExportRequest",
        "ExportStatus",
    ),
    "internal_tables": (
        "ColumnDataType",
        "ColumnDetail",
        "ColumnRequest",
        "CsvImportRequest",
        "CsvMapping",
        "ImportJob",
        "Table",
    ),
    "materialized_queries": ("MaterializedQueryState", "MaterializedQueryStatusView"),
    "metadata": (
        "GoldenSql",
        "GoldenSqlMatch",
        "GoldenSqlMatches",
        "GoldenSqlMetadata",
        "GoldenSqls",
        "MetadataAIUsageUpdateRequest",
        "MetadataAddGoldenSqlRequest",
        "MetadataAddRelationRequest",
        "MetadataCategoricalColumnRequest",
        "MetadataColumn",
        "MetadataColumnLineage",
        "MetadataCreateSemanticsRequest",
        "MetadataDocument",
        "MetadataMatches",
        "MetadataRefreshJobStatusResult",
        "MetadataRefreshMetadataCallbackRequest",
        "MetadataRefreshMetadataRequest",
        "MetadataUpdateRelationRequest",
        "MetadataUpdateRequest",
        "ProjectMetadata",
        "RefreshStatus",
        "Relation",
        "RelationType",
        "Relations",
        "SampleQuestion",
        "SampleQuestions",
        "Semantics",
        "TableMetadata",
        "UpdateFrequency",
    ),
    "organizations": ("Organization",),
    "parametric_tables": ("ParametricTable", "ParametricTableColumn"),
    "projects": ("Project", "ProjectRequest"),
    "queries": (
        "ExecutableQuery",
        "MaterializedQuerySchedule",
        "MaterializedQueryScheduleType",
        "Query",
        "QueryExecuteRequest",
        "QueryExecuteRequestId",
        "QueryExecuteRequestName",
        "QueryExecuteRequestStatement",
        "QueryPathUpdateRequest",
        "QueryRequest",
        "QueryType",
        "ResultFormat",
        "TableForQuery",
    ),
    "query_folders": (
        "QueryFolderCreateRequest",
        "QueryFolderItem",
        "QueryFolderListResponse",
        "QueryFolderRenameRequest",
        "QueryFolderTreeNode",
        "QueryFolderTreeResponse",
        "QueryFolderUpdateRequest",
        "QueryFolderWithContentsResponse",
    ),
    "query_results": ("QueryResult", "Record", "ResultCell", "ResultColumn"),
    "semantic_catalogs": ("CatalogShareRequest", "SemanticCatalogRequest", "SemanticTable", "SemanticTableRequest"),
    "sql": ("SQLTranspileQueryRequest", "TranspiledQuery"),
    "supported_drivers": ("ConnectionStrings",),
    "workspaces": ("Workspace", "WorkspaceRequest"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # type checkers read the public names of the modules above
    __all__ = sorted(_HOMES)

    def __getattr__(name: str) -> object:
        module = _HOMES.get(name)
        if module is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
