"""The OAuth2 provider that the emulator's connectors belong to: consent pages, codes that work once."""

from __future__ import annotations

import base64
import html
import secrets
import time
from urllib.parse import quote, urlencode, urlsplit

import attrs
from aiohttp import web

_CODE_SECONDS = 600.0

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; background: #f3f4f6; color: #111827; margin: 0; }}
 main {{ max-width: 26rem; margin: 12vh auto; background: #fff; padding: 2rem; border-radius: 12px;
        box-shadow: 0 1px 8px #0002; }}
 h1 {{ font-size: 1.3rem; margin-top: 0; }}
 button {{ font: inherit; padding: .6rem 1.4rem; border-radius: 8px; border: 1px solid #d1d5db; cursor: pointer;
          background: #fff; margin-right: .5rem; }}
 button.allow {{ background: #1d4ed8; border-color: #1d4ed8; color: #fff; }}
 small {{ color: #6b7280; }}
</style></head><body><main>{body}</main></body></html>
"""

_CONSENT = """<h1>Allow access to your data?</h1>
<p><strong>{client}</strong> wants to read your <strong>{connector}</strong> account.</p>
<form method="post" action="{action}">
<button class="allow" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>
<p><small>You will be sent back to {host}. This is a local emulator; no real account is involved.</small></p>"""


@attrs.define
class Code:
    """An authorization code, and how often it was presented."""

    value: str
    client_id: str
    redirect_uri: str
    expires_at: float
    presented: int = 0


class Provider:
    """Issues codes by consent, and takes each of them once (RFC 6749, section 4.1)."""

    def __init__(self, *, code_seconds: float = _CODE_SECONDS) -> None:
        self.code_seconds = code_seconds
        self.codes: dict[str, Code] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/oauth2/authorize", self._ask), web.post("/oauth2/authorize", self._decide)]

    @staticmethod
    def consent_path(*, client_id: str, redirect_uri: str, state: str, scope: str) -> str:
        """The path and query of a consent page."""
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": state,
        }
        return f"/oauth2/authorize?{urlencode(query)}"

    def redeem(self, value: str, *, client_id: str, redirect_uri: str) -> Code | None:
        """Take a code; None where it is unknown, used, expired or somebody else's. Each presentation is counted."""
        code = self.codes.get(value)
        if code is None:
            return None
        code.presented += 1
        fits = (code.client_id, code.redirect_uri) == (client_id, redirect_uri)
        return code if fits and code.presented == 1 and time.monotonic() < code.expires_at else None

    async def _ask(self, request: web.Request) -> web.Response:
        problem = _problem(request)
        if problem is not None:
            return page("This request is not valid", f"<h1>This request is not valid</h1><p>{problem}</p>", status=400)
        query = request.query
        body = _CONSENT.format(
            client=html.escape(query["client_id"]),
            connector=html.escape(query.get("scope", "")),
            action=html.escape(request.rel_url.raw_path_qs, quote=True),
            host=html.escape(urlsplit(query["redirect_uri"]).netloc),
        )
        return page("Allow access?", body)

    async def _decide(self, request: web.Request) -> web.Response:
        problem = _problem(request)
        if problem is not None:
            return page("This request is not valid", f"<h1>This request is not valid</h1><p>{problem}</p>", status=400)
        form = await request.post()
        query = request.query
        if form.get("decision") == "allow":
            code = self._issue(query["client_id"], query["redirect_uri"])
            answer = f"code={quote(code.value, safe='')}&state={quote(query['state'], safe='')}"
        else:
            answer = (
                "error=access_denied&error_description=The+user+did+not+allow+it"
                f"&state={quote(query['state'], safe='')}"
            )
        target = query["redirect_uri"]
        return web.Response(
            status=303,
            headers={
                "Location": f"{target}{'&' if '?' in target else '?'}{answer}",
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            },
        )

    def _issue(self, client_id: str, redirect_uri: str) -> Code:
        # Standard Base64: codes of real providers hold characters that a query has to percent-encode.
        value = "4/" + base64.b64encode(secrets.token_bytes(31)).decode() + "+"
        code = Code(value, client_id, redirect_uri, time.monotonic() + self.code_seconds)
        self.codes[value] = code
        return code


def page(title: str, body: str, *, status: int = 200) -> web.Response:
    """An HTML page that no cache and no frame keeps."""
    return web.Response(
        status=status,
        text=_PAGE.format(title=html.escape(title), body=body),
        content_type="text/html",
        headers={"Cache-Control": "no-store", "X-Frame-Options": "DENY"},
    )


def _problem(request: web.Request) -> str | None:
    query = request.query
    for name in ("client_id", "redirect_uri", "state"):
        if not query.get(name):
            return f"<code>{name}</code> is missing."
    if query.get("response_type") != "code":
        return "<code>response_type</code> must be <code>code</code>."
    if urlsplit(query["redirect_uri"]).scheme not in {"http", "https"}:
        return "<code>redirect_uri</code> must be an http or https URL."
    return None
