"""Metadata: what the AI agent knows about a project's tables."""

from __future__ import annotations

import enum

import attrs

from peaka_async.models._model import Model
from peaka_async.models._status import Status

__all__ = [
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
]


class UpdateFrequency(enum.StrEnum):
    """How often the values of a categorical column are read again."""

    NONE = "NONE"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class RelationType(enum.StrEnum):
    """The type of a relation between the rows of two tables."""

    MANY_TO_ONE = "MANY_TO_ONE"
    ONE_TO_MANY = "ONE_TO_MANY"
    ONE_TO_ONE = "ONE_TO_ONE"


class RefreshStatus(Status):
    """The state of a metadata refresh; NOT_ACTIVE if none was started."""

    NOT_ACTIVE = "NOT_ACTIVE"
    COMPLETED = "COMPLETED"
    WAITING = "WAITING"
    ACTIVE = "ACTIVE"
    DELAYED = "DELAYED"
    FAILED = "FAILED"
    PAUSED = "PAUSED"
    STUCK = "STUCK"


@attrs.frozen
class MetadataColumnLineage(Model):
    """The source of a column's values."""

    tables: list[str] | None = None
    column: str | None = None
    expression: str | None = None


@attrs.frozen(kw_only=True)
class MetadataColumn(Model):
    """The metadata of a column. A categorical column has few values: `categorical_values` lists them."""

    column_name: str | None = None
    column_description: str | None = None
    data_type: str | None = None
    order: int | None = None
    is_not_null: bool | None = None
    is_system: bool | None = None
    is_unique: bool | None = None
    is_primary: bool | None = None
    is_categorical: bool | None = None
    categorical_values: list[str] | None = None
    lineage: list[MetadataColumnLineage] | None = None
    sample_values: list[object] | None = None


@attrs.frozen
class Relation(Model):
    """A relation between columns of two tables."""

    id: str | None = None
    project_id: str | None = None
    source_catalog_id: str | None = None
    source_schema_name: str | None = None
    source_table_name: str | None = None
    source_column_name: str | None = None
    target_catalog_id: str | None = None
    target_schema_name: str | None = None
    target_table_name: str | None = None
    target_column_name: str | None = None
    type: RelationType | str | None = None


@attrs.frozen
class Relations(Model):
    """The relations of a catalog's tables."""

    relations: list[Relation] | None = None


@attrs.frozen
class TableMetadata(Model):
    """The metadata of a table. `use_with_ai` says whether the agent may use it."""

    project_id: str | None = None
    catalog_id: str | None = None
    catalog_type: str | None = None
    catalog_sub_type: str | None = None
    catalog_query_name: str | None = None
    catalog_display_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    table_description: str | None = None
    is_cacheable: bool | None = None
    is_dynamic_table: bool | None = None
    use_with_ai: bool | None = attrs.field(default=None, metadata={"json": "useWithAI"})
    columns: list[MetadataColumn] | None = None
    relations: list[Relation] | None = None


@attrs.frozen
class MetadataDocument(Model):
    """A table's metadata in the search index. `content` is the text that is searched."""

    id: str | None = None
    content: str | None = None
    metadata: TableMetadata | None = None


@attrs.frozen
class ProjectMetadata(Model):
    """The metadata of a project's tables."""

    metadata: list[MetadataDocument] | None = None


@attrs.frozen
class MetadataMatches(Model):
    """The tables that match a question, the best first."""

    result: list[TableMetadata] | None = None


@attrs.frozen
class GoldenSqlMetadata(Model):
    """A question with the SQL that answers it."""

    sql: str | None = None
    prompt: str | None = None
    project_id: str | None = None


@attrs.frozen
class GoldenSql(Model):
    """A golden SQL: an example that the agent learns from."""

    id: str | None = None
    content: str | None = None
    metadata: GoldenSqlMetadata | None = None


@attrs.frozen
class GoldenSqls(Model):
    """The golden SQLs of a project."""

    result: list[GoldenSql] | None = None


@attrs.frozen
class GoldenSqlMatch(Model):
    """A golden SQL that matches a question."""

    question: str | None = None
    sql: str | None = None


@attrs.frozen
class GoldenSqlMatches(Model):
    """The golden SQLs that match a question, the best first."""

    result: list[GoldenSqlMatch] | None = None


@attrs.frozen
class SampleQuestion(Model):
    """A question that the project's data can answer."""

    question: str | None = None
    category: str | None = None


@attrs.frozen
class SampleQuestions(Model):
    """Generated questions. `thread_id` is the chat thread that they were made in."""

    questions: list[SampleQuestion] | None = None
    thread_id: str | None = None


@attrs.frozen
class Semantics(Model):
    """Generated descriptions of a table and its columns. `thread_id` is the chat thread that they were made in."""

    metadata: TableMetadata | None = None
    thread_id: str | None = None


@attrs.frozen
class MetadataCategoricalColumnRequest(Model):
    """A column whose values are to be read, at most `limit` of them, once or at intervals."""

    limit: int | None = None
    frequency: UpdateFrequency | str | None = None


@attrs.frozen(kw_only=True)
class MetadataAddGoldenSqlRequest(Model):
    """A question and the SQL that answers it."""

    prompt: str | None = None
    sql: str | None = None


@attrs.frozen(kw_only=True)
class MetadataAddRelationRequest(Model):
    """A relation to another column."""

    target_catalog_id: str | None = None
    target_schema_name: str | None = None
    target_table_name: str | None = None
    target_column_name: str | None = None
    type: RelationType | str | None = None


@attrs.frozen
class MetadataUpdateRelationRequest(Model):
    """A relation's new type."""

    type: RelationType | str | None = None


@attrs.frozen(kw_only=True)
class MetadataRefreshMetadataRequest(Model):
    """A catalog whose metadata is to be read again.

    When the refresh has ended, the service calls `callback_url` with `callback_token`. The repr leaves the token out.
    """

    catalog_id: str | None = None
    callback_url: str | None = attrs.field(default=None, metadata={"json": "callbackURL"})
    callback_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class MetadataRefreshMetadataCallbackRequest(Model):
    """The callback that the service calls when a refresh has ended. The repr leaves out `callback_token`."""

    callback_url: str | None = attrs.field(default=None, metadata={"json": "callbackURL"})
    callback_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class MetadataRefreshJobStatusResult(Model):
    """The state of a catalog's refresh."""

    status: RefreshStatus | str | None = None


@attrs.frozen(kw_only=True)
class MetadataCreateSemanticsRequest(Model):
    """Options for a table's description: a chat thread to continue, a prompt, and how many rows to read (`limit`)."""

    thread_id: str | None = None
    initial_prompt: str | None = None
    limit: int | None = None


@attrs.frozen
class MetadataAIUsageUpdateRequest(Model):
    """Whether the agent may use a catalog or a schema."""

    use_with_ai: bool | None = attrs.field(default=None, metadata={"json": "useWithAI"})


@attrs.frozen(kw_only=True)
class MetadataUpdateRequest(Model):
    """The changes to a table's metadata."""

    table_description: str | None = None
    columns: list[MetadataColumn] | None = None
    use_with_ai: bool | None = attrs.field(default=None, metadata={"json": "useWithAI"})
