"""A flow that was begun, what became of it, and both as text for a store."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Self, cast, final

import attrs

from peaka_async import errors
from peaka_async.errors import (
    APIError,
    AuthorizationDenied,
    PeakaError,
    WorkFailedError,
)
from peaka_async.models.connections import Connection
from peaka_async.oauth2._refusals import unknown

_NOTHING: Mapping[str, str] = MappingProxyType({})

# Beside the message: what an error is made of, for those that are given to a second delivery too.
_FIELDS: dict[type[PeakaError], tuple[str, ...]] = {
    AuthorizationDenied: ("error", "description", "uri"),
    WorkFailedError: ("state",),
    APIError: ("status", "error", "error_code"),
}


@final
@attrs.frozen(kw_only=True)
class PendingFlow:
    """A flow that was begun.

    `consent_url` is where the browser goes, and `state` what it comes back with, where the consent URL shows one; only
    `start` gives these two, they are not kept. `id` names the flow and opens nothing: it may be logged.
    """

    id: str
    connection_id: str
    project_id: str
    connector: str
    name: str
    expires_at: datetime
    remember: Mapping[str, str] = attrs.field(default=_NOTHING, repr=False)
    return_to: str | None = None
    consent_url: str | None = attrs.field(default=None, repr=False)
    state: str | None = attrs.field(default=None, repr=False)


@final
@attrs.frozen
class Outcome:
    """What became of a flow: a connection, an error, or nobody knows."""

    connection: Connection | None = None
    error: Mapping[str, str | int | None] | None = None

    @classmethod
    def failed(cls, error: PeakaError) -> Self:
        fields = next((fields for kind, fields in _FIELDS.items() if isinstance(error, kind)), ())
        return cls(
            error={
                "type": type(error).__name__,
                "message": str(error.args[0]),
                "operation": error.operation,
                **{name: getattr(error, name) for name in fields},
            }
        )

    @property
    def known(self) -> bool:
        return self.connection is not None or self.error is not None

    def get(self) -> Connection:
        """The connection.

        Raises:
            OutcomeUnknownError: nobody knows.
            PeakaError: the error that the flow ended in.
        """
        if self.connection is not None:
            return self.connection
        if self.error is None:
            raise unknown()
        values = dict(self.error)
        kind = getattr(errors, str(values.pop("type")))
        raise cast("PeakaError", kind(values.pop("message"), **values))


@final
@attrs.frozen(kw_only=True)
class Record:
    """What a store keeps of a flow. It holds no secret: neither state nor consent URL, code or credential."""

    flow: PendingFlow
    user: str
    """A digest of the user_ref."""

    by_peaka: bool
    """Whether Peaka takes the provider's redirect, and so the code."""

    forwards: bool = False
    """Whether the provider's redirect comes here first, and is forwarded to Peaka."""

    forwarded: bool = False
    """Whether the browser of its user was sent on to Peaka's callback with the code."""

    claimed_at: datetime | None = None
    query: str | None = None
    """A digest of the return that claimed the flow."""

    outcome: Outcome | None = None

    @property
    def came_back(self) -> bool:
        """Whether its user delivered a return."""
        return self.forwarded or self.claimed_at is not None

    def is_of(self, user_ref: str) -> bool:
        return hmac.compare_digest(self.user, user_digest(self.flow.id, user_ref))

    def dumps(self) -> bytes:
        flow, outcome = self.flow, self.outcome
        return json.dumps(
            {
                "flow": {
                    "id": flow.id,
                    "connection_id": flow.connection_id,
                    "project_id": flow.project_id,
                    "connector": flow.connector,
                    "name": flow.name,
                    "expires_at": flow.expires_at.isoformat(),
                    "remember": dict(flow.remember),
                    "return_to": flow.return_to,
                },
                "user": self.user,
                "by_peaka": self.by_peaka,
                "forwards": self.forwards,
                "forwarded": self.forwarded,
                "claimed_at": None if self.claimed_at is None else self.claimed_at.isoformat(),
                "query": self.query,
                "outcome": None if outcome is None else attrs.asdict(outcome),
            }
        ).encode()

    @classmethod
    def loads(cls, text: bytes) -> Self:
        values = json.loads(text)
        flow, claimed_at, outcome = values["flow"], values["claimed_at"], values["outcome"]
        return cls(
            flow=PendingFlow(**{**flow, "expires_at": datetime.fromisoformat(flow["expires_at"])}),
            user=values["user"],
            by_peaka=values["by_peaka"],
            forwards=values["forwards"],
            forwarded=values["forwarded"],
            claimed_at=None if claimed_at is None else datetime.fromisoformat(claimed_at),
            query=values["query"],
            outcome=None if outcome is None else _outcome(outcome),
        )


def _outcome(values: dict[str, dict[str, str]]) -> Outcome:
    connection = values["connection"]
    return Outcome(None if connection is None else Connection(**connection), values["error"])


def user_digest(flow: str, user_ref: str) -> str:
    return hmac.new(flow.encode(), user_ref.encode(), hashlib.sha256).hexdigest()


def now() -> datetime:
    return datetime.now(UTC)
