"""Embedded Peaka: sessions of Peaka's user interface in an iframe."""

from __future__ import annotations

import enum

import attrs

from peaka_async.models._model import Model

__all__ = ["EmbeddedSession", "InitSessionRequest", "SessionMode"]


class SessionMode(enum.StrEnum):
    """The part of Peaka's interface that a session shows."""

    CONNECTOR_MODAL_ONLY = "CONNECTOR_MODAL_ONLY"
    FULL_STUDIO = "FULL_STUDIO"


@attrs.frozen(kw_only=True)
class InitSessionRequest(Model):
    """A session to start.

    In the mode CONNECTOR_MODAL_ONLY, `connector_type` preselects a connector, and `auto_create_catalog` makes a catalog
    from the new connection. In the mode FULL_STUDIO, `feature_flags` show and hide parts of the interface.
    `timeout_in_seconds` is the lifetime of the session.
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
class EmbeddedSession(Model):
    """A session. `session_url` works once, for anyone who opens it, so the repr leaves it out."""

    session_url: str | None = attrs.field(default=None, repr=False)
    partner_origin: str | None = None
