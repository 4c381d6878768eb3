"""Query folders: the tree that holds a project's queries."""

from __future__ import annotations

import uuid

from peaka_async.emulator._clock import iso
from peaka_async.emulator._operation import Answer, Call, Operation, not_found, text, texts, wrong_request
from peaka_async.emulator._state import Folder, ProjectRecord
from peaka_async.emulator._world import World


class QueryFolders:
    """The query folders of a project."""

    def __init__(self, world: World) -> None:
        self._world = world

    def operations(self) -> tuple[Operation, ...]:
        all_ = "/data/projects/{projectId}/queries/folders"
        one = f"{all_}/{{folderId}}"
        return (
            Operation("query_folders.list", "GET", all_, self._list),
            Operation("query_folders.create", "POST", all_, self._create),
            Operation("query_folders.get_tree", "GET", f"{all_}/tree", self._get_tree),
            Operation("query_folders.get", "GET", one, self._get),
            Operation("query_folders.add_or_remove_query", "PUT", one, self._add_or_remove_query),
            Operation("query_folders.delete", "DELETE", one, self._delete),
            Operation("query_folders.rename", "PATCH", f"{one}/name", self._rename),
            Operation("query_folders.move", "PATCH", f"{one}/path", self._move),
            Operation("query_folders.create_in_folder", "POST", f"{all_}/{{parentFolderId}}", self._create_in_folder),
        )

    def _list(self, call: Call) -> object:
        project = self._world.project(call)
        return {"items": [_shown(project, each) for each in project.folders.values()]}

    def _create(self, call: Call) -> Answer:
        return self._created(call, None)

    def _create_in_folder(self, call: Call) -> Answer:
        return self._created(call, _folder_with(self._world.project(call), call.path["parentFolderId"]).id)

    def _created(self, call: Call, parent_id: str | None) -> Answer:
        project = self._world.project(call)
        names = _split(text(call.json_object(), "folderName"))
        if not names:
            raise wrong_request("A folder needs a name")
        if _below(project, parent_id, names) is not None:
            raise wrong_request("There is a folder of this name already", status=409)
        folder = _make(self._world, project, parent_id, names)
        return Answer(201, _shown(project, folder))

    def _get_tree(self, call: Call) -> object:
        project = self._world.project(call)
        root = call.query.get("rootFolderId")
        queries = call.query.get("includeQueries", "true") == "true"
        if root is not None:
            return {"tree": [_node(project, _folder_with(project, root), queries=queries)]}
        return {
            "tree": [
                _node(project, each, queries=queries) for each in project.folders.values() if each.parent_id is None
            ]
        }

    def _get(self, call: Call) -> object:
        project = self._world.project(call)
        return _with_contents(project, _folder_with(project, call.path["folderId"]))

    def _add_or_remove_query(self, call: Call) -> object:
        project, body = self._world.project(call), call.json_object()
        folder = _folder_with(project, call.path["folderId"])
        if "queryIdsAdded" not in body or "queryIdsRemoved" not in body:
            raise wrong_request("queryIdsAdded and queryIdsRemoved are needed")
        added, removed = texts(body, "queryIdsAdded"), texts(body, "queryIdsRemoved")
        for query_id in (*added, *removed):
            if query_id not in project.queries:
                raise wrong_request(f"There is no query with id {query_id}", code="cn004")
        for query_id in added:
            project.queries[query_id].folder_id = folder.id
        for query_id in removed:
            project.queries[query_id].folder_id = None
        return _with_contents(project, folder)

    def _delete(self, call: Call) -> Answer:
        project = self._world.project(call)
        folder = _folder_with(project, call.path["folderId"])
        inside = [folder.id, *_inside(project, folder.id)]
        queries = [each.id for each in project.queries.values() if each.folder_id in inside]
        if (len(inside) > 1 or queries) and call.query.get("force") != "true":
            raise wrong_request("The folder is not empty", status=409)
        for query_id in queries:
            del project.queries[query_id]
        for folder_id in inside:
            del project.folders[folder_id]
        return Answer(204)

    def _rename(self, call: Call) -> object:
        project = self._world.project(call)
        folder = _folder_with(project, call.path["folderId"])
        name = text(call.json_object(), "name")
        taken = _below(project, folder.parent_id, [name])
        if "/" in name or (taken is not None and taken is not folder):
            raise wrong_request("There is a folder of this name already", status=409)
        folder.name = name
        return _shown(project, folder)

    def _move(self, call: Call) -> object:
        project = self._world.project(call)
        folder = _folder_with(project, call.path["folderId"])
        *parents, name = _split(text(call.json_object(), "path")) or [folder.name]
        parent = _make(self._world, project, None, parents) if parents else None
        parent_id = None if parent is None else parent.id
        if parent_id in {folder.id, *_inside(project, folder.id)}:
            raise wrong_request("A folder cannot be moved into itself", status=409)
        taken = _below(project, parent_id, [name])
        if taken is not None and taken is not folder:
            raise wrong_request("There is a folder of this name already", status=409)
        folder.parent_id, folder.name = parent_id, name
        return _shown(project, folder)


def folder_at(world: World, project: ProjectRecord, path: str) -> str | None:
    """The id of the folder at a path; it is created if it is missing. None at the root."""
    names = _split(path)
    return _make(world, project, None, names).id if names else None


def path_of(project: ProjectRecord, folder_id: str | None) -> str:
    """The path of a folder; `/` for the root."""
    folder = project.folders.get(folder_id or "")
    if folder is None:
        return "/"
    return f"{path_of(project, folder.parent_id).rstrip('/')}/{folder.name}"


def _split(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _below(project: ProjectRecord, parent_id: str | None, names: list[str]) -> Folder | None:
    """The folder at this path of names, relative to another folder."""
    found = None
    for name in names:
        children = (each for each in project.folders.values() if (each.parent_id, each.name) == (parent_id, name))
        found = next(children, None)
        if found is None:
            return None
        parent_id = found.id
    return found


def _make(world: World, project: ProjectRecord, parent_id: str | None, names: list[str]) -> Folder:
    """The folder at this path of names; missing folders are created."""
    first, *rest = names
    folder = _below(project, parent_id, [first])
    if folder is None:
        folder = Folder(id=str(uuid.uuid4()), name=first, parent_id=parent_id, created_at=world.now)
        project.folders[folder.id] = folder
    return _make(world, project, folder.id, rest) if rest else folder


def _inside(project: ProjectRecord, folder_id: str) -> list[str]:
    """The ids of all folders in a folder."""
    children = [each.id for each in project.folders.values() if each.parent_id == folder_id]
    return children + [each for child in children for each in _inside(project, child)]


def _folder_with(project: ProjectRecord, folder_id: str) -> Folder:
    folder = project.folders.get(folder_id)
    if folder is None:
        raise not_found(f"There is no folder with id {folder_id}")
    return folder


def _shown(project: ProjectRecord, folder: Folder) -> dict[str, object]:
    return {
        "id": folder.id,
        "name": folder.name,
        "path": path_of(project, folder.id),
        "parentId": folder.parent_id,
        "createdAt": iso(folder.created_at),
    }


def _queries_in(project: ProjectRecord, folder: Folder) -> list[dict[str, object]]:
    return [
        {
            "id": each.id,
            "displayName": each.display_name,
            "name": each.name,
            "inputQuery": each.sql,
            "queryType": each.type,
            "schedule": each.schedule,
            "path": path_of(project, folder.id),
            "folderId": folder.id,
        }
        for each in project.queries.values()
        if each.folder_id == folder.id
    ]


def _with_contents(project: ProjectRecord, folder: Folder) -> dict[str, object]:
    folders = [_shown(project, each) for each in project.folders.values() if each.parent_id == folder.id]
    return {**_shown(project, folder), "folders": folders, "queries": _queries_in(project, folder)}


def _node(project: ProjectRecord, folder: Folder, *, queries: bool) -> dict[str, object]:
    children = [each for each in project.folders.values() if each.parent_id == folder.id]
    return {
        "id": folder.id,
        "name": folder.name,
        "path": path_of(project, folder.id),
        "children": [_node(project, each, queries=queries) for each in children],
        "queries": _queries_in(project, folder) if queries else None,
    }
