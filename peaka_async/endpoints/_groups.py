"""The endpoint groups as attributes of the client."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from peaka_async.endpoints._base import Group

if TYPE_CHECKING:
    from peaka_async._request import Sender
    from peaka_async.endpoints.agent import Agent
    from peaka_async.endpoints.api_keys import ApiKeys
    from peaka_async.endpoints.cache import Caches
    from peaka_async.endpoints.catalogs import Catalogs
    from peaka_async.endpoints.connections import Connections
    from peaka_async.endpoints.deprecated_projects import DeprecatedProjects
    from peaka_async.endpoints.embedded import Embedded
    from peaka_async.endpoints.exports import Exports
    from peaka_async.endpoints.internal_tables import InternalTables
    from peaka_async.endpoints.materialized_queries import MaterializedQueries
    from peaka_async.endpoints.metadata import Metadata
    from peaka_async.endpoints.organizations import Organizations
    from peaka_async.endpoints.parametric_tables import ParametricTables
    from peaka_async.endpoints.projects import Projects
    from peaka_async.endpoints.queries import Queries
    from peaka_async.endpoints.query_folders import QueryFolders
    from peaka_async.endpoints.semantic_catalogs import SemanticCatalogs
    from peaka_async.endpoints.sql import Sql
    from peaka_async.endpoints.supported_drivers import SupportedDrivers
    from peaka_async.endpoints.workspaces import Workspaces


class Groups:
    """One attribute per group. The module of the same name is imported when the attribute is first used."""

    agent: Agent
    """The chats of a project with the AI agent."""

    api_keys: ApiKeys
    """The Project keys of a project."""

    cache: Caches
    """The caches of a project."""

    catalogs: Catalogs
    """The catalogs of a project, and search in them."""

    connections: Connections
    """The connections of a project: authenticated links to customers' data sources."""

    deprecated_projects: DeprecatedProjects
    """The projects of the default workspace; use `projects` instead."""

    embedded: Embedded
    """The sessions of the embedded interface."""

    exports: Exports
    """The exports of a project: results of queries and tables as files."""

    internal_tables: InternalTables
    """The internal tables of a project."""

    materialized_queries: MaterializedQueries
    """The refreshes of materialized queries."""

    metadata: Metadata
    """The metadata of a project."""

    organizations: Organizations
    """The organizations that the key can access."""

    parametric_tables: ParametricTables
    """The parametric tables of a catalog."""

    projects: Projects
    """The projects of a workspace."""

    queries: Queries
    """The saved queries of a project, and the execution of queries."""

    query_folders: QueryFolders
    """The query folders of a project."""

    semantic_catalogs: SemanticCatalogs
    """The semantic catalogs of a project."""

    sql: Sql
    """Translation of SQL into other dialects."""

    supported_drivers: SupportedDrivers
    """Connection strings for other tools. They hold the API key."""

    workspaces: Workspaces
    """The workspaces of an organization."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    if not TYPE_CHECKING:  # type checkers use the annotations above

        def __getattr__(self, name: str) -> Group:
            kind = GROUPS.get(name)
            if kind is None:
                msg = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(msg)
            group = getattr(importlib.import_module(f"peaka_async.endpoints.{name}"), kind)(self._sender)
            setattr(self, name, group)
            return group

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *GROUPS})


GROUPS: dict[str, str] = {name: str(kind) for name, kind in Groups.__annotations__.items()}
"""The groups: attribute name → class name."""
