"""Which errors a flow ends in, and which leave it open."""

from __future__ import annotations

from peaka_async.errors import (
    APIError,
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

# A connection that still shows its consent page has not been completed.
_INCOMPLETE = "INCOMPLETE"

_CLIENT_ERRORS = range(400, 500)

# What a gateway can answer although the work was done, or goes on.
_TRANSIENT = frozenset({408, 425})


def nothing_sent(error: PeakaError) -> bool:
    """Whether the flow is as it was: nothing left, or the server did not look at it."""
    if isinstance(error, TransportError):
        return error.progress is WireProgress.NOT_SENT
    return isinstance(error, ConfigurationError | RateLimitError)


def is_final(error: PeakaError, *, by_peaka: bool) -> bool:
    """Whether it is known that there is no connection.

    Where Peaka took the code, it was only asked for the connection: that it refused to say is no outcome.
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
    msg = "Nobody knows yet whether the connection was completed. Nothing is sent again; `resolve` asks Peaka."
    return OutcomeUnknownError(msg, operation="oauth2.complete")


def unusable(path: str, problem: str) -> DecodeError:
    msg = f"The connection was created, and the flow cannot go on: {problem}."
    return DecodeError(msg, status=200, path=path, operation="oauth2.start")
