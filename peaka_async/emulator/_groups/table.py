"""The routing table: the operations of all groups."""

from __future__ import annotations

from peaka_async.emulator._files import Files
from peaka_async.emulator._groups.agent import Agent
from peaka_async.emulator._groups.api_keys import ApiKeys
from peaka_async.emulator._groups.cache import Caches
from peaka_async.emulator._groups.catalogs import Catalogs
from peaka_async.emulator._groups.connections import Connections
from peaka_async.emulator._groups.deprecated_projects import DeprecatedProjects
from peaka_async.emulator._groups.embedded import Embedded
from peaka_async.emulator._groups.exports import Exports
from peaka_async.emulator._groups.internal_tables import InternalTables
from peaka_async.emulator._groups.materialized_queries import MaterializedQueries
from peaka_async.emulator._groups.metadata import Metadata
from peaka_async.emulator._groups.organizations import Organizations
from peaka_async.emulator._groups.parametric_tables import ParametricTables
from peaka_async.emulator._groups.projects import Projects
from peaka_async.emulator._groups.queries import Queries
from peaka_async.emulator._groups.query_folders import QueryFolders
from peaka_async.emulator._groups.semantic_catalogs import SemanticCatalogs
from peaka_async.emulator._groups.sql import Sql
from peaka_async.emulator._groups.supported_drivers import SupportedDrivers
from peaka_async.emulator._groups.workspaces import Workspaces
from peaka_async.emulator._operation import Call, Operation
from peaka_async.emulator._world import World


def routing_table(world: World, connections: Connections, files: Files) -> dict[str, Operation]:
    """All operations by id, in the order in which their paths are tried."""
    materialized = MaterializedQueries(world)
    groups = (
        Agent(world),
        ApiKeys(world),
        Caches(world),
        Catalogs(world),
        connections,
        DeprecatedProjects(world),
        Embedded(world),
        Exports(world, files),
        InternalTables(world),
        materialized,
        Metadata(world),
        Organizations(world),
        ParametricTables(world),
        Projects(world),
        Queries(world, materialized),
        QueryFolders(world),
        SemanticCatalogs(world),
        Sql(world),
        SupportedDrivers(world),
        Workspaces(world),
    )
    operations = [Operation("info", "GET", "/info", lambda call: _info(world, call))]
    operations += [operation for group in groups for operation in group.operations()]
    return {operation.id: operation for operation in sorted(operations, key=lambda each: each.order)}


def _info(world: World, call: Call) -> object:
    """The user of the key. This operation is not in the published document."""
    shown: dict[str, object] = {"userId": world.state.user_id, "email": world.state.email}
    if call.caller.project is not None:
        shown |= {"projectId": call.caller.project.id, "projectName": call.caller.project.name}
    return shown
