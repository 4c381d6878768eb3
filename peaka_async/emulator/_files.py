"""The second origin, which serves exported files through signed links that expire."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import deque
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from aiohttp import web

from peaka_async.emulator._clock import Clock

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_LEDGER_LENGTH = 10_000
_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message></Error>'


class Files:
    """The files of exports, and the requests for them.

    It behaves like object storage: a link works until it expires, a request can ask for a part of a file, and a request
    with an Authorization header is refused, because the link is the authorization.

    Args:
        clock: the clock for the expiry of links.
    """

    def __init__(self, clock: Clock) -> None:
        self.origin = ""
        self.targets: deque[str] = deque(maxlen=_LEDGER_LENGTH)
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._contents: dict[str, bytes] = {}

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/exports/{export}/{name}", self._get)
        return application

    def put(self, export_id: str, name: str, content: bytes) -> None:
        self._contents[f"{export_id}/{name}"] = content

    def size(self, export_id: str, name: str) -> int | None:
        """The size of a file; None if it was removed."""
        content = self._contents.get(f"{export_id}/{name}")
        return None if content is None else len(content)

    def remove(self, export_id: str) -> None:
        for path in [path for path in self._contents if path.startswith(f"{export_id}/")]:
            del self._contents[path]

    def link(self, export_id: str, name: str, seconds: float) -> str:
        """Make a link that works for this many seconds."""
        path = f"{export_id}/{name}"
        expires = int((self._clock.now() + timedelta(seconds=seconds)).timestamp())
        return f"{self.origin}/exports/{quote(path)}?X-Expires={expires}&X-Signature={self._sign(path, expires)}"

    def _sign(self, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()

    async def _get(self, request: web.Request) -> web.Response:
        self.targets.append(request.raw_path)
        path = f"{request.match_info['export']}/{request.match_info['name']}"
        expires = request.query.get("X-Expires", "")
        if "Authorization" in request.headers:
            return _refused(400, "InvalidArgument", "Only one auth mechanism allowed")
        if not expires.isdecimal() or not hmac.compare_digest(
            self._sign(path, int(expires)), request.query.get("X-Signature", "")
        ):
            return _refused(403, "SignatureDoesNotMatch", "The signature does not match")
        if self._clock.now() >= datetime.fromtimestamp(int(expires), UTC):
            return _refused(403, "AccessDenied", "Request has expired")
        content = self._contents.get(path)
        if content is None:
            return _refused(404, "NoSuchKey", "The file does not exist")
        return _part_of(content, request)


def _part_of(content: bytes, request: web.Request) -> web.Response:
    tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    if wanted is None or request.headers.get("If-Range", tag) != tag:
        return web.Response(body=content, headers=headers)
    first = int(wanted[1])
    if first >= len(content):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    last = min(int(wanted[2] or len(content) - 1), len(content) - 1)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return web.Response(status=206, body=content[first : last + 1], headers=headers)


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.Response(status=status, text=_ERROR.format(code, message), content_type="application/xml")
