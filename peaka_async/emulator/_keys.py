"""Projects, and the keys that reach them."""

from __future__ import annotations

import secrets
from typing import final

import attrs

_FIRST_PROJECT_ID = "mtKDhe1U"


@final
@attrs.frozen
class Project:
    """A project; its key reaches this project only."""

    id: str
    name: str
    key: str = attrs.field(repr=False)


@final
@attrs.frozen
class Caller:
    """Who calls: a Partner, or one project."""

    project: Project | None

    def may_reach(self, project_id: str) -> bool:
        return self.project is None or self.project.id == project_id


class Keys:
    """The Partner key, and the projects with theirs."""

    def __init__(self) -> None:
        self.partner = f"pk-partner-{secrets.token_hex(16)}"
        self.projects: dict[str, Project] = {}
        self.first = self.add_project("Emulated project", _FIRST_PROJECT_ID)

    def add_project(self, name: str, project_id: str | None = None) -> Project:
        project = Project(project_id or secrets.token_hex(4), name, f"pk-project-{secrets.token_hex(16)}")
        self.projects[project.id] = project
        return project

    def caller(self, authorization: str) -> Caller | None:
        """Whose key an Authorization header holds; None where it is nobody's."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        if key == self.partner:
            return Caller(None)
        return next((Caller(project) for project in self.projects.values() if project.key == key), None)
