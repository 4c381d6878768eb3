"""Everything that peaka_async raises.

```text
PeakaError
├── ConfigurationError          bad input or set-up: nothing was sent
├── TransportError              no usable answer
│   ├── ConnectError            no connection: nothing was sent
│   ├── PeakaTimeoutError       a time limit passed; `.phase` says where
│   ├── OutcomeUnknownError     sent, no answer, and a second send could do harm
│   └── RedirectBlockedError    the server pointed elsewhere and was not followed
├── APIError                    the service answered with an error
│   ├── BadRequestError         400, 422
│   ├── AuthenticationError     401
│   ├── PermissionDeniedError   403
│   ├── NotFoundError           404, and the 400s that mean it
│   ├── ConflictError           409
│   ├── RateLimitError          429
│   └── ServerError             5xx
├── DecodeError                 the call succeeded, its answer cannot be read
├── WaitError                   long-running work did not end well
│   ├── WaitTimeoutError        the deadline passed; the work goes on
│   ├── WaitStalledError        the work shows no progress
│   └── WorkFailedError         the service says that it failed
└── OAuth2Error                 the authorization did not complete
    ├── AuthorizationDenied     the provider's redirect carried `error=…`
    ├── InvalidRedirect         what came is not a redirect's query
    ├── StateMismatch           the redirect is not of this flow or not of this user
    └── Replayed                the redirect was used before
```

Every error carries the operation and the ledger of attempts, survives pickle, copy and deepcopy, and shows no
secret in `str()`, `repr()`, `args` or its pickle.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = [
    "APIError",
    "Attempt",
    "AuthenticationError",
    "AuthorizationDenied",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "DecodeError",
    "InvalidRedirect",
    "NotFoundError",
    "OAuth2Error",
    "OutcomeUnknownError",
    "PeakaError",
    "PeakaTimeoutError",
    "PermissionDeniedError",
    "RateLimitError",
    "RedirectBlockedError",
    "Replayed",
    "ServerError",
    "StateMismatch",
    "TransportError",
    "WaitError",
    "WaitStalledError",
    "WaitTimeoutError",
    "WireProgress",
    "WorkFailedError",
]


class WireProgress(enum.Enum):
    """How far an attempt got on the wire."""

    NOT_SENT = "not_sent"
    """No byte of the request left: the server cannot have acted on it."""

    MAYBE_SENT = "maybe_sent"
    """Some of the request may have left and no complete answer came."""

    ANSWERED = "answered"
    """The server answered."""


@attrs.frozen(kw_only=True)
class Attempt:
    """One request that was made, or tried, for a call."""

    number: int
    """1 for the first."""

    progress: WireProgress
    status: int | None = None
    """The HTTP status, where an answer came."""

    error: str | None = None
    """The error's type name, None for the attempt that succeeded."""

    duration: float = 0.0
    """Seconds from its start to its end."""

    request_id: str | None = None
    """The request or trace id that the answer named, for a support case."""

    delay: float | None = None
    """Seconds waited after this attempt before the next; None where none followed."""

    delay_source: str | None = None
    """Where the delay came from: `backoff`, `retry-after`, `retry-after-ms`, `retry-after-date`."""


class PeakaError(Exception):
    """The root of all errors of this package.

    Attributes:
        operation: the operation's id, such as `connections.oauth2_callback`; None outside of a call.
        attempts: the ledger, one `Attempt` for each request that was made or tried.
    """

    def __init__(self, message: str = "", *, operation: str | None = None, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.operation = operation
        self.attempts = attempts

    def __str__(self) -> str:
        message = super().__str__()
        if self.operation is not None and not message.startswith(self.operation):
            message = f"{self.operation}: {message}"
        if len(self.attempts) > 1:
            message = f"{message} ({len(self.attempts)} attempts)"
        return message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConfigurationError(PeakaError, ValueError):
    """The client or the call was given something that cannot work. Nothing was sent."""


class TransportError(PeakaError):
    """No usable answer came.

    Attributes:
        progress: whether the request left. With `NOT_SENT` the server cannot have acted.
    """

    def __init__(
        self,
        message: str = "",
        *,
        progress: WireProgress = WireProgress.MAYBE_SENT,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.progress = progress


class ConnectError(TransportError):
    """No connection could be made (DNS, refused, TLS, proxy). Nothing was sent."""


class PeakaTimeoutError(TransportError, TimeoutError):
    """A time limit passed.

    Attributes:
        phase: what it was waiting for: `pool` (a free connection), `connect` (DNS, TCP, TLS),
            `response` (the answer's head), `body` (its body), `credential` (the `api_key` callable),
            `rate-limit` (the pause that a 429 asked for) or `backoff` (the wait before another attempt).
        retry_after: seconds after which the server asked to be called again, where it did.
    """

    def __init__(
        self,
        message: str = "",
        *,
        phase: str = "response",
        retry_after: float | None = None,
        progress: WireProgress = WireProgress.MAYBE_SENT,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, progress=progress, operation=operation, attempts=attempts)
        self.phase = phase
        self.retry_after = retry_after


class OutcomeUnknownError(TransportError):
    """The request was sent, no complete answer came, and sending it again could do harm.

    The server may or may not have acted. Ask it (list or get what the call would have made) before calling again.
    """


class RedirectBlockedError(TransportError):
    """The server answered with a redirect that was not followed.

    A redirect is not followed with a body, or to another origin: it would hand the request, and what it carries,
    to somebody else.

    Attributes:
        status: the HTTP status of the redirect.
        location: the scheme, host and path that it named, without its query.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        location: str | None = None,
        progress: WireProgress = WireProgress.ANSWERED,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, progress=progress, operation=operation, attempts=attempts)
        self.status = status
        self.location = location


class APIError(PeakaError):
    """The service answered with an error.

    Attributes:
        status: the HTTP status.
        error: the service's name for the error, such as `INVALID_CONNECTION_ID`.
        error_code: its code, an int or a str, whichever it sent.
        message: its text, with anything that the call sent in confidence replaced by `[redacted]`.
        headers: the answer's headers, names in lower case, without cookies.
        body: the answer's body as it came. It can echo what was sent; it is neither shown nor pickled
            (a copy or a pickle holds it with the confidential parts replaced).
        retry_after: seconds after which the server asked to be called again, where it did.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        error: str | None = None,
        error_code: int | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        redacted_body: bytes | None = None,
        retry_after: float | None = None,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.status = status
        self.error = error
        self.error_code = error_code
        self.headers: dict[str, str] = dict(headers or {})
        self.body = body
        self.retry_after = retry_after
        self._redacted_body = body if redacted_body is None else redacted_body

    @property
    def message(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        what = f"HTTP {self.status}"
        if self.error:
            what += f" {self.error}"
        if self.error_code is not None:
            what += f" [{self.error_code}]"
        if self.message:
            what += f": {self.message}"
        if self.retry_after is not None:
            what += f" (the server asks to wait {self.retry_after:g} s)"
        if len(self.attempts) > 1:
            what += f" ({len(self.attempts)} attempts)"
        return f"{self.operation}: {what}" if self.operation else what

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**self.__dict__, "body": self._redacted_body}


class BadRequestError(APIError):
    """400 or 422: the service does not accept the request as it is."""


class AuthenticationError(APIError):
    """401: the API key is missing, wrong or expired."""


class PermissionDeniedError(APIError):
    """403: the key may not do this. 20 operations want a Partner key."""


class NotFoundError(APIError):
    """404, or a 400 by which the service means that something does not exist."""


class ConflictError(APIError):
    """409: the state on the server stands against it."""


class RateLimitError(APIError):
    """429: too many requests."""


class ServerError(APIError):
    """5xx: the service failed."""


class DecodeError(PeakaError):
    """The call succeeded (2xx) and its answer is not what it should be.

    The work was done: do not repeat a call that creates something.

    Attributes:
        status: the HTTP status.
        path: where in the answer, such as `$.files[0].bytes`; `$` for the whole.
        headers: the answer's headers, names in lower case, without cookies.
        body: the answer's body as it came; neither shown nor pickled, since an answer can hold a secret.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        path: str = "$",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.status = status
        self.path = path
        self.headers: dict[str, str] = dict(headers or {})
        self.body = body

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**self.__dict__, "body": b""}


class WaitError(PeakaError):
    """Long-running work did not come to a good end."""


class WaitTimeoutError(WaitError, TimeoutError):
    """The deadline passed before the work ended. The work itself goes on."""


class WaitStalledError(WaitError):
    """The work shows no progress for longer than allowed. It may still be running."""


class WorkFailedError(WaitError):
    """The service says that the work failed, was cancelled or expired; the message is the service's own.

    Attributes:
        state: the end state, in upper case.
    """

    def __init__(
        self,
        message: str = "",
        *,
        state: str = "FAILED",
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.state = state


class OAuth2Error(PeakaError):
    """The authorization did not complete."""


class AuthorizationDenied(OAuth2Error):
    """The provider's redirect carried an error in place of a code (RFC 6749, section 4.1.2.1).

    Attributes:
        error: the provider's error code, such as `access_denied`.
        description: its human-readable text, where it sent one.
        uri: a page about the error, where it named one.
    """

    def __init__(
        self,
        message: str = "",
        *,
        error: str = "",
        description: str | None = None,
        uri: str | None = None,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.error = error
        self.description = description
        self.uri = uri


class InvalidRedirect(OAuth2Error, ValueError):
    """What was given as the redirect is empty, too large or malformed. Nothing was sent."""


class StateMismatch(OAuth2Error):
    """The redirect does not belong to this flow, this user or this browser. Nothing was sent."""


class Replayed(OAuth2Error):
    """The redirect was used before. Nothing was sent."""
