"""Query folders: the tree that holds a project's queries."""

from __future__ import annotations

from types import NoneType

from peaka_async._request import Request, Safety
from peaka_async.endpoints._base import Group, List
from peaka_async.models.queries import QueryPathUpdateRequest
from peaka_async.models.query_folders import (
    QueryFolderCreateRequest,
    QueryFolderItem,
    QueryFolderRenameRequest,
    QueryFolderTreeResponse,
    QueryFolderUpdateRequest,
    QueryFolderWithContentsResponse,
)


class QueryFolders(Group):
    """The query folders of a project."""

    async def list(self, project_id: str) -> List[QueryFolderItem]:
        """List all folders of the project, without their contents.

        [API page](https://docs.peaka.com/api-reference/query-folders/list-query-folders)
        """
        return await self._send(
            Request(
                "query_folders.list",
                "GET",
                "/data/projects/{project_id}/queries/folders",
                path={"project_id": project_id},
                returns=list[QueryFolderItem],
                safety=Safety.SAFE,
            )
        )

    async def create(self, project_id: str, folder: QueryFolderCreateRequest) -> QueryFolderItem:
        """Create a folder at the root. Missing folders on its path are created too.

        [API page](https://docs.peaka.com/api-reference/query-folders/create-query-folder)
        """
        return await self._send(
            Request(
                "query_folders.create",
                "POST",
                "/data/projects/{project_id}/queries/folders",
                path={"project_id": project_id},
                body=folder,
                returns=QueryFolderItem,
                safety=Safety.ONCE,
            )
        )

    async def get_tree(
        self, project_id: str, *, include_queries: bool | None = None, root_folder_id: str | None = None
    ) -> QueryFolderTreeResponse:
        """Get the folders as a tree: all of them, or the subtree that starts at `root_folder_id`.

        [API page](https://docs.peaka.com/api-reference/query-folders/get-query-folder-tree)
        """
        return await self._send(
            Request(
                "query_folders.get_tree",
                "GET",
                "/data/projects/{project_id}/queries/folders/tree",
                path={"project_id": project_id},
                query={"include_queries": include_queries, "root_folder_id": root_folder_id},
                returns=QueryFolderTreeResponse,
                safety=Safety.SAFE,
            )
        )

    async def get(self, project_id: str, folder_id: str) -> QueryFolderWithContentsResponse:
        """Get a folder with the folders and queries directly in it.

        [API page](https://docs.peaka.com/api-reference/query-folders/read-query-folder)

        Raises:
            NotFoundError: there is no such folder.
        """
        return await self._send(
            Request(
                "query_folders.get",
                "GET",
                "/data/projects/{project_id}/queries/folders/{folder_id}",
                path={"project_id": project_id, "folder_id": folder_id},
                returns=QueryFolderWithContentsResponse,
                safety=Safety.SAFE,
            )
        )

    async def add_or_remove_query(
        self, project_id: str, folder_id: str, queries: QueryFolderUpdateRequest
    ) -> QueryFolderWithContentsResponse:
        """Move queries into a folder, and move other queries out of it to the root.

        [API page](https://docs.peaka.com/api-reference/query-folders/add-remove-queries-in-from-folder)
        """
        return await self._send(
            Request(
                "query_folders.add_or_remove_query",
                "PUT",
                "/data/projects/{project_id}/queries/folders/{folder_id}",
                path={"project_id": project_id, "folder_id": folder_id},
                body=queries,
                returns=QueryFolderWithContentsResponse,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def delete(self, project_id: str, folder_id: str, *, force: bool | None = None) -> None:
        """Delete an empty folder. With `force`, delete a folder with everything in it.

        [API page](https://docs.peaka.com/api-reference/query-folders/delete-query-folder)
        """
        return await self._send(
            Request(
                "query_folders.delete",
                "DELETE",
                "/data/projects/{project_id}/queries/folders/{folder_id}",
                path={"project_id": project_id, "folder_id": folder_id},
                query={"force": force},
                returns=NoneType,
                safety=Safety.IDEMPOTENT,
            )
        )

    async def rename(self, project_id: str, folder_id: str, name: QueryFolderRenameRequest) -> QueryFolderItem:
        """Rename a folder.

        [API page](https://docs.peaka.com/api-reference/query-folders/rename-query-folder)
        """
        return await self._send(
            Request(
                "query_folders.rename",
                "PATCH",
                "/data/projects/{project_id}/queries/folders/{folder_id}/name",
                path={"project_id": project_id, "folder_id": folder_id},
                body=name,
                returns=QueryFolderItem,
                safety=Safety.ONCE,
            )
        )

    async def move(self, project_id: str, folder_id: str, path: QueryPathUpdateRequest) -> QueryFolderItem:
        """Move a folder with everything in it.

        [API page](https://docs.peaka.com/api-reference/query-folders/move-query-folder)
        """
        return await self._send(
            Request(
                "query_folders.move",
                "PATCH",
                "/data/projects/{project_id}/queries/folders/{folder_id}/path",
                path={"project_id": project_id, "folder_id": folder_id},
                body=path,
                returns=QueryFolderItem,
                safety=Safety.ONCE,
            )
        )

    async def create_in_folder(
        self, project_id: str, parent_folder_id: str, folder: QueryFolderCreateRequest
    ) -> QueryFolderItem:
        """Create a folder in another folder.

        [API page](https://docs.peaka.com/api-reference/query-folders/create-query-folder-under-parent)
        """
        return await self._send(
            Request(
                "query_folders.create_in_folder",
                "POST",
                "/data/projects/{project_id}/queries/folders/{parent_folder_id}",
                path={"project_id": project_id, "parent_folder_id": parent_folder_id},
                body=folder,
                returns=QueryFolderItem,
                safety=Safety.ONCE,
            )
        )
