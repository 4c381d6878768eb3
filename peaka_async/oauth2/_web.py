"""What answers at the flow's URLs, for any framework."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, final
from urllib.parse import parse_qsl

import attrs

from peaka_async.errors import (
    AuthorizationDenied,
    ConfigurationError,
    InvalidRedirect,
    OAuth2Error,
    OutcomeUnknownError,
    PeakaError,
    RateLimitError,
    Replayed,
    StateMismatch,
    TransportError,
)
from peaka_async.models.connections import Connection
from peaka_async.oauth2._connect_request import ConnectRequest
from peaka_async.oauth2._cookies import FlowCookies
from peaka_async.oauth2._flow import ConnectFlow
from peaka_async.oauth2._incoming import Incoming, Reply, trace_of
from peaka_async.oauth2._notices import REENTRY_FIELD, Notice, default_page, reentry_page
from peaka_async.oauth2._pending import PendingFlow
from peaka_async.oauth2._refusals import is_incomplete, nothing_sent

__all__ = ["ConnectWeb"]

R = TypeVar("R")

_log = logging.getLogger("peaka_async.oauth2")
_LEVELS = {"failed": logging.WARNING, "unknown": logging.WARNING, "unreachable": logging.WARNING}

_METHODS: dict[str, frozenset[str]] = {
    "begin": frozenset({"GET", "POST"}),
    "return": frozenset({"GET", "POST"}),
    "forward": frozenset({"GET", "POST"}),
    "result": frozenset({"GET"}),
}
ACTIONS = frozenset(_METHODS)

_MAX_BODY_BYTES = 64 * 1024
_MAX_REENTRY_BYTES = 2 * _MAX_BODY_BYTES + 64  # in hexadecimal digits
_FORM = "application/x-www-form-urlencoded"
_REENTRY = re.compile(rb"%s=((?:[0-9a-f]{2})+)" % REENTRY_FIELD.encode())

_TEMPORARY, _SEE_OTHER = 307, 303


@final
@attrs.frozen(kw_only=True)
class ConnectWeb(Generic[R]):
    """A connect flow behind URLs, of which `begin` starts a flow, `return` takes the provider's or Peaka's redirect.

    `forward` takes a redirect that is forwarded to Peaka, and `result` shows what became of a flow. Give it to
    `aiohttp_web.connect_routes` or to `asgi.ConnectApp`.

    A flow is bound to the user who began it, and to the browser, by a signed cookie. HEAD requests and prefetches
    start and complete nothing. A code leaves the address bar before what became of it is shown. What the application's
    own functions raise passes through, `on_connected` included; the outcome is then kept as unknown.

    Args:
        flow: what begins and ends flows; where a connection is to be stored, give it `on_connected`.
        user_ref: tells who the signed-in user is, by a name that does not change; None where nobody is.
        connect_request: tells what a request to begin may connect; None if nothing.
        secret: signs the cookies: 16 random characters or more, the same on all replicas. Of several the first one
            signs, and all are accepted.
        page: makes the HTML of a page; a plain one is shown where it is left out.
        insecure_cookies: leave out the cookies' `Secure` and their prefix `__Host-`, for http:// on a developer's
            machine.

    Raises:
        ConfigurationError: the secret is too short, or the package itsdangerous is missing.
    """

    flow: ConnectFlow
    user_ref: Callable[[R], Awaitable[str | None]]
    connect_request: Callable[[R], Awaitable[ConnectRequest | None]]
    secret: str | Sequence[str] = attrs.field(repr=False)
    page: Callable[[R, Notice], Awaitable[str]] | None = None
    insecure_cookies: bool = False
    _cookies: FlowCookies = attrs.field(
        init=False,
        repr=False,
        default=attrs.Factory(
            lambda self: FlowCookies(self.secret, insecure=self.insecure_cookies),
            takes_self=True,
        ),
    )

    async def handle(self, action: str, incoming: Incoming, request: R) -> Reply:
        """Reply a request; `request` is the framework's, for the application's own functions."""
        unwanted = _unwanted(action, incoming)
        if unwanted is not None:
            return unwanted
        with trace_of(incoming):
            if action == "begin":
                return await self._begin(incoming, request)
            if action == "result":
                return await self._result(incoming, request)
            return await self._come_back(action, incoming, request)

    async def _begin(self, incoming: Incoming, request: R) -> Reply:
        if incoming.cross_site:
            return await self._show(request, _refused(None, status=403))
        user = await self.user_ref(request)
        if not user:
            return await self._show(request, _SIGN_IN)
        wanted = await self.connect_request(request)
        if wanted is None:
            return await self._show(request, _NOT_OFFERED)
        try:
            pending = await self.flow.start(wanted, user_ref=user)
        except PeakaError as error:
            return await self._show(request, _failed(None, error))
        # It lives as long as the flow and its result, or the question what became of it.
        seconds = self.flow.seconds + max(self.flow.seconds, self.flow.unknown_seconds)
        cookies = self._cookies.headers(incoming, pending.id, seconds=seconds)
        return Reply(_SEE_OTHER, (("Location", str(pending.consent_url)), *cookies))

    async def _come_back(self, action: str, incoming: Incoming, request: R) -> Reply:
        raw_query = incoming.raw_query
        if incoming.method == "POST":
            posted = await _posted(incoming)
            if isinstance(posted, Reply):
                return posted
            raw_query = posted
        user = await self.user_ref(request)
        if not user:
            return await self._show(request, _SIGN_IN)
        try:
            pending = await self.flow.find(b"?" + raw_query, user_ref=user)
            self._check_browser(incoming, pending)
            if action == "forward":
                return await self._forward(incoming.method, pending, raw_query, user)
            return await self._complete(pending, raw_query, user)
        except (StateMismatch, InvalidRedirect) as error:
            return await self._show(request, _refused(error, status=400 if isinstance(error, InvalidRedirect) else 403))
        except (TransportError, RateLimitError, ConfigurationError) as error:
            return await self._show(request, _unreachable(error))

    async def _forward(self, method: str, pending: PendingFlow, raw_query: bytes, user: str) -> Reply:
        try:
            url = await self.flow.forward(b"?" + raw_query, user_ref=user)
        except Replayed:
            return Reply(_SEE_OTHER, (("Location", _result_url(pending)),))
        # After a POST a 307 would post the form to Peaka.
        return Reply(_TEMPORARY if method == "GET" else _SEE_OTHER, (("Location", url),))

    async def _complete(self, pending: PendingFlow, raw_query: bytes, user: str) -> Reply:
        location = _result_url(pending)
        try:
            await self.flow.complete(b"?" + raw_query, user_ref=user)
        except (StateMismatch, InvalidRedirect):
            raise
        except Replayed:
            # Another code for the same state, as after a double click on the consent: what the first one made is shown.
            pass
        except PeakaError as error:
            if nothing_sent(error):
                raise
        else:
            location = pending.return_to or location
        return Reply(_SEE_OTHER, (("Location", location),))

    async def _result(self, incoming: Incoming, request: R) -> Reply:
        user = await self.user_ref(request)
        if not user:
            return await self._show(request, _SIGN_IN)
        flow_id = dict(parse_qsl(incoming.raw_query.decode("latin-1"))).get("flow", "")
        try:
            pending = await self.flow.get(flow_id, user_ref=user)
            self._check_browser(incoming, pending)
        except OAuth2Error as error:
            return await self._show(request, _refused(error, status=403))
        try:
            connection = await self._outcome(pending, user)
        except PeakaError as error:
            return await self._show(request, _ended(pending, error))
        return await self._show(request, _connected(pending, connection))

    async def _outcome(self, pending: PendingFlow, user: str) -> Connection:
        try:
            return await self.flow.result(pending.id, user_ref=user)
        except OutcomeUnknownError:
            return await self.flow.resolve(pending)

    def _check_browser(self, incoming: Incoming, pending: PendingFlow) -> None:
        if not self._cookies.shown(incoming, pending.id):
            msg = "This return completes no flow: another browser began it. Nothing was sent."
            raise StateMismatch(msg, operation="oauth2.complete")

    async def _show(self, request: R, notice: Notice) -> Reply:
        if notice.error is not None:
            # As repr: what the provider wrote stays in its line.
            _log.log(_LEVELS.get(notice.kind, logging.INFO), "A connect flow was %s: %r", notice.kind, notice.error)
        if self.page is None:
            return default_page(notice)
        return Reply(notice.status, body=await self.page(request, notice))


def _result_url(pending: PendingFlow) -> str:
    """Beside the URL at hand, wherever the application mounted it."""
    return f"result?flow={pending.id}"


def _unwanted(action: str, incoming: Incoming) -> Reply | None:
    """The answer to what starts and completes nothing."""
    methods = _METHODS.get(action)
    if methods is None:
        return Reply(404)
    if incoming.method == "HEAD":
        return Reply(204)
    if incoming.method not in methods:
        return Reply(405, (("Allow", ", ".join(sorted(methods))),))
    # A browser drops what it fetched in advance with this, and asks again when the person gets there.
    return Reply(503) if incoming.speculative else None


async def _posted(incoming: Incoming) -> bytes | Reply:
    """The query that was posted from this origin; or the page that posts from here what a provider's site posted.

    With response_mode=form_post the provider's site posts, and the browser holds its SameSite=Lax cookies back.
    """
    if not incoming.headers.get("content-type", "").lower().startswith(_FORM):
        return Reply(415)
    body = await incoming.read(_MAX_REENTRY_BYTES)
    reentry = None if body is None else _REENTRY.fullmatch(body)
    if body is None or (reentry is None and len(body) > _MAX_BODY_BYTES):
        return Reply(413)
    if reentry is None:
        return reentry_page(body)
    return bytes.fromhex(reentry[1].decode())


_SIGN_IN = Notice(
    kind="sign_in",
    status=401,
    title="Sign in first",
    text="Sign in to the application in this browser, and then reload this page.",
)
_NOT_OFFERED = Notice(
    kind="not_offered", status=404, title="This cannot be connected", text="Go back to the application and try again."
)


def _connected(flow: PendingFlow, connection: Connection) -> Notice:
    return Notice(
        kind="connected",
        status=200,
        title="Connected",
        text=f"{flow.name} is connected. You can close this page.",
        flow=flow,
        connection=connection,
    )


def _ended(flow: PendingFlow, error: PeakaError) -> Notice:
    if isinstance(error, AuthorizationDenied):
        return Notice(
            kind="denied",
            status=200,
            title="Not connected",
            text="You did not allow the access, or the provider refused it. Nothing was connected.",
            flow=flow,
            error=error,
        )
    if isinstance(error, TransportError) or is_incomplete(error):
        return Notice(
            kind="unknown",
            status=200,
            title="Not yet certain",
            text="It is not certain yet whether the connection was made. Reload this page to look again, or go back to "
            "the application and begin again.",
            flow=flow,
            error=error,
        )
    return _failed(flow, error)


def _failed(flow: PendingFlow | None, error: PeakaError) -> Notice:
    return Notice(
        kind="failed",
        status=502,
        title="The connection failed",
        text="Something went wrong on the way. Go back to the application and begin again.",
        flow=flow,
        error=error,
    )


def _refused(error: OAuth2Error | None, *, status: int) -> Notice:
    return Notice(
        kind="refused",
        status=status,
        title="This link cannot be used",
        text="It belongs to another browser or user, is too old, or was used before. It connected nothing. Begin "
        "again in the application.",
        error=error,
    )


def _unreachable(error: PeakaError) -> Notice:
    return Notice(
        kind="unreachable",
        status=503,
        title="Not reachable for the moment",
        text="Nothing was lost. Reload this page in a moment.",
        error=error,
    )
