"""The requests that the methods of `query_folders` make."""

from __future__ import annotations

import pytest
from recording_sender import Call, made

from peaka_async import Safety
from peaka_async.endpoints.query_folders import QueryFolders
from peaka_async.models import (
    QueryFolderCreateRequest,
    QueryFolderItem,
    QueryFolderRenameRequest,
    QueryFolderTreeResponse,
    QueryFolderUpdateRequest,
    QueryFolderWithContentsResponse,
    QueryPathUpdateRequest,
)

FOLDER = QueryFolderCreateRequest(folder_name="folder")
QUERIES = QueryFolderUpdateRequest(query_ids_added="query")
NAME = QueryFolderRenameRequest("name")
PATH = QueryPathUpdateRequest(path="path")
CALLS = [
    Call(
        "query_folders.list",
        ("p",),
        "GET",
        "/data/projects/p/queries/folders",
        returns=list[QueryFolderItem],
        safety=Safety.SAFE,
    ),
    Call(
        "query_folders.create",
        ("p", FOLDER),
        "POST",
        "/data/projects/p/queries/folders",
        body=FOLDER,
        returns=QueryFolderItem,
        safety=Safety.ONCE,
    ),
    Call(
        "query_folders.get_tree",
        ("p",),
        "GET",
        "/data/projects/p/queries/folders/tree?includeQueries=true&rootFolderId=rf",
        options={"include_queries": True, "root_folder_id": "rf"},
        returns=QueryFolderTreeResponse,
        safety=Safety.SAFE,
    ),
    Call(
        "query_folders.get",
        ("p", "f"),
        "GET",
        "/data/projects/p/queries/folders/f",
        returns=QueryFolderWithContentsResponse,
        safety=Safety.SAFE,
    ),
    Call(
        "query_folders.add_or_remove_query",
        ("p", "f", QUERIES),
        "PUT",
        "/data/projects/p/queries/folders/f",
        body=QUERIES,
        returns=QueryFolderWithContentsResponse,
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "query_folders.delete",
        ("p", "f"),
        "DELETE",
        "/data/projects/p/queries/folders/f?force=true",
        options={"force": True},
        safety=Safety.IDEMPOTENT,
    ),
    Call(
        "query_folders.rename",
        ("p", "f", NAME),
        "PATCH",
        "/data/projects/p/queries/folders/f/name",
        body=NAME,
        returns=QueryFolderItem,
        safety=Safety.ONCE,
    ),
    Call(
        "query_folders.move",
        ("p", "f", PATH),
        "PATCH",
        "/data/projects/p/queries/folders/f/path",
        body=PATH,
        returns=QueryFolderItem,
        safety=Safety.ONCE,
    ),
    Call(
        "query_folders.create_in_folder",
        ("p", "pf", FOLDER),
        "POST",
        "/data/projects/p/queries/folders/pf",
        body=FOLDER,
        returns=QueryFolderItem,
        safety=Safety.ONCE,
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_each_method_describes_its_operation(call):
    """The HTTP method, target, body, answer type and safety are those of the API."""
    assert await made(QueryFolders, call) == call
