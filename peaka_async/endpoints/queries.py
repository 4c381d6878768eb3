"""Queries: saved SQL, and its execution."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.endpoints._capped import warn_if_capped
from peaka_async.models.queries import ExecutableQuery, Query, QueryPathUpdateRequest, QueryRequest, ResultFormat
from peaka_async.models.query_results import QueryResult


class Queries(Group):
    """The saved queries of a project, and the execution of queries."""

    async def list(self, project_id: str) -> List[Query]:
        """List the project's queries.

        [API page](https://docs.peaka.com/api-reference/queries/list-queries)
        """
        return await self._send(
            Request(
                "queries.list",
                "GET",
                "/data/projects/{project_id}/queries",
                path={"project_id": project_id},
                returns=list[Query],
                safety=Safety.SAFE,
            )
        )

    async def create(self, project_id: str, query: QueryRequest, *, check_schema_exists: bool | None = None) -> Query:
        """Create a query.

        [API page](https://docs.peaka.com/api-reference/queries/create-query)

        Raises:
            BadRequestError: the SQL is invalid, or it names a schema that does not exist (checked only with
                `check_schema_exists`).
        """
        return await self._send(
            Request(
                "queries.create",
                "POST",
                "/data/projects/{project_id}/queries",
                path={"project_id": project_id},
                query={"check_schema_exists": check_schema_exists},
                body=query,
                returns=Query,
                safety=Safety.ONCE,
            )
        )

    async def execute(
        self, project_id: str, query: ExecutableQuery, *, result_format: ResultFormat = ResultFormat.CELL_TYPED
    ) -> QueryResult:
        """Execute a query and get its rows.

        Reads of an API connector's table stop at 100 rows while the table is not cached. A `CappedReadWarning` is
        issued for a result of exactly 100 rows whose SQL names such tables in full and sets no limit.

        The query is built from its parts, is a saved query by id or by name, or is an SQL statement. If it has a
        `timeout`, the call's own limits are raised above it.

        [API page](https://docs.peaka.com/api-reference/queries/execute-query)

        Args:
            project_id: the project.
            query: the query to execute.
            result_format: the form of the result. Only CELL_TYPED carries the types of the columns.

        Raises:
            BadRequestError: the SQL is invalid, or is not a read-only statement.
            NotFoundError: there is no such query.
            DecodeError: the service cut the result off because it is too large; export it instead.
        """
        result = await self._send(
            Request(
                "queries.execute",
                "POST",
                "/data/projects/{project_id}/queries/execute",
                path={"project_id": project_id},
                query={"format": result_format},
                body=query,
                returns=QueryResult,
                safety=Safety.SAFE,
                server_timeout=query.timeout,
            )
        )
        return warn_if_capped(query, result)

    async def get(self, project_id: str, query_id: str) -> Query:
        """Get a query.

        [API page](https://docs.peaka.com/api-reference/queries/read-query)

        Raises:
            NotFoundError: there is no such query.
        """
        return await self._send(
            Request(
                "queries.get",
                "GET",
                "/data/projects/{project_id}/queries/{query_id}",
                path={"project_id": project_id, "query_id": query_id},
                returns=Query,
                safety=Safety.SAFE,
            )
        )

    async def update(
        self, project_id: str, query_id: str, query: QueryRequest, *, check_schema_exists: bool | None = None
    ) -> Query:
        """Change a query's name, SQL or schedule. Fields that are left out do not change.

        [API page](https://docs.peaka.com/api-reference/queries/update-query)

        Raises:
            NotFoundError: there is no such query.
        """
        return await self._send(
            Request(
                "queries.update",
                "PUT",
                "/data/projects/{project_id}/queries/{query_id}",
                path={"project_id": project_id, "query_id": query_id},
                query={"check_schema_exists": check_schema_exists},
                body=query,
                returns=Query,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete(self, project_id: str, query_id: str) -> None:
        """Delete a query.

        [API page](https://docs.peaka.com/api-reference/queries/delete-query)
        """
        return await self._send(
            Request(
                "queries.delete",
                "DELETE",
                "/data/projects/{project_id}/queries/{query_id}",
                path={"project_id": project_id, "query_id": query_id},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def update_path(self, project_id: str, query_id: str, path: QueryPathUpdateRequest) -> None:
        """Move a query to a folder.

        [API page](https://docs.peaka.com/api-reference/queries/update-query-path)
        """
        return await self._send(
            Request(
                "queries.update_path",
                "PATCH",
                "/data/projects/{project_id}/queries/{query_id}/path",
                path={"project_id": project_id, "query_id": query_id},
                body=path,
                returns=NoneType,
                safety=Safety.ONCE,
            )
        )
