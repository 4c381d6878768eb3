"""Internal tables: Peaka Tables (relational) and BI Tables (columnar), and the import of CSV files."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.endpoints._csv_body import CsvFile, csv_content
from peaka_async.errors import ConfigurationError
from peaka_async.models.internal_tables import (
    ColumnDataType,
    ColumnDetail,
    ColumnRequest,
    CsvImportRequest,
    ImportJob,
    Table,
)


class InternalTables(Group):
    """The internal tables of a project."""

    async def list_bi_tables(self, project_id: str) -> List[Table]:
        """List the BI Tables.

        [API page](https://docs.peaka.com/api-reference/internal-tables/list-bi-tables)
        """
        return await self._send(
            Request(
                "internal_tables.list_bi_tables",
                "GET",
                "/data/projects/{project_id}/bitable",
                path={"project_id": project_id},
                returns=list[Table],
                safety=Safety.SAFE,
            )
        )

    async def create_bi_table(self, project_id: str, table_name: str) -> Table:
        """Create a BI Table.

        [API page](https://docs.peaka.com/api-reference/internal-tables/create-bi-table)
        """
        return await self._send(
            Request(
                "internal_tables.create_bi_table",
                "POST",
                "/data/projects/{project_id}/bitable/{table_name}",
                path={"project_id": project_id, "table_name": table_name},
                returns=Table,
                safety=Safety.ONCE,
            )
        )

    async def delete_bi_table(self, project_id: str, table_name: str) -> None:
        """Delete a BI Table with its data.

        [API page](https://docs.peaka.com/api-reference/internal-tables/delete-bi-table)
        """
        return await self._send(
            Request(
                "internal_tables.delete_bi_table",
                "DELETE",
                "/data/projects/{project_id}/bitable/{table_name}",
                path={"project_id": project_id, "table_name": table_name},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def list_bi_columns(self, project_id: str, table_name: str) -> List[ColumnDetail]:
        """List the columns of a BI Table.

        [API page](https://docs.peaka.com/api-reference/internal-tables/list-bi-columns)
        """
        return await self._send(
            Request(
                "internal_tables.list_bi_columns",
                "GET",
                "/data/projects/{project_id}/bitable/{table_name}/columns",
                path={"project_id": project_id, "table_name": table_name},
                returns=list[ColumnDetail],
                safety=Safety.SAFE,
            )
        )

    async def add_bi_column(
        self, project_id: str, table_name: str, columns: ColumnRequest | List[ColumnRequest]
    ) -> List[ColumnDetail]:
        """Add one or more columns to a BI Table.

        [API page](https://docs.peaka.com/api-reference/internal-tables/add-bi-column)
        """
        return await self._send(
            Request(
                "internal_tables.add_bi_column",
                "POST",
                "/data/projects/{project_id}/bitable/{table_name}/columns",
                path={"project_id": project_id, "table_name": table_name},
                body=columns,
                returns=list[ColumnDetail],
                safety=Safety.ONCE,
            )
        )

    async def update_bi_column(
        self, project_id: str, table_name: str, column_name: str, column: ColumnRequest
    ) -> List[ColumnDetail]:
        """Change a column of a BI Table. The returned list holds the changed column.

        [API page](https://docs.peaka.com/api-reference/internal-tables/update-bi-column)
        """
        return await self._send(
            Request(
                "internal_tables.update_bi_column",
                "PUT",
                "/data/projects/{project_id}/bitable/{table_name}/columns/{column_name}",
                path={"project_id": project_id, "table_name": table_name, "column_name": column_name},
                body=column,
                returns=list[ColumnDetail],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete_bi_column(self, project_id: str, table_name: str, column_name: str) -> None:
        """Delete a column of a BI Table with its data.

        [API page](https://docs.peaka.com/api-reference/internal-tables/delete-bi-column)
        """
        return await self._send(
            Request(
                "internal_tables.delete_bi_column",
                "DELETE",
                "/data/projects/{project_id}/bitable/{table_name}/columns/{column_name}",
                path={"project_id": project_id, "table_name": table_name, "column_name": column_name},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def list(self, project_id: str) -> List[Table]:
        """List the Peaka Tables.

        [API page](https://docs.peaka.com/api-reference/internal-tables/list-tables)
        """
        return await self._send(
            Request(
                "internal_tables.list",
                "GET",
                "/data/projects/{project_id}/table",
                path={"project_id": project_id},
                returns=list[Table],
                safety=Safety.SAFE,
            )
        )

    async def create(self, project_id: str, table_name: str) -> Table:
        """Create a Peaka Table.

        [API page](https://docs.peaka.com/api-reference/internal-tables/create-table)
        """
        return await self._send(
            Request(
                "internal_tables.create",
                "POST",
                "/data/projects/{project_id}/table/{table_name}",
                path={"project_id": project_id, "table_name": table_name},
                returns=Table,
                safety=Safety.ONCE,
            )
        )

    async def delete(self, project_id: str, table_name: str) -> None:
        """Delete a Peaka Table with its data.

        [API page](https://docs.peaka.com/api-reference/internal-tables/delete-table)
        """
        return await self._send(
            Request(
                "internal_tables.delete",
                "DELETE",
                "/data/projects/{project_id}/table/{table_name}",
                path={"project_id": project_id, "table_name": table_name},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def list_columns(self, project_id: str, table_name: str) -> List[ColumnDetail]:
        """List the columns of a Peaka Table.

        [API page](https://docs.peaka.com/api-reference/internal-tables/list-columns)
        """
        return await self._send(
            Request(
                "internal_tables.list_columns",
                "GET",
                "/data/projects/{project_id}/table/{table_name}/columns",
                path={"project_id": project_id, "table_name": table_name},
                returns=list[ColumnDetail],
                safety=Safety.SAFE,
            )
        )

    async def add_column(
        self, project_id: str, table_name: str, columns: ColumnRequest | List[ColumnRequest]
    ) -> List[ColumnDetail]:
        """Add one or more columns to a Peaka Table.

        [API page](https://docs.peaka.com/api-reference/internal-tables/add-column)
        """
        return await self._send(
            Request(
                "internal_tables.add_column",
                "POST",
                "/data/projects/{project_id}/table/{table_name}/columns",
                path={"project_id": project_id, "table_name": table_name},
                body=columns,
                returns=list[ColumnDetail],
                safety=Safety.ONCE,
            )
        )

    async def update_column(
        self, project_id: str, table_name: str, column_name: str, column: ColumnRequest
    ) -> List[ColumnDetail]:
        """Change a column of a Peaka Table. The returned list holds the changed column.

        [API page](https://docs.peaka.com/api-reference/internal-tables/update-column)
        """
        return await self._send(
            Request(
                "internal_tables.update_column",
                "PUT",
                "/data/projects/{project_id}/table/{table_name}/columns/{column_name}",
                path={"project_id": project_id, "table_name": table_name, "column_name": column_name},
                body=column,
                returns=list[ColumnDetail],
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete_column(self, project_id: str, table_name: str, column_name: str) -> None:
        """Delete a column of a Peaka Table with its data.

        [API page](https://docs.peaka.com/api-reference/internal-tables/delete-column)
        """
        return await self._send(
            Request(
                "internal_tables.delete_column",
                "DELETE",
                "/data/projects/{project_id}/table/{table_name}/columns/{column_name}",
                path={"project_id": project_id, "table_name": table_name, "column_name": column_name},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def change_column(
        self,
        project_id: str,
        table_name: str,
        column_name: str,
        *,
        name: str | None = None,
        data_type: ColumnDataType | None = None,
        display_name: str | None = None,
        default_value: str | None = None,
    ) -> List[ColumnDetail]:
        """Change some properties of a column of a Peaka Table. What is left out stays as it is.

        `update_column` needs the whole column, so the columns are read first. A change that is made elsewhere at the
        same time can be lost.

        Raises:
            ConfigurationError: the table has no such column. Nothing was changed.
        """
        now = await self.list_columns(project_id, table_name)
        changes = ColumnRequest(name, data_type, display_name, default_value)
        return await self.update_column(project_id, table_name, column_name, _changed(now, column_name, changes))

    async def change_bi_column(
        self,
        project_id: str,
        table_name: str,
        column_name: str,
        *,
        name: str | None = None,
        data_type: ColumnDataType | None = None,
        display_name: str | None = None,
        default_value: str | None = None,
    ) -> List[ColumnDetail]:
        """Change some properties of a column of a BI Table. What is left out stays as it is.

        `update_bi_column` needs the whole column, so the columns are read first. A change that is made elsewhere at the
        same time can be lost.

        Raises:
            ConfigurationError: the table has no such column. Nothing was changed.
        """
        now = await self.list_bi_columns(project_id, table_name)
        changes = ColumnRequest(name, data_type, display_name, default_value)
        return await self.update_bi_column(project_id, table_name, column_name, _changed(now, column_name, changes))

    async def import_csv(self, project_id: str, table_name: str, file: CsvFile, request: CsvImportRequest) -> ImportJob:
        """Append the rows of a CSV file to a Peaka Table.

        The file is read while it is sent, so it never has to fit into memory. Before anything is sent, its header line
        is checked against the mapping: the service would import NULLs for a column that the file does not have.

        [API page](https://docs.peaka.com/api-reference/internal-tables/import-csv)

        Args:
            project_id: the project.
            table_name: the table.
            file: a path, bytes, an open binary file or an async iterable of pieces.
            request: the mapping from columns of the file to columns of the table.

        Raises:
            ConfigurationError: the file cannot be read, or does not fit the mapping.
            BadRequestError: a value does not fit its column.
            OutcomeUnknownError: no answer came. Count the table's rows before you import again: a second import adds
                the rows again.
        """
        operation = "internal_tables.import_csv"
        return await self._send(
            Request(
                operation,
                "POST",
                "/data/projects/{project_id}/table/{table_name}/import",
                path={"project_id": project_id, "table_name": table_name},
                body=await csv_content(file, request, operation=operation),
                returns=ImportJob,
                safety=Safety.ONCE,
            )
        )

    async def get_csv_sample(self, project_id: str, table_name: str) -> bytes:
        """Get a sample CSV file for a Peaka Table, in the form that `import_csv` needs.

        [API page](https://docs.peaka.com/api-reference/internal-tables/get-sample-csv)
        """
        return await self._send(
            Request(
                "internal_tables.get_csv_sample",
                "GET",
                "/data/projects/{project_id}/table/{table_name}/sample",
                path={"project_id": project_id, "table_name": table_name},
                returns=bytes,
                safety=Safety.SAFE,
            )
        )


def _changed(columns: list[ColumnDetail], column_name: str, changes: ColumnRequest) -> ColumnRequest:
    """The whole of a column as it is to be: the changes, and for the rest what it is now."""
    found = next((column for column in columns if column.name == column_name), None)
    if found is None:
        names = ", ".join(str(column.name) for column in columns)
        msg = f"the table has no column {column_name}; it has {names}. Nothing was changed."
        raise ConfigurationError(msg)
    # Columns are shown with Trino's types, decimal(38,10), and changed with their names alone, DECIMAL.
    data_type = (found.data_type or "").partition("(")[0].strip().upper() or None
    return ColumnRequest(
        name=changes.name or found.name,
        data_type=changes.data_type or data_type,
        display_name=changes.display_name or found.display_name,
        default_value=changes.default_value if changes.default_value is not None else found.default_value,
        is_not_null=found.is_not_null,
        is_unique=found.is_unique,
    )
