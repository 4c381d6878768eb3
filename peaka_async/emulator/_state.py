"""The state of the emulator, as data that can be written to a file and read back."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import final

import attrs

from peaka_async._codec import Mismatch, decode, encode
from peaka_async.emulator._provider import Grant
from peaka_async.errors import ConfigurationError

INTERNAL_CATALOG = "1"
"""The id of the catalog of internal tables, in each project."""

QUERY_CATALOG = "2"
"""The id of the catalog whose tables are saved queries, in each project."""

_FIRST_ID = 709_922_802_836_177_297
_ID_STEP = 1_048_583


@final
@attrs.frozen
class StoredConnection:
    """A connection, with the properties of its request.

    It is active if it can read data: at once with a full credential, or after the callback of an OAuth2 flow. Until
    then `url` is the consent page.
    """

    id: str
    project_id: str
    name: str
    type: str
    credential: dict[str, object] = attrs.field(repr=False)
    active: bool = True
    url: str | None = attrs.field(default=None, repr=False)
    grant: Grant | None = attrs.field(default=None, repr=False)

    def to_json(self) -> dict[str, object]:
        shown: dict[str, object] = {"id": self.id, "name": self.name, "type": self.type}
        return shown if self.url is None else {**shown, "url": self.url}


@final
@attrs.frozen
class Flow:
    """A flow that waits for consent; it is found by its state."""

    connection_id: str
    project_id: str
    client_id: str
    client_secret: str = attrs.field(repr=False)
    redirect_uri: str
    callback: str | None
    expires_at: datetime


@attrs.define(kw_only=True)
class Column:
    """A column of a table.

    `type` is Trino's name. `made` is a DuckDB expression over the row's number `i`, for tables with generated rows. A
    hidden column is not listed, and is not part of `*`.
    """

    name: str
    type: str = "varchar"
    made: str | None = None
    hidden: bool = False
    system: bool = False
    id: str | None = None
    display_name: str | None = None
    default_value: str | None = None
    is_not_null: bool = False
    is_unique: bool = False


@attrs.define(kw_only=True)
class Table:
    """A table with its rows: those in `rows`, as texts or None, or `count` rows that its columns generate.

    `most` is the largest number of rows so far: a cache keeps rows that its source has lost.
    """

    name: str
    columns: list[Column] = attrs.field(factory=list)
    rows: list[list[object]] | None = None
    count: int = 0
    most: int = 0
    cache_types: list[str] = attrs.field(factory=list)
    parametric: bool = False
    statistics: bool = False
    version: int = 0

    @property
    def visible(self) -> list[Column]:
        return [column for column in self.columns if not column.hidden]


@attrs.define(kw_only=True)
class ParametricTable:
    """A table that is made from another table, with values for its parameters."""

    from_schema: str
    from_table: str
    to_schema: str
    to_table: str
    param_values: list[dict[str, object]] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class Catalog:
    """A catalog. If it is `capped`, reads of its tables stop at 100 rows unless the table is cached."""

    id: str
    name: str
    display_name: str
    type: str
    connection_id: str | None = None
    capped: bool = False
    schemas: dict[str, dict[str, Table]] = attrs.field(factory=dict)
    parametric: list[ParametricTable] = attrs.field(factory=list)
    semantic: dict[str, dict[str, str]] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class SavedQuery:
    """A saved query. `schedule` is unchanged from the request."""

    id: str
    display_name: str
    name: str
    sql: str
    type: str = "PLAIN"
    schedule: dict[str, object] | None = None
    folder_id: str | None = None
    status: str = "COMPLETED"
    started_at: datetime | None = None
    updated_at: datetime | None = None
    next_at: datetime | None = None
    run: int = 0
    running: bool = False
    schedule_number: int = 0
    snapshot: Table | None = None


@attrs.define(kw_only=True)
class Folder:
    """A folder of queries. Its path follows from its parents."""

    id: str
    name: str
    parent_id: str | None
    created_at: datetime


@attrs.define(kw_only=True)
class Run:
    """A run of a cache. `counted` is the number of rows of the source when the run ended."""

    id: str
    mode: str
    status: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    cached: int = 0
    inserted: int = 0
    error: dict[str, object] | None = None


@attrs.define(kw_only=True)
class StoredCache:
    """A cache. It holds no rows until its first sync has ended."""

    id: str
    catalog_id: str
    schema: str
    table: str
    incremental_schedule: dict[str, object] | None = None
    full_schedule: dict[str, object] | None = None
    schedule_number: int = 0
    rows: int = 0
    filled: bool = False
    deleting: bool = False
    runs: list[Run] = attrs.field(factory=list)
    triggered: dict[str, str] = attrs.field(factory=dict)
    log: list[dict[str, object]] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class ExportJob:
    """An export of a query or of a table."""

    id: str
    created_at: datetime
    request: dict[str, object]
    query_id: str | None = None
    catalog_id: str | None = None
    schema: str | None = None
    table: str | None = None
    source: str = ""
    status: str = "QUEUED"
    row_count: int | None = None
    finished_at: datetime | None = None
    error: str | None = None
    owner: str = ""
    files: list[str] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class GoldenSql:
    """A question with the SQL that answers it."""

    id: str
    prompt: str
    sql: str


@attrs.define(kw_only=True)
class Relation:
    """A relation between two columns, as the API shows it."""

    id: str
    source: list[str]
    target: list[str]
    type: str


@attrs.define(kw_only=True)
class Notes:
    """The metadata of a table for the agent, with its columns by name."""

    description: str | None = None
    use_with_ai: bool = True
    columns: dict[str, dict[str, object]] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class Thread:
    """A chat with its messages."""

    id: str
    display_name: str
    created_at: datetime
    messages: list[dict[str, object]] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class ApiKey:
    """A Project key."""

    id: str
    name: str
    secret: str = attrs.field(repr=False)
    expires_at: datetime | None = None


@attrs.define(kw_only=True)
class ProjectRecord:
    """A project with everything in it."""

    id: str
    name: str
    description: str | None = None
    workspace_id: str = ""
    created_at: datetime | None = None
    keys: dict[str, ApiKey] = attrs.field(factory=dict)
    catalogs: dict[str, Catalog] = attrs.field(factory=dict)
    queries: dict[str, SavedQuery] = attrs.field(factory=dict)
    folders: dict[str, Folder] = attrs.field(factory=dict)
    caches: dict[str, StoredCache] = attrs.field(factory=dict)
    exports: dict[str, ExportJob] = attrs.field(factory=dict)
    golden_sqls: dict[str, GoldenSql] = attrs.field(factory=dict)
    relations: dict[str, Relation] = attrs.field(factory=dict)
    notes: dict[str, Notes] = attrs.field(factory=dict)
    metadata_refreshes: dict[str, str] = attrs.field(factory=dict)
    metadata_callback: dict[str, object] = attrs.field(factory=dict)
    threads: dict[str, Thread] = attrs.field(factory=dict)

    def tables(self) -> Iterator[tuple[Catalog, str, Table]]:
        """All tables with their catalogs and schemas, without those of saved queries."""
        for catalog in self.catalogs.values():
            for schema, tables in catalog.schemas.items():
                for table in tables.values():
                    yield catalog, schema, table


@attrs.define(kw_only=True)
class Workspace:
    """A workspace."""

    id: str
    organization_id: str
    name: str
    description: str | None = None
    created_at: datetime | None = None
    default: bool = False


@attrs.define(kw_only=True)
class Organization:
    """An organization."""

    id: str
    name: str
    description: str | None = None
    created_at: datetime | None = None


@attrs.define(kw_only=True)
class Due:
    """An event at a given time: its `kind`, and the `key` of an object in a project; `number` tells events apart."""

    at: datetime
    kind: str
    project_id: str
    key: str
    number: int = 0


@attrs.define(kw_only=True)
class State:
    """The data of the emulator.

    Its file is JSON, with the attributes' names in camelCase. To make a seed file, start with a file that `save` wrote.
    """

    partner_key: str = attrs.field(default="", repr=False)
    user_id: str = ""
    email: str = ""
    organizations: dict[str, Organization] = attrs.field(factory=dict)
    workspaces: dict[str, Workspace] = attrs.field(factory=dict)
    projects: dict[str, ProjectRecord] = attrs.field(factory=dict)
    connections: dict[str, StoredConnection] = attrs.field(factory=dict)
    seeded: list[str] = attrs.field(factory=list)
    flows: dict[str, Flow] = attrs.field(factory=dict, repr=False)
    due: list[Due] = attrs.field(factory=list)
    ids: int = 0

    def new_id(self) -> str:
        """A new decimal id of 18 digits."""
        self.ids += 1
        return str(_FIRST_ID + self.ids * _ID_STEP)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> State:
        """Read a file of the form that `save` writes.

        Raises:
            ConfigurationError: the file cannot be read, or has another form.
        """
        try:
            return decode(Path(path).read_bytes(), cls)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except Mismatch as mismatch:
            problem = str(mismatch)
        except ValueError:
            problem = "it is not JSON"
        msg = f"The emulator cannot use the file {os.fspath(path)!r} as its initial state: {problem}."
        raise ConfigurationError(msg)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `load` reads. It holds keys and credentials, so only its owner may read it."""
        target = Path(path)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with open(part, "xb", opener=_private) as file:
                file.write(encode(self))
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
