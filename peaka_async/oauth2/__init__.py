"""The connect flow: from a button in a web service to a working connection.

`ConnectFlow` begins and ends flows. `ConnectWeb` puts it behind URLs: `peaka_async.oauth2.aiohttp_web` has routes for
aiohttp, and `peaka_async.oauth2.asgi` an application that mounts in Starlette, FastAPI and Litestar.
"""

from peaka_async.oauth2._access_log import (
    AccessLogFilter,
    protect_access_logs,
)
from peaka_async.oauth2._flow import (
    ConnectFlow,
)
from peaka_async.oauth2._order import (
    ForwardedRedirect,
    Order,
    OwnApp,
    OwnRedirect,
    PeakaApp,
    Variant,
    is_local_path,
)
from peaka_async.oauth2._pages import (
    Notice,
)
from peaka_async.oauth2._pending import (
    PendingFlow,
)
from peaka_async.oauth2._redis import (
    RedisStore,
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
    "ConnectWeb",
    "FlowStore",
    "ForwardedRedirect",
    "MemoryStore",
    "Notice",
    "Order",
    "OwnApp",
    "OwnRedirect",
    "PeakaApp",
    "PendingFlow",
    "RedisStore",
    "Variant",
    "is_local_path",
    "protect_access_logs",
]
