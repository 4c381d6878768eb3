"""The initial state of the emulator: one organization, workspace and project, with five data sources."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import final

import attrs

from peaka_async.emulator._state import (
    INTERNAL_CATALOG,
    QUERY_CATALOG,
    ApiKey,
    Catalog,
    Column,
    Organization,
    ProjectRecord,
    State,
    StoredConnection,
    Table,
    Workspace,
)

FIRST_PROJECT_ID = "mtKDhe1U"

_NAMESPACE = uuid.UUID("6243f42a-42d0-4821-a90f-763cda6cda50")
_BORN = datetime(2025, 3, 25, 12, 28, 48, 737355, tzinfo=UTC)
_BOTH = ("FULL_REFRESH", "INCREMENTAL")
_CREATED = "TIMESTAMP '2024-01-01 08:00:00' + to_minutes(CAST(i AS BIGINT) * 47)"
_ONE_SMALL_TABLE_OF = 40

_ADS_RESOURCES = (
    *("account_budget", "ad_group", "ad_group_ad", "asset", "asset_group", "audience", "bidding_strategy", "call"),
    *("campaign", "campaign_budget", "campaign_draft", "change_event", "click", "conversion_action", "customer"),
    *("customer_client", "display_keyword", "experiment", "gender", "geographic", "keyword", "label", "user_list"),
)
_ADS_VIEWS = ("", "_asset", "_criterion", "_label", "_view")


def seed(*, api_key: str | None = None, project_key: str | None = None, project_id: str | None = None) -> State:
    """Make the initial state of an emulator.

    Args:
        api_key: the Partner key. Defaults to a new one.
        project_key: the project's key. Defaults to a new one.
        project_id: the project's id. Defaults to `mtKDhe1U`.
    """
    state = State(
        partner_key=api_key or f"pk-partner-{secrets.token_hex(16)}",
        user_id=stable_uuid("user"),
        email="partner@example.com",
    )
    organization = Organization(
        id=stable_uuid("organization"), name="Emulated organization", description="Made by the emulator"
    )
    organization.created_at = _BORN
    workspace = Workspace(
        id=stable_uuid("workspace"),
        organization_id=organization.id,
        name="Default Workspace",
        description="Default Workspace",
        created_at=_BORN,
        default=True,
    )
    state.organizations[organization.id] = organization
    state.workspaces[workspace.id] = workspace
    project = new_project(state, "Emulated project", workspace.id, project_id=project_id or FIRST_PROJECT_ID)
    add_key(project, "Emulated project", secret=project_key)
    project.created_at = _BORN
    for type_, name, credential in _CONNECTIONS:
        connection = StoredConnection(stable_uuid(name), project.id, name, type_, dict(credential))
        state.connections[connection.id] = connection
        state.seeded.append(connection.id)
        catalog = catalog_of(state, connection, name)
        project.catalogs[catalog.id] = catalog
    return state


def with_keys(
    state: State, *, api_key: str | None = None, project_key: str | None = None, project_id: str | None = None
) -> State:
    """Add the given keys, and a project with the given id, to a state that was read from a file."""
    state.partner_key = api_key or state.partner_key or f"pk-partner-{secrets.token_hex(16)}"
    workspace = next(iter(state.workspaces), "")
    if project_id is not None and project_id not in state.projects:
        others = dict(state.projects)
        state.projects.clear()
        new_project(state, "Emulated project", workspace, project_id=project_id)
        state.projects.update(others)
    if not state.projects:
        new_project(state, "Emulated project", workspace, project_id=FIRST_PROJECT_ID)
    project = state.projects[project_id] if project_id is not None else next(iter(state.projects.values()))
    if project_key is not None and all(key.secret != project_key for key in project.keys.values()):
        keys = dict(project.keys)
        project.keys.clear()
        add_key(project, project.name, secret=project_key)
        project.keys.update(keys)
    if not project.keys:
        add_key(project, project.name)
    return state


def stable_uuid(name: str) -> str:
    """The same UUID for the same name."""
    return str(uuid.uuid5(_NAMESPACE, name))


def new_project(state: State, name: str, workspace_id: str, *, project_id: str | None = None) -> ProjectRecord:
    """Add a project to the state, with its two built-in catalogs and no key."""
    project = ProjectRecord(id=project_id or secrets.token_hex(4), name=name, workspace_id=workspace_id)
    project.catalogs[INTERNAL_CATALOG] = Catalog(
        id=INTERNAL_CATALOG,
        name="peaka",
        display_name="Peaka",
        type="internal",
        schemas={"table": {}, "bitable": {"events": _events()}},
    )
    project.catalogs[QUERY_CATALOG] = Catalog(
        id=QUERY_CATALOG, name="peaka", display_name="Peaka Query", type="query", schemas={"query": {}, "mtquery": {}}
    )
    state.projects[project.id] = project
    return project


def add_key(
    project: ProjectRecord, name: str, *, secret: str | None = None, expires_at: datetime | None = None
) -> ApiKey:
    """Add a key to a project."""
    key = ApiKey(
        id=str(uuid.uuid4()),
        name=name,
        secret=secret or f"pk-project-{secrets.token_hex(16)}",
        expires_at=expires_at,
    )
    project.keys[key.id] = key
    return key


def catalog_of(state: State, connection: StoredConnection, display_name: str) -> Catalog:
    """A catalog on a connection, with the tables of such a source."""
    source = _SOURCES.get(connection.type, _OTHER)
    return Catalog(
        id=state.new_id(),
        name="".join(each if each.isalnum() else "_" for each in display_name.lower()),
        display_name=display_name,
        type=source.catalog_type or connection.type.lower(),
        connection_id=connection.id,
        capped=source.capped,
        schemas={source.schema: {table.name: table for table in source.tables()}},
    )


def system_columns(*, bi: bool) -> list[Column]:
    """The columns that every internal table has."""
    names = {
        "_id": "varchar",
        "_created_at": "timestamp(3)",
        "_created_by": "varchar",
        "_updated_at": "timestamp(3)",
        "_updated_by": "varchar",
        "_version": "bigint",
        "_order": "bigint",
        "text": "varchar",
    }
    if bi:
        names = {"_operation": "varchar", **names}
    return [Column(name=name, type=type_, system=True, id=stable_uuid(name)) for name, type_ in names.items()]


def _table(name: str, count: int, /, *, cacheable: bool = True, **columns: tuple[str, str]) -> Table:
    """A table with generated rows: each column has a type and an expression over the row's number."""
    return Table(
        name=name,
        count=count,
        columns=[Column(name=each, type=type_, made=made) for each, (type_, made) in columns.items()],
        cache_types=list(_BOTH) if cacheable else [],
    )


def _id(prefix: str, number: str = "i + 1") -> tuple[str, str]:
    return "varchar", f"format('{prefix}_{{:014d}}', CAST({number} AS BIGINT))"


def _stripe() -> list[Table]:
    created = ("timestamp(6)", _CREATED)
    amount = "bigint", "500 + (i * 7919) % 90000"
    return [
        _table(
            "customers",
            505,
            id=_id("cus"),
            name=("varchar", "format('Customer {:d}', CAST(i + 1 AS BIGINT))"),
            email=("varchar", "format('customer{:d}@example.com', CAST(i + 1 AS BIGINT))"),
            balance=("bigint", "(i * 31) % 1000"),
            currency=("varchar", "CASE WHEN i % 4 = 0 THEN 'eur' ELSE 'usd' END"),
            delinquent=("boolean", "i % 9 = 0"),
            created=created,
        ),
        _table(
            "charges",
            652,
            id=_id("ch"),
            customer=_id("cus", "i % 505 + 1"),
            amount=amount,
            currency=("varchar", "'usd'"),
            status=("varchar", "CASE WHEN i % 50 = 49 THEN 'failed' ELSE 'succeeded' END"),
            refunded=("boolean", "i % 7 = 0 AND i < 595"),
            created=created,
        ),
        _table(
            "subscriptions",
            222,
            id=_id("sub"),
            customer=_id("cus"),
            status=("varchar", "CASE WHEN i % 3 = 0 THEN 'canceled' ELSE 'active' END"),
            created=created,
        ),
        _table(
            "invoices",
            338,
            id=_id("in"),
            customer=_id("cus"),
            amount_due=amount,
            paid=("boolean", "i % 5 <> 0"),
            created=created,
        ),
        _table(
            "refunds",
            85,
            id=_id("re"),
            charge=_id("ch", "i * 7 + 1"),
            amount=("bigint", "500 + (i * 7 * 7919) % 90000"),
            created=created,
        ),
        _table("transfers", 0, id=_id("tr"), amount=amount, created=created),
    ]


def _hubspot() -> list[Table]:
    return [
        _table(
            "contacts",
            250,
            id=("varchar", "CAST(1000 + i AS VARCHAR)"),
            email=("varchar", "format('customer{:d}@example.com', CAST(i + 1 AS BIGINT))"),
            company_id=("varchar", "CAST(5000 + i % 120 AS VARCHAR)"),
        ),
        _table(
            "companies",
            120,
            id=("varchar", "CAST(5000 + i AS VARCHAR)"),
            name=("varchar", "format('Company {:d}', CAST(i + 1 AS BIGINT))"),
        ),
        _table(
            "deals",
            180,
            id=("varchar", "CAST(9000 + i AS VARCHAR)"),
            company_id=("varchar", "CAST(5000 + i % 120 AS VARCHAR)"),
            amount=("decimal(12,2)", "CAST(i * 12.5 AS DECIMAL(12,2))"),
            stage=("varchar", "CASE WHEN i % 2 = 0 THEN 'open' ELSE 'won' END"),
        ),
    ]


def _postgres() -> list[Table]:
    orders = _table(
        "orders",
        25_000,
        cacheable=False,
        id=("bigint", "i + 1"),
        customer_email=("varchar", "format('customer{:d}@example.com', CAST(i % 505 + 1 AS BIGINT))"),
        weight=("double", "(i + 1) * 501.89631440"),
        total=("decimal(20,10)", "CAST((i + 1) * 12.5 AS DECIMAL(20,10))"),
        ordered_on=("date", "DATE '2024-01-15' + CAST(i % 365 AS INTEGER)"),
        shipped_at=("timestamp(6)", "CASE WHEN i % 10 = 9 THEN NULL ELSE " + _CREATED + " END"),
        paid=("boolean", "i % 3 <> 0"),
        note=("varchar", "CASE WHEN i % 2 = 0 THEN 'gift' END"),
        reference=("uuid", "CAST(md5(CAST(i AS VARCHAR)) AS UUID)"),
    )
    small = [
        _table(
            f"small_{number:02d}",
            3,
            cacheable=False,
            id=("bigint", "i + 1"),
            name=("varchar", f"format('row {{:d}} of {number}', CAST(i + 1 AS BIGINT))"),
        )
        for number in range(1, _ONE_SMALL_TABLE_OF + 1)
    ]
    tables = [orders, *small]
    for table in tables:
        table.statistics = True
    return tables


def _mongo() -> list[Table]:
    products = _table(
        "products",
        60,
        cacheable=False,
        _id=("objectid", "unhex(format('64b7f01c{:016x}', CAST(i + 1 AS BIGINT)))"),
        name=("varchar", "format('Product {:d}', CAST(i + 1 AS BIGINT))"),
        category=("varchar", "CASE i % 3 WHEN 0 THEN 'books' WHEN 1 THEN 'games' ELSE 'tools' END"),
        price=("double", "CAST((i + 1) * 1.25 AS DOUBLE)"),
    )
    products.columns[0].hidden = True
    return [products]


def _google_ads() -> list[Table]:
    tables = [
        _table(
            resource + view,
            150,
            id=("bigint", "i + 1"),
            name=("varchar", f"format('{resource} {{:d}}', CAST(i + 1 AS BIGINT))"),
            status=("varchar", "CASE WHEN i % 2 = 0 THEN 'ENABLED' ELSE 'PAUSED' END"),
            _q_start_date=("date", "CAST(NULL AS DATE)"),
            _q_end_date=("date", "CAST(NULL AS DATE)"),
        )
        for resource in _ADS_RESOURCES
        for view in _ADS_VIEWS
    ]
    for table in tables:
        table.parametric = True
    return tables


def _records() -> list[Table]:
    return [
        _table(
            "records",
            10,
            id=("varchar", "CAST(i + 1 AS VARCHAR)"),
            name=("varchar", "format('Record {:d}', CAST(i + 1 AS BIGINT))"),
        )
    ]


def _events() -> Table:
    """The BI Table with rows; the API has no way to write rows to a BI Table."""
    return Table(
        name="events",
        columns=[*system_columns(bi=True), Column(name="kind"), Column(name="amount", type="bigint")],
        rows=[
            ["INSERT", f"evt-{number}", None, None, None, None, "1", str(number), None, kind, str(number * 10)]
            for number, kind in enumerate(("visit", "visit", "signup", "visit", "purchase"), start=1)
        ],
    )


@final
@attrs.frozen
class _Source:
    """The data source of a connector: the type of its catalogs, their schema and tables."""

    catalog_type: str | None
    schema: str
    tables: Callable[[], list[Table]]
    capped: bool = False


_OTHER = _Source(None, "public", _records, capped=True)
_SOURCES = {
    "stripe": _Source("stripe", "payment", _stripe, capped=True),
    "hubspot": _Source("hubspot", "crm", _hubspot, capped=True),
    "hubspot_access_token": _Source("hubspot", "crm", _hubspot, capped=True),
    "google_ads": _Source("google_ads", "public", _google_ads, capped=True),
    "POSTGRES": _Source("peaka_postgres", "public", _postgres),
    "MONGODB": _Source("peaka_mongodb", "e_commerce", _mongo),
}
_SERVER = {"url": "db.example.com", "port": "5432", "user": "reader", "password": "made-up", "databaseName": "shop"}
_CONNECTIONS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("stripe", "stripe", {"token": "made-up"}),
    ("hubspot", "hubspot", {"accessToken": "made-up"}),
    ("POSTGRES", "postgres", {**_SERVER}),
    ("MONGODB", "mongo", {**_SERVER, "port": "27017"}),
    ("google_ads", "google_ads", {"accessToken": "made-up"}),
)
