"""Metadata: what the AI agent knows about a project's tables."""

from __future__ import annotations

import functools
from collections.abc import Callable

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.endpoints._waiting import DEFAULT_WAITING, Polled, Waiting, state_name, wait
from peaka_async.errors import ConfigurationError
from peaka_async.models.metadata import (
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

# For this many polls, a final state may belong to the previous refresh.
_POLLS_OF_AN_OLD_STATE = 5


class Metadata(Group):
    """The metadata of a project."""

    async def get(
        self, project_id: str, *, catalog_id: str | None = None, schema_name: str | None = None
    ) -> ProjectMetadata:
        """Get the metadata of all tables of the project, or of a catalog or schema.

        [API page](https://docs.peaka.com/api-reference/metadata/get-project-metadata)
        """
        return await self._send(
            Request(
                "metadata.get",
                "GET",
                "/metadata/{project_id}",
                path={"project_id": project_id},
                query={"catalog_id": catalog_id, "schema_name": schema_name},
                returns=ProjectMetadata,
                safety=Safety.SAFE,
            )
        )

    async def generate_categorical_column_values(
        self,
        project_id: str,
        catalog_id: str,
        schema_name: str,
        table_name: str,
        column_name: str,
        values: MetadataCategoricalColumnRequest,
    ) -> dict[str, object]:
        """Read the values of a categorical column, once or at intervals.

        [API page](https://docs.peaka.com/api-reference/metadata/generate-categorical-values-from-the-column)
        """
        return await self._send(
            Request(
                "metadata.generate_categorical_column_values",
                "PUT",
                "/metadata/{project_id}/categorical/{catalog_id}/{schema_name}/{table_name}/{column_name}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                    "column_name": column_name,
                },
                body=values,
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete_categorical_column_values(
        self, project_id: str, catalog_id: str, schema_name: str, table_name: str, column_name: str
    ) -> dict[str, object]:
        """Delete the values of a categorical column, and stop reading them.

        [API page](https://docs.peaka.com/api-reference/metadata/delete-categorical-values-from-the-column-meta-and-remove-the-scheduled-job)
        """
        return await self._send(
            Request(
                "metadata.delete_categorical_column_values",
                "DELETE",
                "/metadata/{project_id}/categorical/{catalog_id}/{schema_name}/{table_name}/{column_name}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                    "column_name": column_name,
                },
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def query_golden_sqls(self, project_id: str, q: str) -> GoldenSqlMatches:
        """Find the golden SQLs that match a question.

        [API page](https://docs.peaka.com/api-reference/metadata/semantic-query-golden-sqls-for-the-project)
        """
        return await self._send(
            Request(
                "metadata.query_golden_sqls",
                "GET",
                "/metadata/{project_id}/golden-sql/query",
                path={"project_id": project_id},
                query={"q": q},
                returns=GoldenSqlMatches,
                safety=Safety.SAFE,
            )
        )

    async def list_golden_sqls(self, project_id: str) -> GoldenSqls:
        """List the golden SQLs.

        [API page](https://docs.peaka.com/api-reference/metadata/list-of-golden-sqls-for-the-project)
        """
        return await self._send(
            Request(
                "metadata.list_golden_sqls",
                "GET",
                "/metadata/{project_id}/golden-sqls",
                path={"project_id": project_id},
                returns=GoldenSqls,
                safety=Safety.SAFE,
            )
        )

    async def add_golden_sql(self, project_id: str, golden_sql: MetadataAddGoldenSqlRequest) -> dict[str, object]:
        """Add a golden SQL.

        [API page](https://docs.peaka.com/api-reference/metadata/create-golden-sql-for-the-project)
        """
        return await self._send(
            Request(
                "metadata.add_golden_sql",
                "POST",
                "/metadata/{project_id}/golden-sqls",
                path={"project_id": project_id},
                body=golden_sql,
                returns=dict[str, object],
                safety=Safety.ONCE,
            )
        )

    async def delete_golden_sql(self, project_id: str, golden_sql_id: str) -> dict[str, object]:
        """Delete a golden SQL.

        [API page](https://docs.peaka.com/api-reference/metadata/delete-golden-sql-from-the-project)
        """
        return await self._send(
            Request(
                "metadata.delete_golden_sql",
                "DELETE",
                "/metadata/{project_id}/golden-sqls/{id}",
                path={"project_id": project_id, "id": golden_sql_id},
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def query(self, project_id: str, table: str, *, top_k: str | None = None) -> MetadataMatches:
        """Find the tables that match a text.

        [API page](https://docs.peaka.com/api-reference/metadata/semantic-query-metadata-for-the-project)
        """
        return await self._send(
            Request(
                "metadata.query",
                "GET",
                "/metadata/{project_id}/query",
                path={"project_id": project_id},
                query={"table": table, "top_k": top_k},
                returns=MetadataMatches,
                safety=Safety.SAFE,
            )
        )

    async def generate_sample_questions(self, project_id: str, question: str) -> SampleQuestions:
        """Generate questions that the data can answer.

        [API page](https://docs.peaka.com/api-reference/metadata/generate-sample-ai-questions-for-the-project)
        """
        return await self._send(
            Request(
                "metadata.generate_sample_questions",
                "GET",
                "/metadata/{project_id}/questions/generate",
                path={"project_id": project_id},
                query={"question": question},
                returns=SampleQuestions,
                safety=Safety.SAFE,
            )
        )

    async def refresh(self, project_id: str, refresh: MetadataRefreshMetadataRequest) -> dict[str, object]:
        """Start to read a catalog's metadata again.

        [API page](https://docs.peaka.com/api-reference/metadata/refresh-project-metadata)
        """
        return await self._send(
            Request(
                "metadata.refresh",
                "POST",
                "/metadata/{project_id}/refresh",
                path={"project_id": project_id},
                body=refresh,
                returns=dict[str, object],
                safety=Safety.ONCE,
            )
        )

    async def get_refresh_callback(self, project_id: str) -> dict[str, object]:
        """Get the callback that the service calls when a refresh has ended.

        [API page](https://docs.peaka.com/api-reference/metadata/get-metadata-refresh-job-callback)
        """
        return await self._send(
            Request(
                "metadata.get_refresh_callback",
                "GET",
                "/metadata/{project_id}/refresh/callback",
                path={"project_id": project_id},
                returns=dict[str, object],
                safety=Safety.SAFE,
            )
        )

    async def register_refresh_callback(
        self, project_id: str, callback: MetadataRefreshMetadataCallbackRequest
    ) -> dict[str, object]:
        """Set the callback that the service calls when a refresh has ended.

        [API page](https://docs.peaka.com/api-reference/metadata/register-metadata-refresh-job-callback)
        """
        return await self._send(
            Request(
                "metadata.register_refresh_callback",
                "POST",
                "/metadata/{project_id}/refresh/callback",
                path={"project_id": project_id},
                body=callback,
                returns=dict[str, object],
                safety=Safety.ONCE,
            )
        )

    async def unregister_refresh_callback(self, project_id: str) -> dict[str, object]:
        """Remove the callback that the service calls when a refresh has ended.

        [API page](https://docs.peaka.com/api-reference/metadata/unregister-metadata-refresh-job-callback)
        """
        return await self._send(
            Request(
                "metadata.unregister_refresh_callback",
                "DELETE",
                "/metadata/{project_id}/refresh/callback",
                path={"project_id": project_id},
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def get_refresh_status(self, project_id: str, catalog_id: str) -> MetadataRefreshJobStatusResult:
        """Get the state of a catalog's refresh.

        [API page](https://docs.peaka.com/api-reference/metadata/get-metadata-refresh-job-status)
        """
        return await self._send(
            Request(
                "metadata.get_refresh_status",
                "GET",
                "/metadata/{project_id}/refresh/{catalog_id}",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=MetadataRefreshJobStatusResult,
                safety=Safety.SAFE,
            )
        )

    async def list_relations(self, project_id: str, catalog_id: str) -> Relations:
        """Get the relations of a catalog's tables.

        [API page](https://docs.peaka.com/api-reference/metadata/get-project-catalog-metadata-relations)
        """
        return await self._send(
            Request(
                "metadata.list_relations",
                "GET",
                "/metadata/{project_id}/relations/{catalog_id}",
                path={"project_id": project_id, "catalog_id": catalog_id},
                returns=Relations,
                safety=Safety.SAFE,
            )
        )

    async def add_relation(
        self,
        project_id: str,
        catalog_id: str,
        schema_name: str,
        table_name: str,
        column_name: str,
        relation: MetadataAddRelationRequest,
    ) -> dict[str, object]:
        """Add a relation between two columns.

        [API page](https://docs.peaka.com/api-reference/metadata/add-relation-to-metadata)
        """
        return await self._send(
            Request(
                "metadata.add_relation",
                "POST",
                "/metadata/{project_id}/relations/{catalog_id}/{schema_name}/{table_name}/{column_name}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                    "column_name": column_name,
                },
                body=relation,
                returns=dict[str, object],
                safety=Safety.ONCE,
            )
        )

    async def update_relation(
        self,
        project_id: str,
        catalog_id: str,
        schema_name: str,
        table_name: str,
        relation_id: str,
        relation: MetadataUpdateRelationRequest,
    ) -> dict[str, object]:
        """Change the type of a relation.

        [API page](https://docs.peaka.com/api-reference/metadata/update-relation-from-metadata)
        """
        return await self._send(
            Request(
                "metadata.update_relation",
                "PUT",
                "/metadata/{project_id}/relations/{catalog_id}/{schema_name}/{table_name}/{relation_id}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                    "relation_id": relation_id,
                },
                body=relation,
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete_relation(
        self, project_id: str, catalog_id: str, schema_name: str, table_name: str, relation_id: str
    ) -> dict[str, object]:
        """Delete a relation.

        [API page](https://docs.peaka.com/api-reference/metadata/delete-relation-from-metadata)
        """
        return await self._send(
            Request(
                "metadata.delete_relation",
                "DELETE",
                "/metadata/{project_id}/relations/{catalog_id}/{schema_name}/{table_name}/{relation_id}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                    "relation_id": relation_id,
                },
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def generate_semantics(
        self,
        project_id: str,
        catalog_id: str,
        schema_name: str,
        table_name: str,
        semantics: MetadataCreateSemanticsRequest,
    ) -> Semantics:
        """Generate descriptions of a table and its columns.

        [API page](https://docs.peaka.com/api-reference/metadata/generate-semantics-for-the-table)
        """
        return await self._send(
            Request(
                "metadata.generate_semantics",
                "POST",
                "/metadata/{project_id}/semantics/{catalog_id}/{schema_name}/{table_name}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                },
                body=semantics,
                returns=Semantics,
                safety=Safety.ONCE,
            )
        )

    async def update_catalog(
        self, project_id: str, catalog_id: str, usage: MetadataAIUsageUpdateRequest
    ) -> dict[str, object]:
        """Set whether the agent may use a catalog.

        [API page](https://docs.peaka.com/api-reference/metadata/update-metadata-ai-usage-per-catalog-level)
        """
        return await self._send(
            Request(
                "metadata.update_catalog",
                "PUT",
                "/metadata/{project_id}/{catalog_id}",
                path={"project_id": project_id, "catalog_id": catalog_id},
                body=usage,
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def update_schema(
        self, project_id: str, catalog_id: str, schema_name: str, usage: MetadataAIUsageUpdateRequest
    ) -> dict[str, object]:
        """Set whether the agent may use a schema.

        [API page](https://docs.peaka.com/api-reference/metadata/update-metadata-ai-usage-per-schema-level)
        """
        return await self._send(
            Request(
                "metadata.update_schema",
                "PUT",
                "/metadata/{project_id}/{catalog_id}/{schema_name}",
                path={"project_id": project_id, "catalog_id": catalog_id, "schema_name": schema_name},
                body=usage,
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def update_table(
        self, project_id: str, catalog_id: str, schema_name: str, table_name: str, metadata: MetadataUpdateRequest
    ) -> dict[str, object]:
        """Change the metadata of a table.

        [API page](https://docs.peaka.com/api-reference/metadata/update-metadata)
        """
        return await self._send(
            Request(
                "metadata.update_table",
                "PUT",
                "/metadata/{project_id}/{catalog_id}/{schema_name}/{table_name}",
                path={
                    "project_id": project_id,
                    "catalog_id": catalog_id,
                    "schema_name": schema_name,
                    "table_name": table_name,
                },
                body=metadata,
                returns=dict[str, object],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def run_refresh(
        self,
        project_id: str,
        refresh: MetadataRefreshMetadataRequest,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[MetadataRefreshJobStatusResult], object] | None = None,
    ) -> MetadataRefreshJobStatusResult:
        """Read a catalog's metadata again and wait for the refresh to end.

        Raises:
            ConfigurationError: the request names no catalog.
            WorkFailedError: the refresh failed or is stuck.
            WaitTimeoutError: the refresh has not ended in time; it goes on.
            WaitStalledError: the refresh shows no progress.
        """
        catalog_id = refresh.catalog_id
        if catalog_id is None:
            msg = "catalog_id is missing, and the refresh is waited for by its catalog. Nothing was sent."
            raise ConfigurationError(msg, operation="metadata.run_refresh")
        await self.refresh(project_id, refresh)
        return await self.wait_for_refresh(project_id, catalog_id, waiting=waiting, on_progress=on_progress)

    async def wait_for_refresh(
        self,
        project_id: str,
        catalog_id: str,
        *,
        waiting: Waiting = DEFAULT_WAITING,
        on_progress: Callable[[MetadataRefreshJobStatusResult], object] | None = None,
    ) -> MetadataRefreshJobStatusResult:
        """Wait for a refresh of a catalog's metadata to end.

        The service shows the state of the last refresh until the next one begins. So a final state counts only if an
        earlier poll saw the refresh running, or if five polls have shown that state.

        Raises:
            WorkFailedError: the refresh failed or is stuck.
            WaitTimeoutError: the refresh has not ended in time; it goes on.
            WaitStalledError: the refresh shows no progress.
        """
        return await wait(
            functools.partial(self.get_refresh_status, project_id, catalog_id),
            RefreshReader().read,
            operation="metadata.wait_for_refresh",
            waiting=waiting,
            on_progress=on_progress,
        )


class RefreshReader:
    """Reads the polls of a metadata refresh. A state does not say which refresh it belongs to, so polls are counted."""

    def __init__(self) -> None:
        self._polls = 0
        self._seen_running = False

    def read(self, result: MetadataRefreshJobStatusResult) -> Polled:
        """Read the state of the refresh from an answer."""
        self._polls += 1
        state = state_name(result.status)
        old = not self._seen_running and self._polls < _POLLS_OF_AN_OLD_STATE
        if result.status in {RefreshStatus.COMPLETED, RefreshStatus.NOT_ACTIVE}:
            return Polled(state=state, ended=not old, progress=state)
        if result.status in {RefreshStatus.FAILED, RefreshStatus.STUCK}:
            return Polled(state=state, failure=None if old else f"the refresh is {state}", progress=state)
        self._seen_running = True
        return Polled(state=state, progress=state)
