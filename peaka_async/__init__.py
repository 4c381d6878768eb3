"""An asynchronous, typed client for Peaka's Partner API."""

from peaka_async._request import (
    Content,
    Request,
    Safety,
)
from peaka_async._transport.call import (
    RawResponse,
)
from peaka_async._transport.retry import (
    Decision,
    RetryPolicy,
)
from peaka_async._transport.settings import (
    Timeouts,
)
from peaka_async._transport.throttle import (
    Limiter,
)
from peaka_async._version import (
    __version__,
)
from peaka_async.client import (
    Info,
    PeakaClient,
)
from peaka_async.endpoints._paging import (
    Pages,
    ResultPage,
)
from peaka_async.endpoints._waiting import (
    Waiting,
)
from peaka_async.errors import (
    APIError,
    Attempt,
    AuthenticationError,
    AuthorizationDenied,
    BadRequestError,
    CancelledCall,
    CappedReadWarning,
    ConfigurationError,
    ConflictError,
    ConnectError,
    DecodeError,
    InvalidRedirect,
    NotFoundError,
    OAuth2Error,
    OutcomeUnknownError,
    PeakaError,
    PeakaTimeoutError,
    PermissionDeniedError,
    RateLimitError,
    RedirectBlockedError,
    Replayed,
    ServerError,
    StateMismatch,
    TransportError,
    WaitError,
    WaitStalledError,
    WaitTimeoutError,
    WireProgress,
    WorkFailedError,
    cancelled_call,
)
from peaka_async.models import (
    Connection,
    ConnectionConfiguration,
    ConnectionConfigurationItem,
    ConnectionRequest,
    Credential,
    DatabaseCredential,
    FieldType,
    Oauth2Callback,
    OAuth2Credential,
    PersonalAccessTokenCredential,
    TokenCredential,
)

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
    "Connection",
    "ConnectionConfiguration",
    "ConnectionConfigurationItem",
    "ConnectionRequest",
    "Content",
    "Credential",
    "DatabaseCredential",
    "Decision",
    "DecodeError",
    "FieldType",
    "Info",
    "InvalidRedirect",
    "Limiter",
    "NotFoundError",
    "OAuth2Credential",
    "OAuth2Error",
    "Oauth2Callback",
    "OutcomeUnknownError",
    "Pages",
    "PeakaClient",
    "PeakaError",
    "PeakaTimeoutError",
    "PermissionDeniedError",
    "PersonalAccessTokenCredential",
    "RateLimitError",
    "RawResponse",
    "RedirectBlockedError",
    "Replayed",
    "Request",
    "ResultPage",
    "RetryPolicy",
    "Safety",
    "ServerError",
    "StateMismatch",
    "Timeouts",
    "TokenCredential",
    "TransportError",
    "WaitError",
    "WaitStalledError",
    "WaitTimeoutError",
    "Waiting",
    "WireProgress",
    "WorkFailedError",
    "__version__",
    "cancelled_call",
]


def _show_public_names() -> None:
    """Give what private modules define its public name, so that docs and pickles show that name."""
    for name in __all__:
        value = globals()[name]
        if "._" in getattr(value, "__module__", ""):
            value.__module__ = __name__


_show_public_names()
