"""Workspaces: an organization's groups of projects."""

from __future__ import annotations

from datetime import datetime

import attrs

__all__ = ["Workspace", "WorkspaceRequest"]


@attrs.frozen
class WorkspaceRequest:
    """A workspace to create, or what to change of one."""

    name: str | None = None
    description: str | None = None


@attrs.frozen
class Workspace:
    """A workspace of an organization.

    `created_by` is a user's id. `created_at` is absent from the answers to create, get and update. The default
    workspace takes the projects that are created without naming one.
    """

    id: str | None = None
    name: str | None = None
    created_by: str | None = None
    organization_id: str | None = None
    description: str | None = None
    created_at: datetime | None = None
    default_workspace: bool | None = None
