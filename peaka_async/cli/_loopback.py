"""A port on this machine where a browser returns to."""

from __future__ import annotations

import asyncio
import html
from types import TracebackType
from typing import Self, final

from aiohttp import web

_PATH = "/return"
_MAX_WAITING = 100
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem">
<h1>{title}</h1><p>You can close this window and go back to the terminal.</p></body></html>
"""


@final
class Loopback:
    """Takes returns that carry a query, and shows a page to whoever asks."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._runner: web.AppRunner | None = None
        self._queries: asyncio.Queue[str] = asyncio.Queue(_MAX_WAITING)
        self.url = ""

    async def query(self) -> str:
        """Wait for a return, and give its raw query."""
        return await self._queries.get()

    async def __aenter__(self) -> Self:
        app = web.Application()
        # A HEAD request, which a preview may make, is no return.
        app.router.add_get(_PATH, self._take, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{_PATH}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        query = request.rel_url.raw_query_string
        title = "Nothing came back"
        if query and not self._queries.full():
            self._queries.put_nowait(query)
            title = "The connection is on its way"
        return web.Response(
            text=_PAGE.format(title=html.escape(title)),
            content_type="text/html",
            headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
        )
