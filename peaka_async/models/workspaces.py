"""Workspaces: groups of projects in an organization."""

from __future__ import annotations

from datetime import datetime

import attrs

from peaka_async.models._model import Model

__all__ = ["Workspace", "WorkspaceRequest"]


@attrs.frozen
class WorkspaceRequest(Model):
    """A workspace to create, or the changes to a workspace."""

    name: str | None = None
    description: str | None = None


@attrs.frozen
class Workspace(Model):
    """A workspace of an organization.

    `created_by` is the id of a user. `created_at` is missing in the answers to `create`, `get` and `update`. Projects
    that are created without a workspace go to the default workspace.
    """

    id: str | None = None
    name: str | None = None
    created_by: str | None = None
    organization_id: str | None = None
    description: str | None = None
    created_at: datetime | str | None = None
    default_workspace: bool | None = None
