"""A port on this machine, at which a browser starts, and to which it returns."""

from __future__ import annotations

import asyncio
import contextlib
import html
import secrets
from types import TracebackType
from typing import Self, final

import attrs
from aiohttp import web

_GO, _RETURN = "/go", "/return"
_MAX_WAITING = 100
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""


@final
@attrs.frozen
class Visit:
    """A return, and the page that its browser will get."""

    query: str = attrs.field(repr=False)
    shown: asyncio.Future[tuple[str, str]] = attrs.field(repr=False)

    def show(self, title: str, text: str) -> None:
        if not self.shown.done():
            self.shown.set_result((title, text))


@final
class Loopback:
    """Sends a browser to the consent page, takes its return, and shows the result."""

    def __init__(self, port: int = 0, *, seconds: float = 60.0) -> None:
        self._port = port
        self._seconds = seconds
        self._runner: web.AppRunner | None = None
        self._visits: asyncio.Queue[Visit] = asyncio.Queue(_MAX_WAITING)
        self._targets: dict[str, str] = {}
        self.url = ""

    def once(self, url: str) -> str:
        """An address on this port that redirects to the URL, once.

        A browser is started with an address as its argument, and on most systems other users can see arguments.
        """
        token = secrets.token_urlsafe(16)
        self._targets[token] = url
        return f"{self.url.removesuffix(_RETURN)}{_GO}/{token}"

    async def visit(self) -> Visit:
        """Wait for a return."""
        return await self._visits.get()

    async def __aenter__(self) -> Self:
        app = web.Application()
        # A HEAD request, such as that of a preview, is not a return.
        app.router.add_get(_RETURN, self._take, allow_head=False)
        app.router.add_get(f"{_GO}/{{token}}", self._go, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{_RETURN}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _go(self, request: web.Request) -> web.Response:
        url = self._targets.pop(request.match_info["token"], None)
        if url is None:
            return _page("This link was used before", "Go back to the terminal, and start again.", status=410)
        return web.Response(status=303, headers={**_HEADERS, "Location": url})

    async def _take(self, request: web.Request) -> web.Response:
        query = request.rel_url.raw_query_string
        if not query or self._visits.full():
            return _page("Nothing came back", "This is not the return of a consent page.", status=400)
        visit = Visit(query, asyncio.get_running_loop().create_future())
        self._visits.put_nowait(visit)
        title, text = "The connection is being completed", "Go back to the terminal to see the result."
        with contextlib.suppress(TimeoutError):
            title, text = await asyncio.wait_for(visit.shown, self._seconds)
        return _page(title, text)


def _page(title: str, text: str, *, status: int = 200) -> web.Response:
    body = _PAGE.format(title=html.escape(title), text=html.escape(text))
    return web.Response(text=body, status=status, content_type="text/html", headers=_HEADERS)
