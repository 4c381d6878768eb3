"""The connect flow: from a button in a web service to a working connection.

`ConnectFlow` begins and ends flows. `ConnectWeb` puts it behind URLs: `peaka_async.oauth2.aiohttp_web` has routes for
aiohttp, and `peaka_async.oauth2.asgi` an application that mounts in Starlette, FastAPI and Litestar.
"""

from types import FunctionType

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
    "FlowStore",
    "ForwardedRedirect",
    "MemoryStore",
    "Notice",
    "OwnApp",
    "OwnRedirect",
    "PeakaApp",
    "PendingFlow",
    "RedisStore",
    "Variant",
    "is_local_path",
    "protect_access_logs",
]

# Docs, tracebacks and pickles name what people import, not the module that it is written in.
for _name in __all__:
    if isinstance(globals()[_name], type | FunctionType):
        globals()[_name].__module__ = __name__
