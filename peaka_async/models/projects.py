"""Projects: they hold connections, catalogs, tables and queries."""

from __future__ import annotations

from datetime import datetime

import attrs

from peaka_async.models._model import Model

__all__ = ["Project", "ProjectRequest"]


@attrs.frozen
class ProjectRequest(Model):
    """A project to create, or the changes to a project."""

    name: str
    description: str | None = None


@attrs.frozen
class Project(Model):
    """A project of a workspace.

    `owner` is the id of a user.
    """

    id: str | None = None
    name: str | None = None
    description: str | None = None
    domain: str | None = None
    webhook_base_url: str | None = None
    created_at: datetime | str | None = None
    owner: str | None = None
    workspace_id: str | None = None
