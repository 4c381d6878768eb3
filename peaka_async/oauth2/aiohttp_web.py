"""The connect flow's routes for aiohttp."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from multidict import CIMultiDict

from peaka_async.oauth2._incoming import Incoming
from peaka_async.oauth2._web import ACTIONS, ConnectWeb

__all__ = ["connect_routes"]


def connect_routes(connect: ConnectWeb[web.Request], *, prefix: str = "/connect") -> list[web.RouteDef]:
    """Routes for `begin`, `return`, `forward` and `result` below the prefix.

    ```python
    connect = ConnectWeb(flow=flow, user_ref=user_of, connect_request=request_of, secret=secret)
    app.add_routes(connect_routes(connect, prefix="/connect"))
    ```
    """
    below = prefix.rstrip("/")
    return [web.route("*", f"{below}/{action}", _handler(connect, action)) for action in sorted(ACTIONS)]


def _handler(connect: ConnectWeb[web.Request], action: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        reply = await connect.handle(action, _incoming(request), request)
        return web.Response(status=reply.status, headers=CIMultiDict(reply.all_headers()), body=reply.body.encode())

    return handle


def _incoming(request: web.Request) -> Incoming:
    async def read(limit: int) -> bytes | None:
        body = b""
        try:
            while piece := await request.content.readany():
                body += piece
                if len(body) > limit:
                    return None
        except web.RequestPayloadError:  # such as an invalid Content-Encoding
            return None
        return body

    headers = {name.lower(): value for name, value in request.headers.items()}
    # As bytes: the query that aiohttp decodes can differ from the original.
    cookies = b";".join(value for name, value in request.raw_headers if name.lower() == b"cookie")
    query = request.rel_url.raw_query_string.encode("utf-8", "surrogateescape")
    return Incoming(
        method=request.method,
        path=request.rel_url.raw_path,
        raw_query=query,
        headers=headers,
        raw_cookies=cookies,
        read=read,
    )
