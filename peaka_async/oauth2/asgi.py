"""The connect flow as an ASGI application, which runs alone or is mounted in Starlette, FastAPI and Litestar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import cast, final

import attrs

from peaka_async.oauth2._incoming import Incoming, Reply
from peaka_async.oauth2._web import ConnectWeb

__all__ = ["AsgiRequest", "ConnectApp"]

AsgiMessage = MutableMapping[str, object]
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]


@final
@attrs.frozen(repr=False)
class AsgiRequest:
    """A request of ASGI, for the application's functions: `starlette.requests.Request(r.scope)`.

    `receive` gives the body to the function that returns the connect request.
    """

    scope: MutableMapping[str, object]
    receive: AsgiReceive


@final
class ConnectApp:
    """Serves `…/begin`, `…/return`, `…/forward` and `…/result`, wherever it is mounted.

    ```python
    connect = ConnectWeb(flow=flow, user_ref=user_of, connect_request=request_of, secret=secret)
    app.mount("/connect", ConnectApp(connect))
    ```
    """

    def __init__(self, connect: ConnectWeb[AsgiRequest]) -> None:
        self._connect = connect

    async def __call__(self, scope: MutableMapping[str, object], receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer a request.

        Raises:
            NotImplementedError: the scope is not http. A server reads this as "no lifespan".
        """
        if scope["type"] != "http":
            msg = f"ConnectApp speaks http only, not {scope['type']}."
            raise NotImplementedError(msg)
        # Frameworks differ in the part of the path that a mount leaves.
        action = str(scope["path"]).rstrip("/").rpartition("/")[2]
        await _send(send, await self._connect.handle(action, _incoming(scope, receive), AsgiRequest(scope, receive)))


def _incoming(scope: MutableMapping[str, object], receive: AsgiReceive) -> Incoming:
    async def read(limit: int) -> bytes | None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                # An incomplete query must not be used as a complete one.
                return None
            body += cast("bytes", message.get("body", b""))
            more = bool(message.get("more_body"))
            if len(body) > limit:
                return None
        return body

    raw_headers = [(name.lower(), value) for name, value in cast("Iterable[tuple[bytes, bytes]]", scope["headers"])]
    return Incoming(
        method=str(scope["method"]),
        path=str(scope["path"]),
        raw_query=cast("bytes", scope.get("query_string", b"")),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in raw_headers},
        raw_cookies=b";".join(value for name, value in raw_headers if name == b"cookie"),
        read=read,
    )


async def _send(send: AsgiSend, reply: Reply) -> None:
    body = reply.body.encode()
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.all_headers()]
    if reply.status != 204:  # noqa: PLR2004 - no content, so no length either
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
