"""Organizations: the top level, above workspaces and projects."""

from __future__ import annotations

from datetime import datetime

import attrs

from peaka_async.models._model import Model

__all__ = ["Organization"]


@attrs.frozen
class Organization(Model):
    """An organization that the key can access.

    `owner` is the id of the user who created it.
    """

    id: str | None = None
    name: str | None = None
    owner: str | None = None
    created_at: datetime | str | None = None
    icon_file_id: str | None = None
    description: str | None = None
