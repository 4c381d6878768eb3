"""A flow that was started, its outcome, and both as bytes for a store."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Self, cast, final

import attrs

from peaka_async.errors import (
    APIError,
    AuthorizationDenied,
    PeakaError,
    WorkFailedError,
)
from peaka_async.models.connections import Connection
from peaka_async.oauth2._refusals import not_saved, unknown

_NOTHING: Mapping[str, str] = MappingProxyType({})

# The attributes of errors that are stored, so that a second delivery can raise the same error.
_FIELDS: dict[type[PeakaError], tuple[str, ...]] = {
    AuthorizationDenied: ("error", "description", "uri"),
    WorkFailedError: ("state",),
    APIError: ("status", "error", "error_code"),
}


@final
@attrs.frozen(kw_only=True)
class PendingFlow:
    """A flow that was started.

    Attributes:
        id: the id of the flow. It gives no access and may be logged.
        connection_id: the connection at Peaka, which waits for the consent.
        project_id: the connection's project.
        connector: the connector's type.
        name: the connection's name.
        expires_at: the time when the flow expires if its return was not delivered.
        return_url: the URL that the browser comes back to at the end.
        forward_url: the URL that forwards the provider's redirect; None if it is not forwarded.
        issuer: the `iss` that the provider's redirect must have; None if it is not checked.
        remember: the application's data from the connect request.
        return_to: the path in the application to go to at the end.
        consent_url: the URL to send the browser to. Only `start` returns it; it is not stored.
        state: the state in the consent URL, if it has one. Only `start` returns it.
    """

    id: str
    connection_id: str
    project_id: str
    connector: str
    name: str
    expires_at: datetime
    return_url: str = ""
    forward_url: str | None = None
    issuer: str | None = None
    remember: Mapping[str, str] = attrs.field(default=_NOTHING, repr=False)
    return_to: str | None = None
    consent_url: str | None = attrs.field(default=None, repr=False)
    state: str | None = attrs.field(default=None, repr=False)


@final
@attrs.frozen
class Outcome:
    """The outcome of a flow: a connection, which was saved or not, or an error, or neither if it is unknown."""

    connection: Connection | None = None
    error: Mapping[str, str | int | None] | None = None
    saved: bool = False

    @classmethod
    def failed(cls, error: PeakaError) -> Self:
        fields = next((fields for kind, fields in _FIELDS.items() if isinstance(error, kind)), ())
        data = error.to_dict()
        return cls(error={name: data[name] for name in ("type", "message", "operation", *fields)})

    @property
    def final(self) -> bool:
        """Whether there is nothing left to do."""
        return self.error is not None or (self.connection is not None and self.saved)

    def get(self) -> Connection:
        """The connection.

        Raises:
            OutcomeUnknownError: the outcome is unknown.
            NotSavedError: the connection was made, but not saved.
            PeakaError: the error of the flow.
        """
        if self.error is not None:
            raise PeakaError.from_dict(self.error)
        if self.connection is None:
            raise unknown()
        if not self.saved:
            raise not_saved(self.connection, "it is still running, or has failed")
        return self.connection


@final
@attrs.frozen(kw_only=True)
class Record:
    """The stored data of a flow.

    It holds no state, consent URL or credential. It holds a code only after `ConnectFlow.accept`, which needs an
    encrypted store.
    """

    flow: PendingFlow
    user: str
    """A digest of the user_ref, different for each flow."""

    owner: str
    """A digest of the user_ref, equal for all flows of the user."""

    by_peaka: bool
    """Whether the provider's redirect, with the code, goes to Peaka."""

    forwards: bool = False
    """Whether the provider's redirect comes here first, and is forwarded to Peaka."""

    forwarded: bool = False
    """Whether the user's browser was sent to Peaka's callback with the code."""

    query: str | None = None
    """A digest of the return that claimed the flow."""

    claimed_at: datetime | None = None
    accepted: str | None = attrs.field(default=None, repr=False)
    """The raw query of an accepted return, until a worker removes it to post it."""

    holder: str | None = None
    """The call that works on the flow, in one process."""

    beat: int = 0
    """Counts up while the holder works."""

    beat_at: datetime | None = None
    told: int = 0
    """The number of calls of `on_connected`."""

    reported: bool = False
    """Whether the person saw that the connection is not saved. Then the next reload calls `on_connected` again."""

    outcome: Outcome = Outcome()
    revision: str = ""
    """A random value, so that no two records of a flow have the same bytes."""

    stored: bytes = attrs.field(default=b"", eq=False, repr=False)
    """The bytes that this record was read from or written as."""

    @property
    def came_back(self) -> bool:
        """Whether the user has delivered a return."""
        return self.forwarded or self.query is not None

    @property
    def is_open(self) -> bool:
        """Whether a return can claim it."""
        return self.query is None and not self.outcome.final

    def is_of(self, user_ref: str) -> bool:
        return hmac.compare_digest(self.user, user_digest(self.flow.id, user_ref))

    def changed(self, **changes: object) -> Self:
        """The next record of the flow, not stored yet."""
        new = attrs.evolve(self, **{**changes, "revision": secrets.token_hex(8)})  # type: ignore[arg-type]
        return attrs.evolve(new, stored=new.dumps())

    def dumps(self) -> bytes:
        values = attrs.asdict(self, filter=lambda attribute, _: attribute.name not in _NOT_KEPT)
        return json.dumps(values, default=_as_json).encode()

    @classmethod
    def loads(cls, text: bytes) -> Self:
        values = json.loads(text)
        flow, outcome = values["flow"], values["outcome"]
        connection = outcome["connection"]
        return cls(
            **{
                **values,
                "flow": PendingFlow(**{**flow, "expires_at": _time(flow["expires_at"])}),
                "claimed_at": _time(values["claimed_at"]),
                "beat_at": _time(values["beat_at"]),
                "outcome": Outcome(**{**outcome, "connection": Connection(**connection) if connection else None}),
                "stored": text,
            }
        )


_NOT_KEPT = frozenset({"stored", "consent_url", "state"})


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else dict(cast("Mapping[str, str]", value))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def user_digest(flow_id: str, user_ref: str) -> str:
    """The digest that identifies the user of a flow. It differs between flows."""
    return hmac.new(flow_id.encode(), user_ref.encode(), hashlib.sha256).hexdigest()


def owner_digest(user_ref: str) -> str:
    """The digest that finds all flows of a user."""
    return hashlib.sha256(f"user:{user_ref}".encode()).hexdigest()[:40]


def now() -> datetime:
    return datetime.now(UTC)
