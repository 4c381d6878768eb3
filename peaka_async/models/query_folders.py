"""Query folders: the tree that holds a project's queries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import attrs

from peaka_async.models._model import Model
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

# Tells the codec that older answers give the timestamp as milliseconds since 1970.
_Created = Annotated[datetime, "millis"]


@attrs.frozen
class QueryFolderCreateRequest(Model):
    """A folder to create. If the name is a path, missing folders on it are created too."""

    folder_name: str | None = None


@attrs.frozen
class QueryFolderRenameRequest(Model):
    """A folder's new name."""

    name: str


@attrs.frozen(kw_only=True)
class QueryFolderUpdateRequest(Model):
    """Queries to move into a folder, and queries to move out of it to the root.

    Both lists are always sent: the service refuses a request that lacks one of them.
    """

    query_ids_added: list[str] = attrs.field(factory=list)
    query_ids_removed: list[str] = attrs.field(factory=list)


@attrs.frozen
class QueryFolderItem(Model):
    """A folder. `parent_id` is None at the root."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    parent_id: str | None = None
    created_at: _Created | None = None


@attrs.frozen
class QueryFolderListResponse(Model):
    """The service's answer to a list of folders; `query_folders.list` returns only its items."""

    items: list[QueryFolderItem] | None = None


@attrs.frozen
class QueryFolderWithContentsResponse(Model):
    """A folder with the folders and queries directly in it."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    parent_id: str | None = None
    created_at: _Created | None = None
    folders: list[QueryFolderItem] | None = None
    queries: list[Query] | None = None


@attrs.frozen
class QueryFolderTreeNode(Model):
    """A folder with everything below it. `queries` is None if the call did not include queries."""

    id: str | None = None
    name: str | None = None
    path: str | None = None
    children: list[QueryFolderTreeNode] | None = None
    queries: list[Query] | None = None


@attrs.frozen
class QueryFolderTreeResponse(Model):
    """A tree of folders, by the folders at its root."""

    tree: list[QueryFolderTreeNode] | None = None
