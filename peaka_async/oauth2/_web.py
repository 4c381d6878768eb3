"""What answers at the flow's URLs, for any framework."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
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
from peaka_async.oauth2._connect_request import ConnectRequest, OwnApp, PeakaApp, is_local_path
from peaka_async.oauth2._cookies import FlowCookies
from peaka_async.oauth2._flow import ConnectFlow, Delivery
from peaka_async.oauth2._incoming import Incoming, Reply, trace_of
from peaka_async.oauth2._notices import REENTRY_FIELD, Notice, default_page, reentry_page
from peaka_async.oauth2._pending import PendingFlow
from peaka_async.oauth2._refusals import NotSavedError, TooManyFlowsError, is_incomplete, mismatch, nothing_sent

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

# A reload may call on_connected again after it failed or its process ended, and no more than that.
_MAX_TOLD = 2


def _check_home(_: object, __: object, value: str) -> None:
    if not isinstance(value, str) or not is_local_path(value):
        msg = "home must be a path of the same origin, percent-encoded, such as /settings."
        raise ConfigurationError(msg)


@final
@attrs.frozen(kw_only=True)
class ConnectWeb(Generic[R]):
    """A connect flow behind URLs: `begin` starts a flow, and `return` takes the provider's or Peaka's redirect.

    `forward` takes a redirect that is forwarded to Peaka, and `result` shows what became of a flow. Give it to
    `aiohttp_web.connect_routes` or to `asgi.ConnectApp`.

    A flow is bound to the user who began it, and to the browser, by a signed cookie that ends with the flow. A person
    begins it: pages of other origins, prefetches and HEAD requests start and complete nothing. The code leaves the
    address bar before the result is shown. If something of the application fails, the error is logged and the browser
    gets a page; the frameworks' own HTTPException passes through.

    Args:
        flow: what begins and ends flows; to save connections, give it `on_connected`.
        user_ref: tells who the signed-in user is, by an id that does not change; None if nobody is signed in.
        connect_request: tells what a request to begin may connect; None if nothing.
        secret: signs the cookies: 16 random characters or more, the same on all replicas. If there are several, the
            first one signs, and all are accepted.
        session_ref: tells the id of the application's session, which a flow is then bound to: signing out ends it.
        page: makes the HTML of a page; a plain one is shown if it is left out.
        home: the path of the application that pages lead back to, unless the flow has a `return_to`.
        begin_origins: origins whose pages may begin a flow beside this one, such as `https://app.example`.
        begin_by_get: whether a link may begin a flow; else only a form can.
        accept_unchecked_consent: allow `PeakaApp` and `OwnApp`, with which Peaka completes a connection before it is
            checked whose browser gave the consent.
        check_redirect_url: refuse a return that came to another path than its flow's redirect URL. Switch it off if a
            proxy rewrites paths.
        insecure_cookies: leave out the cookies' `Secure` and their prefix `__Host-`, for http:// on a developer's
            machine.

    Raises:
        ConfigurationError: the secret is too short, `home` is not a local path, or the package itsdangerous is
            missing.
    """

    flow: ConnectFlow
    user_ref: Callable[[R], Awaitable[str | None]]
    connect_request: Callable[[R], Awaitable[ConnectRequest | None]]
    secret: str | Sequence[str] = attrs.field(repr=False)
    session_ref: Callable[[R], Awaitable[str | None]] | None = None
    page: Callable[[R, Notice], Awaitable[str]] | None = None
    home: str = attrs.field(default="/", validator=_check_home)
    begin_origins: Collection[str] = ()
    begin_by_get: bool = True
    accept_unchecked_consent: bool = False
    check_redirect_url: bool = True
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
        """Answer a request; `request` is the framework's, for the application's own functions."""
        methods = _METHODS.get(action)
        if action == "begin" and not self.begin_by_get:
            methods = frozenset({"POST"})
        unwanted = _unwanted(methods, incoming)
        if unwanted is not None:
            return unwanted
        with trace_of(incoming):
            try:
                if action == "begin":
                    return await self._begin(incoming, request)
                if action == "result":
                    return await self._result(incoming, request)
                return await self._come_back(action, incoming, request)
            except Exception as error:
                if _is_response(error):
                    raise
                # A store, or a function of the application.
                _log.exception("%s failed in the connect flow's %s", type(error).__name__, action)
                return default_page(attrs.evolve(_UNREACHABLE, back=self.home))

    async def _begin(self, incoming: Incoming, request: R) -> Reply:
        if not incoming.is_navigation_from(self.begin_origins):
            return await self._show(request, _refused(None, status=403))
        user = await self.user_ref(request)
        if not user:
            return await self._show(request, _SIGN_IN)
        wanted = await self.connect_request(request)
        if wanted is None:
            return await self._show(request, _NOT_OFFERED)
        try:
            self._check_variant(wanted)
            pending = await self.flow.start(wanted, user_ref=user)
        except TooManyFlowsError as error:
            reply = await self._show(request, attrs.evolve(_TOO_MANY, error=error))
            return reply.with_headers(("Retry-After", f"{error.retry_after:.0f}"))
        except PeakaError as error:
            return await self._show(request, _failed(None, error))
        # It lives as long as the flow and its result, or the question what became of it.
        seconds = self.flow.seconds + max(self.flow.seconds, self.flow.unknown_seconds)
        session = await self._session(request)
        cookies = self._cookies.given(incoming, pending, session=session, seconds=seconds)
        return Reply(_SEE_OTHER, (("Location", str(pending.consent_url)), *cookies))

    def _check_variant(self, wanted: ConnectRequest) -> None:
        if isinstance(wanted.via, PeakaApp | OwnApp) and not self.accept_unchecked_consent:
            msg = (
                f"{type(wanted.via).__name__} lets Peaka complete a connection before anybody checks whose browser "
                "consented. Use OwnRedirect or ForwardedRedirect, or accept_unchecked_consent=True. Nothing was sent."
            )
            raise ConfigurationError(msg, operation="oauth2.start")

    async def _come_back(self, action: str, incoming: Incoming, request: R) -> Reply:
        user = await self.user_ref(request)
        # A provider's post comes without cookies, and so without a user. Nobody else's body is read without one.
        if user or (incoming.method == "POST" and incoming.may_be_from_elsewhere):
            raw_query = await self._posted(incoming) if incoming.method == "POST" else incoming.raw_query
            if isinstance(raw_query, Reply):
                return raw_query
            if user:
                return await self._delivered(action, incoming, request, raw_query=raw_query, user=user)
        return await self._show(request, _SIGN_IN)

    async def _delivered(self, action: str, incoming: Incoming, request: R, *, raw_query: bytes, user: str) -> Reply:
        try:
            delivery = await self.flow.receive(raw_query, user_ref=user)
            self._check_place(action, incoming, delivery)
            if not delivery.ended:
                await self._check_browser(incoming, request, delivery.flow)
            if action == "forward":
                return await self._forward(incoming.method, delivery, user)
            return await self._complete(delivery, user)
        except (StateMismatch, InvalidRedirect) as error:
            return await self._show(request, _refused(error, status=400 if isinstance(error, InvalidRedirect) else 403))
        except (TransportError, RateLimitError, ConfigurationError) as error:
            return await self._show(request, attrs.evolve(_UNREACHABLE, error=error))

    async def _forward(self, method: str, delivery: Delivery, user: str) -> Reply:
        try:
            url = await self.flow.forward(delivery, user_ref=user)
        except Replayed:
            return Reply(_SEE_OTHER, (("Location", _result_url(delivery.flow)),))
        # After a POST a 307 would post the form to Peaka.
        return Reply(_TEMPORARY if method == "GET" else _SEE_OTHER, (("Location", url),))

    async def _complete(self, delivery: Delivery, user: str) -> Reply:
        pending = delivery.flow
        shown = Reply(_SEE_OTHER, (("Location", _result_url(pending)),))
        try:
            await self.flow.complete(delivery, user_ref=user)
        except (StateMismatch, InvalidRedirect):
            raise
        except PeakaError as error:
            # Also Replayed: another code for the same state, as after a double click on the consent. What the first one
            # made is shown.
            if nothing_sent(error):
                raise
            return shown
        if pending.return_to is None:
            return shown
        return Reply(_SEE_OTHER, (("Location", pending.return_to), self._cookies.removed(pending)))

    async def _result(self, incoming: Incoming, request: R) -> Reply:
        user = await self.user_ref(request)
        if not user:
            return await self._show(request, _SIGN_IN)
        flow_id = dict(parse_qsl(incoming.raw_query.decode("latin-1"))).get("flow", "")
        try:
            pending = await self.flow.get(flow_id, user_ref=user)
        except OAuth2Error as error:
            return await self._show(request, _refused(error, status=403))
        try:
            notice = _connected(pending, await self.flow.result(flow_id, user_ref=user))
        except (OutcomeUnknownError, NotSavedError):
            # Only the browser that began a flow has something happen to it.
            try:
                await self._check_browser(incoming, request, pending)
            except StateMismatch as error:
                return await self._show(request, _refused(error, status=403))
            notice = await self._resolved(pending)
        except PeakaError as error:
            notice = _ended(pending, error)
        reply = await self._show(request, notice)
        return reply.with_headers(self._cookies.removed(pending)) if notice.kind in _ENDS else reply

    async def _resolved(self, pending: PendingFlow) -> Notice:
        try:
            return _connected(pending, await self.flow.resolve(pending, max_told=_MAX_TOLD))
        except PeakaError as error:
            return _ended(pending, error)

    def _check_place(self, action: str, incoming: Incoming, delivery: Delivery) -> None:
        url = delivery.flow.forward_url if action == "forward" else delivery.flow.return_url
        if self.check_redirect_url and (url is None or not incoming.is_at(url)):
            raise mismatch("it came to another URL than the flow's")

    async def _check_browser(self, incoming: Incoming, request: R, pending: PendingFlow) -> None:
        if not self._cookies.shown(incoming, pending, session=await self._session(request)):
            raise mismatch("another browser, or a session that has ended, began it")

    async def _session(self, request: R) -> str | None:
        return None if self.session_ref is None else await self.session_ref(request)

    async def _posted(self, incoming: Incoming) -> bytes | Reply:
        """The query that was posted from this origin; or the page that posts from here what a provider's site posted.

        With response_mode=form_post the provider's site posts, and the browser holds its SameSite=Lax cookies back.
        """
        encoding = incoming.headers.get("content-encoding", "identity").strip().lower()
        if not incoming.headers.get("content-type", "").lower().startswith(_FORM) or encoding != "identity":
            return Reply(415)
        body = await incoming.read(_MAX_REENTRY_BYTES)
        reentry = None if body is None else _REENTRY.fullmatch(body)
        if body is None or (reentry is None and len(body) > _MAX_BODY_BYTES):
            return Reply(413)
        if reentry is None:
            return reentry_page(body, back=self.home)
        return bytes.fromhex(reentry[1].decode())

    async def _show(self, request: R, notice: Notice) -> Reply:
        if notice.error is not None:
            # As repr: what the provider wrote stays in its line.
            _log.log(_LEVELS.get(notice.kind, logging.INFO), "A connect flow was %s: %r", notice.kind, notice.error)
        back = notice.flow.return_to if notice.flow is not None else None
        notice = attrs.evolve(notice, back=back or self.home)
        if self.page is None:
            return default_page(notice)
        return Reply(notice.status, body=await self.page(request, notice))


def _is_response(error: Exception) -> bool:
    """Whether a framework makes its own response of it, such as a redirect to a sign-in.

    aiohttp, Starlette, FastAPI, Litestar and Quart call its class the same, and none of them is imported here.
    """
    return any(each.__name__ == "HTTPException" for each in type(error).__mro__)


def _result_url(pending: PendingFlow) -> str:
    """Beside the URL at hand, wherever the application mounted it."""
    return f"result?flow={pending.id}"


def _unwanted(methods: frozenset[str] | None, incoming: Incoming) -> Reply | None:
    """The reply to what starts and completes nothing."""
    if methods is None:
        return Reply(404)
    if incoming.method == "HEAD":
        return Reply(204)
    if incoming.method not in methods:
        return Reply(405, (("Allow", ", ".join(sorted(methods))),))
    # A browser drops what it fetched in advance with this, and asks again when the person gets there.
    return Reply(503) if incoming.is_speculative else None


_SIGN_IN = Notice(
    kind="sign_in",
    status=401,
    title="Sign in first",
    text="Sign in to the application in this browser, and then reload this page.",
)
_NOT_OFFERED = Notice(
    kind="not_offered",
    status=404,
    title="This connection is not available",
    text="Go back to the application and choose another one.",
)
_TOO_MANY = Notice(
    kind="too_many",
    status=429,
    title="Too many attempts",
    text="You have begun several connections within a minute. Wait a minute, and then try again.",
)
_UNREACHABLE = Notice(
    kind="unreachable",
    status=503,
    title="Temporarily unavailable",
    text="Nothing was lost. Reload this page in a moment.",
)

_ENDS = frozenset({"connected", "denied", "failed"})


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
    if isinstance(error, NotSavedError):
        return Notice(
            kind="not_saved",
            status=503,
            title="Connected, but not saved yet",
            text=f"{flow.name} is connected, but the application could not save it yet. Reload this page in a moment.",
            flow=flow,
            connection=error.connection,
            error=error,
        )
    if isinstance(error, AuthorizationDenied):
        return Notice(
            kind="denied",
            status=200,
            title="Nothing was connected",
            text="You did not allow the access, or the provider refused it.",
            flow=flow,
            error=error,
        )
    if isinstance(error, TransportError) or is_incomplete(error):
        return Notice(
            kind="unknown",
            status=200,
            title="Still checking",
            text="We do not know yet whether the connection was made. Reload this page to check again, or go back to "
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
