"""Semantic catalogs: catalogs whose tables are saved queries."""

from __future__ import annotations

import attrs

from peaka_async.models._model import Model

__all__ = ["CatalogShareRequest", "SemanticCatalogRequest", "SemanticTable", "SemanticTableRequest"]


@attrs.frozen
class SemanticCatalogRequest(Model):
    """A semantic catalog to create."""

    name: str | None = None


@attrs.frozen(kw_only=True)
class SemanticTableRequest(Model):
    """A table to create from the saved query with the id `query_id`."""

    schema_name: str | None = None
    table_name: str | None = None
    query_id: str | None = None


@attrs.frozen
class SemanticTable(Model):
    """A table of a semantic catalog."""

    catalog_id: str | None = None
    catalog_name: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    table_id: str | None = None


@attrs.frozen
class CatalogShareRequest(Model):
    """The id of the project that gets read access to a semantic catalog."""

    target: str | None = None
