"""Embedded Peaka: sessions of its user interface in an iframe."""

from __future__ import annotations

import enum

import attrs

__all__ = ["EmbeddedSession", "InitSessionRequest", "SessionMode"]


class SessionMode(enum.StrEnum):
    """What the embedded interface shows."""

    CONNECTOR_MODAL_ONLY = "CONNECTOR_MODAL_ONLY"
    FULL_STUDIO = "FULL_STUDIO"


@attrs.frozen(kw_only=True)
class InitSessionRequest:
    """A session to begin.

    `connector_type` preselects a connector, and `auto_create_catalog` makes a catalog of the new connection, both in
    the mode CONNECTOR_MODAL_ONLY; `feature_flags` show and hide parts of the interface in the mode FULL_STUDIO.
    `timeout_in_seconds` is how long the session lives.
    """

    project_id: str | None = None
    theme: str | None = None
    session_mode: SessionMode | str | None = None
    theme_override: bool | None = None
    timeout_in_seconds: int | None = None
    feature_flags: dict[str, object] | None = None
    connector_type: str | None = None
    auto_create_catalog: bool | None = None


@attrs.frozen
class EmbeddedSession:
    """A session. `session_url` works once and lets in whoever opens it, so it is kept out of the repr."""

    session_url: str | None = attrs.field(default=None, repr=False)
    partner_origin: str | None = None
