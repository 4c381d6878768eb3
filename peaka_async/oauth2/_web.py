"""The handlers of the flow's URLs, for any framework."""

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
from peaka_async.oauth2._incoming import Incoming, Reply
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

# A reload may call on_connected again only if it failed or its process ended, up to this number of calls.
_MAX_TOLD = 2


def _check_home(_: object, __: object, value: str) -> None:
    if not isinstance(value, str) or not is_local_path(value):
        msg = "home must be a path of the same origin, percent-encoded, such as /settings."
        raise ConfigurationError(msg)


@final
@attrs.frozen(kw_only=True)
class ConnectWeb(Generic[R]):
    """The URLs of a connect flow: `begin` starts a flow, and `return` takes the redirect of the provider or of Peaka.

    `forward` takes a redirect that is forwarded to Peaka, and `result` shows the outcome of a flow. Pass it to
    `aiohttp_web.connect_routes` or to `asgi.ConnectApp`.

    A signed cookie binds a flow to the user and the browser that started it; it expires with the flow. Only a person
    can start a flow: pages of other origins, prefetches and HEAD requests start and complete nothing. The code is
    removed from the address bar before the result is shown. If a function of the application fails, the error is logged
    and the browser gets a page; the framework's own HTTPException is passed on.

    Args:
        flow: the connect flow. To save connections, set its `on_connected`.
        user_ref: returns the id of the signed-in user, which must not change; None if nobody is signed in.
        connect_request: returns the connect request for a request to `begin`; None if there is none.
        secret: signs the cookies. It has 16 or more random characters, and is the same on all replicas. If there are
            several secrets, the first one signs, and all are accepted.
        session_ref: returns the id of the application's session. The flow is bound to it, so signing out ends the flow.
        page: makes the HTML of a page. By default a plain page is shown.
        home: the path in the application that pages link to, unless the flow has a `return_to`.
        begin_origins: other origins whose pages may start a flow, such as `https://app.example`.
        begin_by_get: whether a link may start a flow. Otherwise only a form can.
        accept_unchecked_consent: allow `PeakaApp` and `OwnApp`. With them, Peaka completes a connection before the
            browser that gave the consent is checked.
        check_redirect_url: refuse a return to another path than that of the flow's redirect URL. Switch it off if a
            proxy rewrites paths.
        insecure_cookies: leave out the cookies' `Secure` flag and their prefix `__Host-`, for http:// on a developer's
            machine.
        trust_traceparent: continue the trace that a request names, if a proxy of yours writes that header. Otherwise
            the spans are linked with it: a browser could send any.

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
    trust_traceparent: bool = False
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
        with self.flow.trace_of(incoming.headers, trusted=self.trust_traceparent):
            try:
                if action == "begin":
                    return await self._begin(incoming, request)
                if action == "result":
                    return await self._result(incoming, request)
                return await self._come_back(action, incoming, request)
            except Exception as error:
                if _is_response(error):
                    raise
                # An error of a store, or of a function of the application.
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
        # The cookie lives as long as the flow and its result, or as long as an unknown outcome can be resolved.
        seconds = self.flow.seconds + max(self.flow.seconds, self.flow.unknown_seconds)
        session = await self._session(request)
        cookies = self._cookies.given(incoming, pending, session=session, seconds=seconds)
        return Reply(_SEE_OTHER, (("Location", str(pending.consent_url)), *cookies))

    def _check_variant(self, wanted: ConnectRequest) -> None:
        if isinstance(wanted.via, PeakaApp | OwnApp) and not self.accept_unchecked_consent:
            msg = (
                f"{type(wanted.via).__name__} lets Peaka complete a connection before the browser that consented is "
                "checked. Use OwnRedirect or ForwardedRedirect, or accept_unchecked_consent=True. Nothing was sent."
            )
            raise ConfigurationError(msg, operation="oauth2.start")

    async def _come_back(self, action: str, incoming: Incoming, request: R) -> Reply:
        user = await self.user_ref(request)
        # A provider's POST has no cookies, and so no user. Other bodies are read only if there is a user.
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
        # After a POST, a 307 would post the form to Peaka.
        return Reply(_TEMPORARY if method == "GET" else _SEE_OTHER, (("Location", url),))

    async def _complete(self, delivery: Delivery, user: str) -> Reply:
        pending = delivery.flow
        shown = Reply(_SEE_OTHER, (("Location", _result_url(pending)),))
        try:
            await self.flow.complete(delivery, user_ref=user)
        except (StateMismatch, InvalidRedirect):
            raise
        except PeakaError as error:
            # This includes Replayed: another code for the same state, as after a double click on the consent page. The
            # result of the first one is shown.
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
            # Only the browser that started a flow may change it.
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
            raise mismatch("it was sent to another URL than that of the flow")

    async def _check_browser(self, incoming: Incoming, request: R, pending: PendingFlow) -> None:
        if not self._cookies.shown(incoming, pending, session=await self._session(request)):
            raise mismatch("another browser, or a session that has ended, started it")

    async def _session(self, request: R) -> str | None:
        return None if self.session_ref is None else await self.session_ref(request)

    async def _posted(self, incoming: Incoming) -> bytes | Reply:
        """The query that was posted from this origin, or the page that posts a provider's form again from here.

        With response_mode=form_post the provider's site posts the form, so the browser does not send SameSite=Lax
        cookies.
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
            # As repr, so that the provider's text stays in one line.
            _log.log(_LEVELS.get(notice.kind, logging.INFO), "A connect flow was %s: %r", notice.kind, notice.error)
        back = notice.flow.return_to if notice.flow is not None else None
        notice = attrs.evolve(notice, back=back or self.home)
        if self.page is None:
            return default_page(notice)
        return Reply(notice.status, body=await self.page(request, notice))


def _is_response(error: Exception) -> bool:
    """Whether a framework converts the error to a response, such as a redirect to a sign-in page.

    aiohttp, Starlette, FastAPI, Litestar and Quart use the same name for its class; none of them is imported here.
    """
    return any(each.__name__ == "HTTPException" for each in type(error).__mro__)


def _result_url(pending: PendingFlow) -> str:
    """The URL of the result, relative to the current URL, wherever the application has mounted it."""
    return f"result?flow={pending.id}"


def _unwanted(methods: frozenset[str] | None, incoming: Incoming) -> Reply | None:
    """The reply to a request that must not start or complete anything."""
    if methods is None:
        return Reply(404)
    if incoming.method == "HEAD":
        return Reply(204)
    if incoming.method not in methods:
        return Reply(405, (("Allow", ", ".join(sorted(methods))),))
    # With this reply, a browser drops the prefetched page, and asks again when the person opens it.
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
    text="You have started several connections within a minute. Wait a minute, and then try again.",
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
            "the application and start again.",
            flow=flow,
            error=error,
        )
    return _failed(flow, error)


def _failed(flow: PendingFlow | None, error: PeakaError) -> Notice:
    return Notice(
        kind="failed",
        status=502,
        title="The connection failed",
        text="Something went wrong. Go back to the application and start again.",
        flow=flow,
        error=error,
    )


def _refused(error: OAuth2Error | None, *, status: int) -> Notice:
    return Notice(
        kind="refused",
        status=status,
        title="This link cannot be used",
        text="It belongs to another browser or user, is too old, or was used before. Nothing was connected. Start "
        "again in the application.",
        error=error,
    )
