"""The connect flow: from a button in a web service to a working connection.

`ConnectFlow` starts and completes flows. `ConnectWeb` gives it URLs: `peaka_async.oauth2.aiohttp_web` has routes for
aiohttp, and `peaka_async.oauth2.asgi` has an application that mounts in Starlette, FastAPI and Litestar.
"""

from peaka_async.oauth2._access_log import (
    AccessLogFilter,
    protect_access_logs,
)
from peaka_async.oauth2._connect_request import (
    ConnectRequest,
    ForwardedRedirect,
    OwnApp,
    OwnRedirect,
    PeakaApp,
    Variant,
    is_local_path,
)
from peaka_async.oauth2._flow import (
    ConnectFlow,
    Delivery,
)
from peaka_async.oauth2._notices import (
    Notice,
)
from peaka_async.oauth2._pending import (
    PendingFlow,
)
from peaka_async.oauth2._redis import (
    RedisStore,
)
from peaka_async.oauth2._refusals import (
    NotSavedError,
    TooManyFlowsError,
)
from peaka_async.oauth2._settlement import (
    GiveUp,
    Settled,
    Settlement,
    TryAgain,
)
from peaka_async.oauth2._store import (
    FlowStore,
    MemoryStore,
)
from peaka_async.oauth2._web import (
    ConnectWeb,
)

__all__ = [
    "AccessLogFilter",
    "ConnectFlow",
    "ConnectRequest",
    "ConnectWeb",
    "Delivery",
    "FlowStore",
    "ForwardedRedirect",
    "GiveUp",
    "MemoryStore",
    "NotSavedError",
    "Notice",
    "OwnApp",
    "OwnRedirect",
    "PeakaApp",
    "PendingFlow",
    "RedisStore",
    "Settled",
    "Settlement",
    "TooManyFlowsError",
    "TryAgain",
    "Variant",
    "is_local_path",
    "protect_access_logs",
]


def _show_public_names() -> None:
    """Give what private modules define its public name, so that docs and pickles show that name."""
    for name in __all__:
        value = globals()[name]
        if "._" in getattr(value, "__module__", ""):
            value.__module__ = __name__


_show_public_names()
