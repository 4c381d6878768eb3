"""The errors that peaka_async raises.

```text
PeakaError
├── ConfigurationError          invalid input or set-up: nothing was sent
├── TransportError              no usable answer
│   ├── ConnectError            no connection: nothing was sent
│   ├── PeakaTimeoutError       a time limit passed; `.phase` says which
│   ├── OutcomeUnknownError     sent, no answer, and sending it again could do harm
│   └── RedirectBlockedError    the server answered with a redirect that was not followed
├── APIError                    the service answered with an error
│   ├── BadRequestError         400, 422
│   ├── AuthenticationError     401
│   ├── PermissionDeniedError   403
│   ├── NotFoundError           404, and the 400s that mean it
│   ├── ConflictError           409
│   ├── RateLimitError          429
│   └── ServerError             5xx
├── DecodeError                 the call succeeded, but its answer is invalid
├── WaitError                   work in the background did not succeed
│   ├── WaitTimeoutError        the deadline passed; the work goes on
│   ├── WaitStalledError        the work shows no progress
│   └── WorkFailedError         the service says that the work failed
└── OAuth2Error                 the authorization did not complete
    ├── AuthorizationDenied     the provider's redirect carried `error=…`
    ├── InvalidRedirect         the redirect is empty, too large or malformed
    ├── StateMismatch           the redirect belongs to another flow, user or browser
    └── Replayed                the redirect was used before
```

Every error carries the operation and the list of attempts, and can be pickled, copied and deep-copied. Secrets are
left out of `str()`, `repr()`, `args` and the pickle.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import attrs

__all__ = [
    "APIError",
    "Attempt",
    "AuthenticationError",
    "AuthorizationDenied",
    "BadRequestError",
    "CancelledCall",
    "CappedReadWarning",
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
    "cancelled_call",
]


_RATE_LIMITED = 429

_LOOK_FIRST = (
    "It may have taken effect: such an answer can come after the work was done. It was not sent again, because that "
    "could do harm. Before you call again, check whether it took effect (list or get what the call makes)."
)


E = TypeVar("E", bound="PeakaError")


class WireProgress(enum.Enum):
    """How far an attempt got on the wire."""

    NOT_SENT = "not_sent"
    """No byte of the request left: the server cannot have acted on it."""

    MAYBE_SENT = "maybe_sent"
    """Some of the request may have left, and no complete answer came."""

    ANSWERED = "answered"
    """The server answered."""


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt of a call: a request that was sent, or could not be."""

    number: int
    """1 for the first attempt."""

    progress: WireProgress
    status: int | None = None
    """The HTTP status; None if no answer came."""

    error: str | None = None
    """The error's type name; None for the attempt that succeeded."""

    duration: float = 0.0
    """Seconds from its start to its end."""

    request_id: str | None = None
    """The request id or trace id from the answer, to give to Peaka's support; None if missing."""

    delay: float | None = None
    """Seconds waited before the next attempt; None if this was the last."""

    delay_source: str | None = None
    """The source of the delay: `backoff`, `retry-after`, `retry-after-ms` or `retry-after-date`."""


Data = Mapping[str, Any]
"""An error as JSON data."""

_ARGS = cast("Any", BaseException.args)
_IN_ARGS_ALONE = frozenset({"body", "_redacted_body", "__notes__"})
_EMPTY: tuple[object, ...] = ("", [], {})


def _plain(value: object) -> Any:
    """A value as JSON data."""
    if isinstance(value, Attempt):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(Attempt)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _is_shown(name: str) -> bool:
    return not name.startswith("_") and name not in {"body", "outcome_unknown"}


def _is_data(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_data, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_data, value))
    return value is None or isinstance(value, str | int | float | bool | WireProgress | Attempt)


def _attempt(data: Data) -> Attempt:
    known = {field.name for field in attrs.fields(Attempt)}
    values = {name: value for name, value in data.items() if name in known}
    return Attempt(**{**values, "progress": WireProgress(data["progress"])})


_READERS: dict[str, Callable[[Any], object]] = {
    "attempts": lambda lines: tuple(map(_attempt, lines)),
    "progress": WireProgress,
    "body": str.encode,
}


def _with_subclasses(kind: type[E]) -> Iterator[type[E]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _with_subclasses(each)


def _all_unsent(attempts: tuple[Attempt, ...]) -> bool:
    return all(line.progress is WireProgress.NOT_SENT or line.status == _RATE_LIMITED for line in attempts)


def _last_request_id(attempts: tuple[Attempt, ...]) -> str | None:
    return next((line.request_id for line in reversed(attempts) if line.request_id is not None), None)


class PeakaError(Exception):
    """The base class of all errors of this package.

    If a call that must not be done twice fails, check these two attributes instead of the class of the error:

    - `nothing_sent`: the server cannot have acted. It is safe to call again.
    - `outcome_unknown`: the server may have acted, and a second call could do harm. Before you call again, list or get
      what the call makes.

    If both are false, the outcome is known: after an error status the service did nothing, after a `DecodeError` it did
    the work.

    Attributes:
        operation: the operation, such as `connections.oauth2_callback`; None outside of a call.
        attempts: one `Attempt` for each request that was sent or could not be.
        outcome_unknown: whether the operation may have taken effect, and repeating it could do harm. It is true if an
            operation that is sent once got no answer and may have been sent, or was answered with 408, 425 or 5xx: a
            gateway can send these answers after the work was done.
    """

    outcome_unknown: bool = False

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
        *,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.attempts = attempts
        self._restore(data)

    if not TYPE_CHECKING:  # to type checkers it is what it is on every exception

        @property
        def args(self) -> tuple[Any, ...]:
            """The message, and all attributes as JSON data: `type(error)(*error.args)` makes an equal error."""
            data = {name: value for name, value in self._data().items() if value is not None and value not in _EMPTY}
            return (self._message, data) if data else (self._message,)

        @args.setter
        def args(self, args: tuple[Any, ...]) -> None:
            _ARGS.__set__(self, args)

    @property
    def _message(self) -> str:
        return str(next(iter(_ARGS.__get__(self)), ""))

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON data, without secrets. `from_dict` makes an equal error from it.

        ```python
        logger.error("no connection", extra={"peaka": error.to_dict()})
        ```
        """
        return {
            "type": type(self).__name__,
            "message": self._message,
            **self._data(),
            "outcome_unknown": self.outcome_unknown,
            "nothing_sent": self.nothing_sent,
            "request_id": self.request_id,
        }

    @classmethod
    def from_dict(cls, data: Data) -> Self:
        """Make an error from the data of `to_dict`.

        Returns:
            An error of the class that the data names; if this version does not have that class, an error of this class.
        """
        kind = next((kind for kind in _with_subclasses(cls) if kind.__name__ == data.get("type")), cls)
        return kind(str(data.get("message", "")), data)

    def _data(self) -> dict[str, Any]:
        """The attributes as JSON data, without the body."""
        data = {name: _plain(value) for name, value in vars(self).items() if _is_shown(name) and _is_data(value)}
        if self.outcome_unknown != type(self).outcome_unknown:
            data["outcome_unknown"] = self.outcome_unknown
        notes = getattr(self, "__notes__", None)
        return {**data, "notes": list(notes)} if notes else data

    def _restore(self, data: Data | None) -> None:
        """Set the attributes from `_data`; attributes that this version does not have are left out."""
        if data is None:
            return
        known = vars(self)
        for name in known.keys() & data.keys():
            known[name] = _READERS[name](data[name]) if name in _READERS else data[name]
        unknown = data.get("outcome_unknown", self.outcome_unknown)
        if unknown != self.outcome_unknown:
            self.outcome_unknown = unknown
        for note in data.get("notes", ()):
            self.add_note(str(note))

    def __reduce__(self) -> tuple[Any, ...]:
        # Attributes that an application has added are not in `args`.
        state = {name: value for name, value in vars(self).items() if name not in _IN_ARGS_ALONE}
        return type(self), self.args, state

    @property
    def nothing_sent(self) -> bool:
        """Whether no attempt of the request was sent, except attempts that were refused with HTTP 429."""
        return self._is_unsent and _all_unsent(self.attempts)

    @property
    def request_id(self) -> str | None:
        """The id from the last answer that had one, to give to Peaka's support; None if missing."""
        return _last_request_id(self.attempts)

    @property
    def _is_unsent(self) -> bool:
        """Whether the failure happened before anything was sent."""
        return False

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
    """An argument or a setting is invalid or missing. Nothing was sent."""

    @property
    def _is_unsent(self) -> bool:
        return True


class TransportError(PeakaError):
    """No usable answer came.

    Attributes:
        progress: whether the request was sent. If it is `NOT_SENT`, the server cannot have acted on it.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
        *,
        progress: WireProgress = WireProgress.MAYBE_SENT,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.progress = progress
        self._restore(data)

    @property
    def _is_unsent(self) -> bool:
        return self.progress is WireProgress.NOT_SENT


class ConnectError(TransportError):
    """No connection could be made. Nothing was sent.

    Attributes:
        problem: what failed: `name` (it does not resolve), `tls` (the certificate is not trusted, or the TLS handshake
            failed), `closed` (the client is closed) or `connection` (refused, reset, unreachable, or the proxy failed).
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
        *,
        problem: str = "connection",
        progress: WireProgress = WireProgress.NOT_SENT,
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, progress=progress, operation=operation, attempts=attempts)
        self.problem = problem
        self._restore(data)


class PeakaTimeoutError(TransportError, TimeoutError):
    """A time limit passed.

    Attributes:
        phase: what the call was waiting for: `pool` (a free connection), `connect` (DNS, TCP, TLS),
            `response` (the answer's head), `body` (its body), `credential` (the `api_key` callable),
            `rate-limit` (its turn after an HTTP 429) or `limiter` (the application's limiter).
        retry_after: seconds that the server asked to wait before the next call; None if it did not.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
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
        self._restore(data)


class OutcomeUnknownError(TransportError):
    """The request was sent, no complete answer came, and sending it again could do harm.

    The server may or may not have acted on it. Before you call again, list or get what the call would have made.
    """

    outcome_unknown = True


class RedirectBlockedError(TransportError):
    """The server answered with a redirect that was not followed.

    A redirect of a request with a body, or to another origin, is not followed: the request and its secrets would go to
    another server.

    Attributes:
        status: the HTTP status of the redirect.
        location: the redirect's target, without its query.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
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
        self._restore(data)


class APIError(PeakaError):
    """The service answered with an error.

    Attributes:
        status: the HTTP status.
        error: the service's name for the error, such as `INVALID_CONNECTION_ID`.
        error_code: the service's code for the error, an int or a str.
        message: the service's text; secrets that the call sent are replaced by `[redacted]`.
        headers: the answer's headers without cookies; names are in lower case.
        body: the answer's body. It can repeat what was sent, so it is not shown; copies and pickles hold it with the
            secrets replaced.
        retry_after: seconds that the server asked to wait before the next call; None if it did not.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
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
        self._restore(data)

    @property
    def message(self) -> str:
        return self._message

    @property
    def redacted_body(self) -> bytes:
        """The beginning of the body, with the secrets that the call sent replaced by `[redacted]`."""
        return self._redacted_body

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
        if self.outcome_unknown:
            what += f". {_LOOK_FIRST}"
        return f"{self.operation}: {what}" if self.operation else what

    def _data(self) -> dict[str, Any]:
        return {**super()._data(), "body": self._redacted_body.decode("utf-8", "replace")}

    def _restore(self, data: Data | None) -> None:
        super()._restore(data)
        if data is not None:
            self._redacted_body = self.body


class BadRequestError(APIError):
    """400 or 422: the service does not accept the request."""


class AuthenticationError(APIError):
    """401: the API key is missing, wrong or expired."""


class PermissionDeniedError(APIError):
    """403: the key may not do this. 20 operations need a Partner key."""


class NotFoundError(APIError):
    """404, or a 400 that means that something does not exist."""


class ConflictError(APIError):
    """409: the request conflicts with the state on the server."""


class RateLimitError(APIError):
    """429: too many requests."""


class ServerError(APIError):
    """5xx: the service failed."""


class DecodeError(PeakaError):
    """The call succeeded (2xx), but its answer is invalid or not of the documented form.

    The service did the work: do not repeat a call that creates something.

    Attributes:
        status: the HTTP status.
        path: the place in the answer, such as `$.files[0].bytes`; `$` is the whole answer.
        headers: the answer's headers without cookies; names are in lower case.
        body: the answer's body. It can hold a secret, so it is neither shown nor pickled.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
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
        self._restore(data)


class WaitError(PeakaError):
    """Work in the background did not succeed, or the wait for it ended."""


class WaitTimeoutError(WaitError, TimeoutError):
    """The deadline passed before the work ended. The work goes on."""


class WaitStalledError(WaitError):
    """The work has shown no progress for too long. It may still be running."""


class WorkFailedError(WaitError):
    """The service says that the work failed, was cancelled or has expired. The message is the service's.

    Attributes:
        state: the final state, in upper case.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
        *,
        state: str = "FAILED",
        operation: str | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message, operation=operation, attempts=attempts)
        self.state = state
        self._restore(data)


class OAuth2Error(PeakaError):
    """The authorization did not complete."""


class AuthorizationDenied(OAuth2Error):
    """The provider's redirect carried an error instead of a code (RFC 6749, section 4.1.2.1).

    Attributes:
        error: the provider's error code, such as `access_denied`.
        description: the provider's text; None if missing.
        uri: a page about the error; None if missing.
    """

    def __init__(
        self,
        message: str = "",
        data: Data | None = None,
        /,
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
        self._restore(data)

    @property
    def _is_unsent(self) -> bool:
        return True


class InvalidRedirect(OAuth2Error, ValueError):
    """The redirect is empty, too large or malformed. Nothing was sent."""

    @property
    def _is_unsent(self) -> bool:
        return True


class StateMismatch(OAuth2Error):
    """The redirect does not belong to this flow, this user or this browser. Nothing was sent."""

    @property
    def _is_unsent(self) -> bool:
        return True


class Replayed(OAuth2Error):
    """The redirect was used before. Nothing was sent."""

    @property
    def _is_unsent(self) -> bool:
        return True


@attrs.frozen(kw_only=True)
class CancelledCall:
    """A call that was cancelled; `cancelled_call` gets it from the `CancelledError`.

    Attributes:
        operation: the operation, such as `connections.oauth2_callback`.
        attempts: one `Attempt` for each request that was sent or could not be.
        outcome_unknown: whether the server may have acted, and a second call could do harm.
    """

    operation: str
    attempts: tuple[Attempt, ...] = ()
    outcome_unknown: bool = False

    @property
    def nothing_sent(self) -> bool:
        """Whether no attempt of the request was sent, except attempts that were refused with HTTP 429."""
        return _all_unsent(self.attempts)

    @property
    def request_id(self) -> str | None:
        """The id from the last answer that had one, to give to Peaka's support; None if missing."""
        return _last_request_id(self.attempts)


class CappedReadWarning(UserWarning):
    """A result has exactly 100 rows, where reads of uncached API tables silently stop. It may be cut off."""


_CANCELLED_CALL = "_peaka_async_call"


def note_cancelled(error: BaseException, call: CancelledCall) -> None:
    """Attach to a cancellation the call that it ended."""
    vars(error)[_CANCELLED_CALL] = call


def cancelled_call(error: BaseException) -> CancelledCall | None:
    """Return the call that a cancellation, or a `TimeoutError` of `asyncio.timeout`, has ended.

    ```python
    try:
        async with asyncio.timeout(5):
            connection = await peaka.connections.oauth2_callback(project_id, callback)
    except TimeoutError as error:
        call = cancelled_call(error)
        if call is None or call.nothing_sent: ...  # safe to call again
    ```

    Returns:
        None if no call of this package was cancelled.
    """
    seen: BaseException | None = error
    while seen is not None:
        call = vars(seen).get(_CANCELLED_CALL)
        if isinstance(call, CancelledCall):
            return call
        seen = seen.__cause__ or seen.__context__
    return None
