"""A web service on FastAPI whose customers connect their data, from a button to a working connection.

`nox -s example_fastapi` runs it against a local Peaka. With PEAKA_API_KEY, PEAKA_PROJECT_ID, OAUTH_CLIENT_ID and
OAUTH_CLIENT_SECRET in the environment it runs against the live service.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Annotated

import uvicorn
from _service import Service, Settings, is_cross_site, service_of
from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware

from peaka_async.oauth2 import ConnectRequest, ConnectWeb, protect_access_logs
from peaka_async.oauth2.asgi import AsgiRequest, ConnectApp


def make_app(service: Service) -> FastAPI:
    settings = service.settings
    app = FastAPI()
    # If the service is behind https, pass https_only=True too.
    app.add_middleware(SessionMiddleware, secret_key=settings.secret, same_site="lax")

    # The connect flow: who the user is, what the button connects, and an application below /connect.

    async def user_of(asked: AsgiRequest) -> str | None:
        return Request(asked.scope).session.get("user")

    async def request_of(asked: AsgiRequest) -> ConnectRequest | None:
        return service.connect_request(
            Request(asked.scope).query_params.get("connector", ""), str(await user_of(asked))
        )

    connect = ConnectWeb(flow=service.flow, user_ref=user_of, connect_request=request_of, secret=settings.secret)
    app.mount("/connect", ConnectApp(connect))

    # The rest of the service: its own sign-in, and its page.

    @app.get("/")
    async def home(request: Request) -> HTMLResponse:
        return HTMLResponse(service.home(request.session.get("user")))

    @app.post("/sign-in")
    async def sign_in(request: Request, user: Annotated[str, Form(min_length=1)]) -> Response:
        # Otherwise a page of an attacker could sign a victim in as the attacker, and the victim's data would be
        # connected to the attacker's account.
        if is_cross_site(request.headers):
            return Response(status_code=403)
        request.session["user"] = user
        return RedirectResponse("/", status_code=303)

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        if is_cross_site(request.headers):
            return Response(status_code=403)
        request.session.clear()
        return RedirectResponse("/", status_code=303)

    return app


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    protect_access_logs()
    settings = Settings.read("Connect data sources, on FastAPI.", port=8001)
    async with service_of(settings) as service:
        await uvicorn.Server(uvicorn.Config(make_app(service), host="localhost", port=settings.port)).serve()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
