"""A web service on aiohttp whose customers connect their data, from a button to a working connection.

`nox -s example_aiohttp` runs it against a local Peaka. With PEAKA_API_KEY, PEAKA_PROJECT_ID, OAUTH_CLIENT_ID and
OAUTH_CLIENT_SECRET in the environment it runs against the live service.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging

from _service import Service, Settings, is_cross_site, service_of
from aiohttp import web
from aiohttp_session import get_session, new_session
from aiohttp_session import setup as set_up_sessions
from aiohttp_session.cookie_storage import EncryptedCookieStorage

from peaka_async.oauth2 import ConnectRequest, ConnectWeb, protect_access_logs
from peaka_async.oauth2.aiohttp_web import connect_routes

SERVICE = web.AppKey("service", Service)
routes = web.RouteTableDef()


# The connect flow: who the user is, what the button connects, and four routes below /connect.


async def user_of(request: web.Request) -> str | None:
    return (await get_session(request)).get("user")


async def request_of(request: web.Request) -> ConnectRequest | None:
    return request.app[SERVICE].connect_request(request.query.get("connector", ""), str(await user_of(request)))


def make_app(service: Service) -> web.Application:
    settings = service.settings
    app = web.Application()
    app[SERVICE] = service
    connect = ConnectWeb(flow=service.flow, user_ref=user_of, connect_request=request_of, secret=settings.secret)
    app.add_routes([*routes, *connect_routes(connect, prefix="/connect")])
    key = hashlib.sha256(settings.secret.encode()).digest()
    # If the service is behind https, pass secure=True too.
    set_up_sessions(app, EncryptedCookieStorage(key, cookie_name="session", samesite="Lax"))
    return app


# The rest of the service: its own sign-in, and its page.


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    return web.Response(text=request.app[SERVICE].home(await user_of(request)), content_type="text/html")


@routes.post("/sign-in")
async def sign_in(request: web.Request) -> web.Response:
    user = str((await request.post()).get("user", ""))
    # Otherwise a page of an attacker could sign a victim in as the attacker, and the victim's data would be connected
    # to the attacker's account.
    if not user or is_cross_site(request.headers):
        return web.Response(status=403)
    session = await new_session(request)
    session["user"] = user
    return to_home()


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> web.Response:
    if is_cross_site(request.headers):
        return web.Response(status=403)
    (await get_session(request)).invalidate()
    return to_home()


def to_home() -> web.Response:
    return web.Response(status=303, headers={"Location": "/"})


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    protect_access_logs()
    settings = Settings.read("Connect data sources, on aiohttp.", port=8000)
    async with service_of(settings) as service:
        runner = web.AppRunner(make_app(service))
        await runner.setup()
        await web.TCPSite(runner, "localhost", settings.port).start()
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
