"""API keys: the Project keys of a project."""

from __future__ import annotations

from datetime import datetime

import attrs

from peaka_async.models._model import Model

__all__ = ["ApiKey", "ApiKeyRequest"]


@attrs.frozen
class ApiKeyRequest(Model):
    """A key to create. Without `expires_at` it never expires."""

    name: str | None = None
    expires_at: datetime | None = None


@attrs.frozen
class ApiKey(Model):
    """A Project key.

    `api_key` is the secret. Only the answer to `create` holds it, and the repr leaves it out.
    """

    name: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    api_key_id: str | None = None
    expires_at: datetime | str | None = None
