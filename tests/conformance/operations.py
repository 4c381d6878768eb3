"""The operations as the code describes them. Each method is called with placeholder values and a recording sender."""

from __future__ import annotations

import asyncio
import enum
import inspect
import typing
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime

import attrs

from peaka_async import Oauth2Callback
from peaka_async._request import Request
from peaka_async.endpoints._base import Group
from peaka_async.endpoints._groups import GROUPS, Groups
from peaka_async.models import CsvImportRequest, CsvMapping

# Methods that combine operations.
FLOWS = {
    "cache.change_schedules",
    "cache.list_statuses_in_schema",
    "cache.run_create",
    "cache.wait_for_sync",
    "catalogs.read_is_capped",
    "internal_tables.change_bi_column",
    "internal_tables.change_column",
    "cache.list_executions_pages",
    "cache.run_full_refresh",
    "cache.run_incremental_update",
    "cache.wait_for_run",
    "catalogs.search_pages",
    "exports.download",
    "exports.list_pages",
    "exports.run_query",
    "exports.run_table",
    "exports.wait",
    "materialized_queries.run_refresh",
    "materialized_queries.wait_for_refresh",
    "metadata.run_refresh",
    "metadata.wait_for_refresh",
}


class Recorded(Exception):  # noqa: N818 - it is not an error
    """Carries a request out of the method that made it."""

    def __init__(self, request: Request[object]) -> None:
        super().__init__(request.operation)
        self.request = request


class Recorder:
    """Raises every request, to carry it out of the method that made it."""

    async def send(self, request):
        raise Recorded(request)

    stream = send


def groups() -> dict[str, Group]:
    """The groups, with a sender that records requests."""
    names = Groups(Recorder())
    return {name: getattr(names, name) for name in GROUPS}


@attrs.frozen
class Described:
    """An operation: its group and method, and the request that the method makes."""

    name: str
    method: object
    arguments: Mapping[str, object]
    request: Request[object]
    hints: Mapping[str, object]


def described() -> list[Described]:
    """All operations, in the order of the code."""
    found = []
    for group_name, group in groups().items():
        for name, method in inspect.getmembers(group, inspect.ismethod):
            full = f"{group_name}.{name}"
            if name.startswith("_") or full in FLOWS:
                continue
            found.append(_describe(full, method))
    return found


def _describe(name, method):
    hints = typing.get_type_hints(inspect.unwrap(method))
    parameters = inspect.signature(method).parameters
    arguments = {each: stand_in(each, hints[each]) for each in parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return Described(name, method, arguments, asyncio.run(_requested(method, arguments)), hints)


async def _requested(method, arguments):
    try:
        made = method(**arguments)
        if inspect.isawaitable(made):
            await made
        else:
            async for _ in made:
                pass
    except Recorded as recorded:
        return recorded.request
    raise AssertionError(method)


STAND_INS = {
    Oauth2Callback: Oauth2Callback("code=1&state=2"),
    CsvImportRequest: CsvImportRequest([CsvMapping("a", csv_column_name="a")]),
    bool: True,
    datetime: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}


def stand_in(name, hint):
    """A unique value of the parameter's type."""
    if name == "file":
        return b"a,b\n1,2\n"
    (kind, *_) = [each for each in typing.get_args(hint) if each is not type(None)] or [hint]
    if kind in STAND_INS:
        return STAND_INS[kind]
    if kind in {str, int}:
        return kind(sum(name.encode())) if kind is int else f"<{name}>"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    return [made(kind)] if typing.get_origin(hint) is list else made(kind)


def made(kind):
    """A model with its required fields only."""
    hints = typing.get_type_hints(kind)
    needed = [field for field in attrs.fields(kind) if field.default is attrs.NOTHING]
    return kind(**{field.alias: [] if "list" in str(hints[field.name]) else f"<{field.name}>" for field in needed})
