"""The differences between the live service and its published document. Strict mode follows the document."""

from __future__ import annotations

import enum
from typing import final

import attrs


@final
@attrs.frozen
class Difference:
    """A rule of the document, and the behaviour of the service."""

    operations: str
    document: str
    live: str


class Deviation(enum.Enum):
    """A difference that the emulator shows; strict mode does what the document says."""

    BARE_ARRAYS = Difference(
        "`organizations.list`, `workspaces.list`, `api_keys.list`, `connections.list`, `connections.list_configs`, "
        "`internal_tables.add_column`, `internal_tables.add_bi_column`",
        "one object",
        "an array",
    )
    NULLS = Difference("all", "no field is null unless the document says so", "fields without a value are null")
    OBJECTS_OF_ANYTHING = Difference(
        "`metadata.*`, `agent.*`, `cache.full_refresh`, `cache.incremental_update`",
        "an object whose members are objects",
        "texts, numbers and lists among the members",
    )
    PLAIN_VALUES = Difference("`parametric_tables.*`", "`value` of a parameter is an object", "a text or a number")
    DRIVERS_AS_OBJECT = Difference("`supported_drivers.*`", "a JSON string", "an object; JDBC's has a trailing comma")
    DELETED_THING = Difference(
        "`queries.*`, `connections.*` with an id that does not exist", "404", "400 with a message, `errorCode` cn004"
    )
    UNKNOWN_CACHE = Difference(
        "`cache.full_refresh`, `cache.incremental_update` of an unknown cache",
        "404",
        "400 WrongRequestException `Cache settings not found`",
    )
    CACHE_AGAIN_WHILE_SYNCING = Difference(
        "`cache.create` again while the first sync runs, or while the cache is deleted", "409", "500, harmless"
    )
    CACHE_AGAIN = Difference("`cache.create` again after the first sync", "409", "200 with the existing cache")
    CANCEL_AT_ONCE = Difference(
        "`cache.cancel_full_refresh` within 300 ms of the trigger", "200", "500: the record is not there yet"
    )
    STATUS_BY_SCHEMA = Difference("`cache.list_statuses_by_schema`", "200 with the statuses", "500, always")
    MALFORMED_SCHEDULE = Difference("`cache.update_settings` with a malformed schedule", "400", "200, ignored")
    STATISTICS = Difference(
        "`catalogs.get_table_statistics` of another catalog than PostgreSQL", "200", "400 `is not being supported yet`"
    )
    DUPLICATE_CATALOG = Difference(
        "`catalogs.create` with a name that is taken", "400 with a JSON string", "400 `{errorCode: 100}`"
    )
    REFRESH_STATUS = Difference(
        "`metadata.get_refresh_status`", "`NOT_ACTIVE`, upper case", "`not-active`, lower case with a dash"
    )
    QUEUED_EXPORT = Difference("`exports.*` before the work begins", "PENDING", "QUEUED")
    CANCELED_REFRESH = Difference(
        "`materialized_queries.*` after a cancellation", "a state without a list of values", "CANCELED, with one L"
    )
    TRANSPILE = Difference(
        "`sql.transpile`", "from Trino into the dialect, as `result`", "from the dialect into Trino, as `query`"
    )
    COLUMN_FLAGS = Difference(
        "`internal_tables.add_column` with `isUnique` or `isNotNull` true", "kept", "accepted and stored false"
    )
    UPDATED_COLUMN = Difference(
        "`internal_tables.update_column`, `internal_tables.update_bi_column`", "a list", "one object"
    )
    BATCH_ERROR = Difference("`cache.create_batch`", "`error` is a string", "`error` is an object")
    SYSTEM_COLUMNS = Difference(
        "`exports.start_table` of an internal table",
        "system columns only if `includeSystemColumns` is true",
        "system columns always",
    )
    SEMANTIC_CATALOG_TYPE = Difference("`semantic_catalogs.create`", "`catalogType`", "`type` beside it")
