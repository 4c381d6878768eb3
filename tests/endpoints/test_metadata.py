"""The requests that the methods of `metadata` make, and how the state of a refresh is read."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints._waiting import Polled
from peaka_async.endpoints.metadata import Metadata, RefreshReader
from peaka_async.models import (
    GoldenSqlMatches,
    GoldenSqls,
    MetadataAddGoldenSqlRequest,
    MetadataAddRelationRequest,
    MetadataAIUsageUpdateRequest,
    MetadataCategoricalColumnRequest,
    MetadataCreateSemanticsRequest,
    MetadataMatches,
    MetadataRefreshJobStatusResult,
    MetadataRefreshMetadataCallbackRequest,
    MetadataRefreshMetadataRequest,
    MetadataUpdateRelationRequest,
    MetadataUpdateRequest,
    ProjectMetadata,
    RefreshStatus,
    Relations,
    SampleQuestions,
    Semantics,
)

VALUES = MetadataCategoricalColumnRequest(frequency="frequency")
GOLDEN_SQL = MetadataAddGoldenSqlRequest(prompt="prompt")
REFRESH = MetadataRefreshMetadataRequest(catalog_id="catalog")
CALLBACK = MetadataRefreshMetadataCallbackRequest(callback_url="callback")
RELATION = MetadataAddRelationRequest(target_catalog_id="target")
UPDATE_RELATION_RELATION = MetadataUpdateRelationRequest(type="type")
SEMANTICS = MetadataCreateSemanticsRequest(thread_id="thread")
USAGE = MetadataAIUsageUpdateRequest(use_with_ai=True)
METADATA = MetadataUpdateRequest(table_description="table")
CALLS = [
    Call(
        "metadata.get",
        ("p",),
        "GET",
        "/metadata/p?catalogId=c&schemaName=s",
        options={"catalog_id": "c", "schema_name": "s"},
        returns=ProjectMetadata,
        safety=Safety.SAFE,
    ),
    Call(
        "metadata.generate_categorical_column_values",
        ("p", "c", "s", "t", "col", VALUES),
        "PUT",
        "/metadata/p/categorical/c/s/t/col",
        body=VALUES,
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.delete_categorical_column_values",
        ("p", "c", "s", "t", "col"),
        "DELETE",
        "/metadata/p/categorical/c/s/t/col",
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.query_golden_sqls",
        ("p", "q"),
        "GET",
        "/metadata/p/golden-sql/query?q=q",
        returns=GoldenSqlMatches,
        safety=Safety.SAFE,
    ),
    Call("metadata.list_golden_sqls", ("p",), "GET", "/metadata/p/golden-sqls", returns=GoldenSqls, safety=Safety.SAFE),
    Call(
        "metadata.add_golden_sql",
        ("p", GOLDEN_SQL),
        "POST",
        "/metadata/p/golden-sqls",
        body=GOLDEN_SQL,
        returns=dict[str, object],
        safety=Safety.ONCE,
    ),
    Call(
        "metadata.delete_golden_sql",
        ("p", "g"),
        "DELETE",
        "/metadata/p/golden-sqls/g",
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.query",
        ("p", "table"),
        "GET",
        "/metadata/p/query?table=table&topK=top",
        options={"top_k": "top"},
        returns=MetadataMatches,
        safety=Safety.SAFE,
    ),
    Call(
        "metadata.generate_sample_questions",
        ("p", "question"),
        "GET",
        "/metadata/p/questions/generate?question=question",
        returns=SampleQuestions,
        safety=Safety.SAFE,
    ),
    Call(
        "metadata.refresh",
        ("p", REFRESH),
        "POST",
        "/metadata/p/refresh",
        body=REFRESH,
        returns=dict[str, object],
        safety=Safety.ONCE,
    ),
    Call(
        "metadata.get_refresh_callback",
        ("p",),
        "GET",
        "/metadata/p/refresh/callback",
        returns=dict[str, object],
        safety=Safety.SAFE,
    ),
    Call(
        "metadata.register_refresh_callback",
        ("p", CALLBACK),
        "POST",
        "/metadata/p/refresh/callback",
        body=CALLBACK,
        returns=dict[str, object],
        safety=Safety.ONCE,
    ),
    Call(
        "metadata.unregister_refresh_callback",
        ("p",),
        "DELETE",
        "/metadata/p/refresh/callback",
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.get_refresh_status",
        ("p", "c"),
        "GET",
        "/metadata/p/refresh/c",
        returns=MetadataRefreshJobStatusResult,
        safety=Safety.SAFE,
    ),
    Call(
        "metadata.list_relations", ("p", "c"), "GET", "/metadata/p/relations/c", returns=Relations, safety=Safety.SAFE
    ),
    Call(
        "metadata.add_relation",
        ("p", "c", "s", "t", "col", RELATION),
        "POST",
        "/metadata/p/relations/c/s/t/col",
        body=RELATION,
        returns=dict[str, object],
        safety=Safety.ONCE,
    ),
    Call(
        "metadata.update_relation",
        ("p", "c", "s", "t", "r", UPDATE_RELATION_RELATION),
        "PUT",
        "/metadata/p/relations/c/s/t/r",
        body=UPDATE_RELATION_RELATION,
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.delete_relation",
        ("p", "c", "s", "t", "r"),
        "DELETE",
        "/metadata/p/relations/c/s/t/r",
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.generate_semantics",
        ("p", "c", "s", "t", SEMANTICS),
        "POST",
        "/metadata/p/semantics/c/s/t",
        body=SEMANTICS,
        returns=Semantics,
        safety=Safety.ONCE,
    ),
    Call(
        "metadata.update_catalog",
        ("p", "c", USAGE),
        "PUT",
        "/metadata/p/c",
        body=USAGE,
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.update_schema",
        ("p", "c", "s", USAGE),
        "PUT",
        "/metadata/p/c/s",
        body=USAGE,
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "metadata.update_table",
        ("p", "c", "s", "t", METADATA),
        "PUT",
        "/metadata/p/c/s/t",
        body=METADATA,
        returns=dict[str, object],
        safety=Safety.IDEMPOTENT,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(Metadata, call) == call


S = RefreshStatus
BUSY = [S.WAITING, S.ACTIVE, S.DELAYED, S.PAUSED, "brand-new"]


@pytest.mark.parametrize(
    ("states", "ended", "failure"),
    [
        *(([state] * 4, False, None) for state in (S.COMPLETED, S.NOT_ACTIVE, S.FAILED, S.STUCK)),
        ([S.COMPLETED] * 5, True, None),
        ([S.NOT_ACTIVE] * 5, True, None),
        ([S.FAILED] * 5, False, "the refresh is FAILED"),
        ([S.STUCK] * 5, False, "the refresh is STUCK"),
        *(([state, S.COMPLETED], True, None) for state in BUSY),
        *(([state, S.FAILED], False, "the refresh is FAILED") for state in BUSY),
        *(([state] * 9, False, None) for state in BUSY),
    ],
)
def test_which_state_of_a_refresh_counts(states, ended, failure):
    """A final state counts if the refresh was seen running, or if five polls have shown it."""
    reader = RefreshReader()
    polls = [reader.read(MetadataRefreshJobStatusResult(state)) for state in states]
    name = str(states[-1]).upper()

    assert polls[-1] == Polled(state=name, ended=ended, failure=failure, progress=name)
