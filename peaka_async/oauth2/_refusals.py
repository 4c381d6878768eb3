"""The errors of a flow. Some of them end it, and others leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from peaka_async.errors import (
    APIError,
    Attempt,
    ConfigurationError,
    DecodeError,
    NotFoundError,
    OAuth2Error,
    OutcomeUnknownError,
    PeakaError,
    RateLimitError,
    Replayed,
    StateMismatch,
    TransportError,
    WireProgress,
    WorkFailedError,
)
from peaka_async.models.connections import Connection

__all__ = ["NotSavedError", "TooManyFlowsError"]

Data = Mapping[str, Any]

# A connection that still has a consent page is not complete.
_INCOMPLETE = "INCOMPLETE"

_CLIENT_ERRORS = range(400, 500)

# Statuses that a gateway can send although the work was done or goes on.
_TRANSIENT = frozenset({408, 425})


@final
class NotSavedError(OAuth2Error):
    """The connection was made, but `on_connected` did not save it; `resolve` calls it again.

    Attributes:
        connection: the connection; None if the error was made from a dict.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
        *,
        connection: Connection | None = None,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.connection = connection
        self._restore(data)


@final
class TooManyFlowsError(OAuth2Error):
    """The user has too many open flows, or the store is full. Nothing was sent.

    Attributes:
        retry_after: the seconds after which a new flow can be started.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
        *,
        retry_after: float = 0.0,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.retry_after = retry_after
        self._restore(data)

    @property
    def _is_unsent(self) -> bool:
        return True


def nothing_sent(error: PeakaError) -> bool:
    """Whether the flow is unchanged: nothing was sent, or the server refused the request without acting on it."""
    if isinstance(error, TransportError):
        return error.progress is WireProgress.NOT_SENT
    return isinstance(error, ConfigurationError | RateLimitError)


def is_final(error: PeakaError, *, by_peaka: bool) -> bool:
    """Whether it is certain that there is no connection.

    If the code went to Peaka directly, the call only asked for the connection, so a refusal says nothing about it.
    """
    if isinstance(error, APIError):
        if by_peaka:
            return isinstance(error, NotFoundError)
        return error.status in _CLIENT_ERRORS and error.status not in _TRANSIENT
    return isinstance(error, OAuth2Error | WorkFailedError) and not is_incomplete(error)


def is_incomplete(error: PeakaError) -> bool:
    """Whether Peaka said that the connection is not complete, which can change."""
    return isinstance(error, WorkFailedError) and error.state == _INCOMPLETE


def mismatch(problem: str) -> StateMismatch:
    return StateMismatch(f"This return completes no flow: {problem}. Nothing was sent.", operation="oauth2.complete")


def replayed(problem: str) -> Replayed:
    return Replayed(f"This return was used before: {problem}. Nothing was sent.", operation="oauth2.complete")


def incomplete(problem: str) -> WorkFailedError:
    msg = f"The connection is not complete: {problem}."
    return WorkFailedError(msg, state=_INCOMPLETE, operation="oauth2.resolve")


def unknown() -> OutcomeUnknownError:
    msg = "It is unknown whether the connection was completed. Nothing is sent again; `resolve` asks Peaka."
    return OutcomeUnknownError(msg, operation="oauth2.complete")


def not_saved(connection: Connection, problem: str) -> NotSavedError:
    msg = f"The connection was made, but on_connected did not save it: {problem}. `resolve` calls it again."
    return NotSavedError(msg, connection=connection, operation="oauth2.complete")


def too_many_flows(problem: str, *, retry_after: float = 60.0) -> TooManyFlowsError:
    msg = f"No flow can be started: {problem}. Nothing was sent; try again in {retry_after:.0f} seconds."
    return TooManyFlowsError(msg, retry_after=retry_after, operation="oauth2.start")


def unusable(path: str, problem: str) -> DecodeError:
    msg = f"The connection was created, but the flow cannot go on: {problem}."
    return DecodeError(msg, status=200, path=path, operation="oauth2.start")
