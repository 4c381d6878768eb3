"""SQL: translation from Peaka's dialect (Trino's) into other dialects."""

from __future__ import annotations

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group
from peaka_async.models.sql import SQLTranspileQueryRequest, TranspiledQuery


class Sql(Group):
    """Translation of SQL into other dialects."""

    async def transpile(self, dialect: str, query: SQLTranspileQueryRequest) -> TranspiledQuery:
        """Translate a query from Trino's SQL into another dialect, such as `mysql`, `postgres` or `bigquery`.

        [API page](https://docs.peaka.com/api-reference/sql/transpile-sql)
        """
        return await self._send(
            Request(
                "sql.transpile",
                "POST",
                "/sql/transpile/{dialect}",
                path={"dialect": dialect},
                body=query,
                returns=TranspiledQuery,
                safety=Safety.SAFE,
            )
        )
