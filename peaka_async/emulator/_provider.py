"""The OAuth2 provider of the emulator's connectors: consent pages, and codes that work once."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Literal, Protocol, final
from urllib.parse import quote, urlencode, urlsplit

import attrs
from aiohttp import web

from peaka_async.emulator import _html
from peaka_async.emulator._clock import Clock

ResponseMode = Literal["query", "form_post"]

_REQUIRED = ("client_id", "redirect_uri", "state")
_DENIED = {"error": "access_denied", "error_description": "The user denied the request"}


@final
@attrs.frozen
class Grant:
    """The access that a connection uses; a code was exchanged for it."""

    id: str


class CodeRefused(Exception):
    """An authorization server refused a code; `revoked` is the grant that was revoked because of a second use."""

    def __init__(self, reason: str, *, revoked: Grant | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.revoked = revoked


class AuthorizationServer(Protocol):
    """The part of an OAuth2 provider that Peaka uses. It can replace the emulator's own provider."""

    def consent_url(self, *, client_id: str, redirect_uri: str, scope: str, state: str) -> str:
        """The URL that the customer's browser is sent to."""
        ...

    async def exchange(self, code: str, *, client_id: str, client_secret: str, redirect_uri: str) -> Grant:
        """Exchange a code for access.

        Raises:
            CodeRefused: the provider refuses the code.
        """
        ...


@final
@attrs.frozen
class Code:
    """An authorization code, and the number of times that it was presented."""

    value: str = attrs.field(repr=False)
    client_id: str
    redirect_uri: str
    expires_at: float
    presented: int = 0
    grant: Grant | None = None


class Provider:
    """Issues codes after consent, and accepts each of them once (RFC 6749, section 4.1).

    Args:
        code_seconds: how long a code is valid.
        response_mode: the response mode in consent URLs.
        clock: the clock for the expiry of codes.
    """

    def __init__(
        self, *, code_seconds: float = 600.0, response_mode: ResponseMode = "query", clock: Clock | None = None
    ) -> None:
        self.code_seconds = code_seconds
        self._clock = clock or Clock()
        self.response_mode = response_mode
        self.origin = ""
        self.codes: dict[str, Code] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/oauth2/authorize", self._ask), web.post("/oauth2/authorize", self._decide)]

    def consent_url(self, *, client_id: str, redirect_uri: str, scope: str, state: str) -> str:
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": state,
        }
        if self.response_mode != "query":
            query["response_mode"] = self.response_mode
        return f"{self.origin}/oauth2/authorize?{urlencode(query, quote_via=quote)}"

    async def exchange(self, code: str, *, client_id: str, client_secret: str, redirect_uri: str) -> Grant:  # noqa: ARG002 - any secret will do
        issued = self.codes.get(code)
        if issued is None:
            reason = "The code is unknown"
            raise CodeRefused(reason)
        issued = self.codes[code] = attrs.evolve(issued, presented=issued.presented + 1)
        if issued.presented > 1:
            reason = "The code was used before; its access is revoked"
            raise CodeRefused(reason, revoked=issued.grant)
        if (issued.client_id, issued.redirect_uri) != (client_id, redirect_uri):
            reason = "The code was issued to another client or redirect URI"
            raise CodeRefused(reason)
        if self._clock.now().timestamp() >= issued.expires_at:
            reason = "The code is expired"
            raise CodeRefused(reason)
        grant = Grant(secrets.token_hex(8))
        self.codes[code] = attrs.evolve(issued, grant=grant)
        return grant

    async def _ask(self, request: web.Request) -> web.Response:
        query = request.query
        if problem := _problem(query):
            return _invalid(problem)
        return _html.consent(
            client=query["client_id"],
            scopes=query.get("scope", "").split() or ["your account"],
            host=urlsplit(query["redirect_uri"]).netloc,
            action=request.rel_url.raw_path_qs,
        )

    async def _decide(self, request: web.Request) -> web.Response:
        query = request.query
        if problem := _problem(query):
            return _invalid(problem)
        decision = (await request.post()).get("decision")
        if decision == "allow":
            answer = {"code": self._issue(query["client_id"], query["redirect_uri"]).value}
        elif decision == "deny":
            answer = _DENIED
        else:
            return _invalid("The decision is neither allow nor deny.")
        return _deliver(query, {**answer, "state": query["state"]})

    def _issue(self, client_id: str, redirect_uri: str) -> Code:
        # Codes of real providers contain characters that must be percent-encoded in a query.
        noise = base64.b64encode(secrets.token_bytes(31)).decode()
        value = f"4/{secrets.token_hex(2)}+{noise}"
        code = Code(value, client_id, redirect_uri, self._clock.now().timestamp() + self.code_seconds)
        self.codes[value] = code
        return code


def _deliver(query: Mapping[str, str], answer: dict[str, str]) -> web.Response:
    target = query["redirect_uri"]
    if query.get("response_mode") == "form_post":
        return _html.form_post(action=target, host=urlsplit(target).netloc, fields=answer)
    return web.Response(
        status=303,
        headers={
            "Location": f"{target}{'&' if '?' in target else '?'}{urlencode(answer, quote_via=quote, safe='')}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        },
    )


def _problem(query: Mapping[str, str]) -> str | None:
    """The problem of an authorization request; an invalid request is never answered by a redirect."""
    missing = next((name for name in _REQUIRED if not query.get(name)), None)
    if missing:
        return f"{missing} is missing."
    if query.get("response_type") != "code":
        return "response_type must be code."
    if query.get("response_mode", "query") not in {"query", "form_post"}:
        return "response_mode must be query or form_post."
    return redirect_problem(query["redirect_uri"])


def redirect_problem(url: str) -> str | None:
    """The problem of a URL that a browser is to be sent to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "The redirect URI is not a URL."
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return "The redirect URI must be an http or https URL."
    if parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        return "The redirect URI holds a fragment or an invalid character."
    return None


def _invalid(problem: str) -> web.Response:
    return _html.notice("This request is not valid", problem, status=400)
