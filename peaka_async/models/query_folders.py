"""Query folders: the tree in which a project's queries are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import attrs

from peaka_async.models.queries import Query

__all__ = [
    "QueryFolderCreateRequest",
    "QueryFolderItem",
    "QueryFolderListResponse",
    "QueryFolderRenameRequest",
    "QueryFolderTreeNode",
    "QueryFolderTreeResponse",
    "QueryFolderUpdateRequest",
    "QueryFolderWithContentsResponse",
]

# The codec's mark for a timestamp that older answers give as milliseconds since 1970.
_Created = Annotated[datetime, "millis"]


@attrs.frozen
class QueryFolderCreateRequest:
    """A folder to create. A name that is a path makes the folders between as well."""

    folder_name: str | None = None


@attrs.frozen
class QueryFolderRenameRequest:
    """A folder's new name."""

    name: str


@attrs.frozen(kw_only=True)
class QueryFolderUpdateRequest:
    """Queries to move into a folder, and queries to move out of it, to the root.

    Both lists are always sent: the service refuses a request without either.
    """

    query_ids_added: list[str] = attrs.field(factory=list)
    query_ids_removed: list[str] = attrs.field(factory=list)


@attrs.frozen
class QueryFolderItem:
    """A folder. `parent_id` is None at the root."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    parent_id: str | None = None
    created_at: _Created | None = None


@attrs.frozen
class QueryFolderListResponse:
    """The service's own form of a list of folders; `query_folders.list` gives the items alone."""

    items: list[QueryFolderItem] | None = None


@attrs.frozen
class QueryFolderWithContentsResponse:
    """A folder with the folders and queries that lie directly in it."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    parent_id: str | None = None
    created_at: _Created | None = None
    folders: list[QueryFolderItem] | None = None
    queries: list[Query] | None = None


@attrs.frozen
class QueryFolderTreeNode:
    """A folder with everything below it. `queries` is None where they were not asked for."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    children: list[QueryFolderTreeNode] | None = None
    queries: list[Query] | None = None


@attrs.frozen
class QueryFolderTreeResponse:
    """The folders at the root of a tree."""

    tree: list[QueryFolderTreeNode] | None = None
