"""The connect flow: begun by a user, ended by the same user, and each code posted at most once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar, final
from urllib.parse import parse_qsl, urlsplit

import attrs

from peaka_async.client import PeakaClient
from peaka_async.errors import (
    ConfigurationError,
    InvalidRedirect,
    PeakaError,
    WorkFailedError,
)
from peaka_async.models.connections import Connection, Oauth2Callback
from peaka_async.oauth2._connect_request import (
    CALLBACK_PARAMETER,
    ConnectRequest,
    ForwardedRedirect,
    OwnRedirect,
    connection_request,
)
from peaka_async.oauth2._pending import Outcome, PendingFlow, Record, now, user_digest
from peaka_async.oauth2._refusals import incomplete, is_final, mismatch, nothing_sent, replayed, unknown, unusable
from peaka_async.oauth2._return import Return, flow_id_of
from peaka_async.oauth2._store import FlowStore, MemoryStore

__all__ = ["ConnectFlow"]

T = TypeVar("T")

OnConnected = Callable[[PendingFlow, Connection], Awaitable[None]]

_log = logging.getLogger("peaka_async.oauth2")

_CONSENT_URL = re.compile(r"https?://[!-~]+")
_ALIAS = b"alias "
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


@final
@attrs.frozen
class _Found:
    """The flow that a return belongs to, and whether the return is to be forwarded to Peaka."""

    record: Record
    id: str
    forwards: bool


@final
@attrs.frozen(kw_only=True)
class _Expected:
    """What a flow must match."""

    user_ref: str
    project_id: str | None = None
    connector: str | None = None

    def check(self, record: Record) -> None:
        flow = record.flow
        if not record.is_of(self.user_ref):
            raise mismatch("another user began it")
        if self.project_id not in {None, flow.project_id}:
            raise mismatch("it was begun for another project")
        if self.connector not in {None, flow.connector}:
            raise mismatch("it was begun for another connector")


@final
class ConnectFlow:
    """Takes customers from a button to a working connection.

    ```python
    connect = ConnectFlow(peaka)
    pending = await connect.start(request, user_ref=user.id)  # send the browser to pending.consent_url
    connection = await connect.complete(raw_query, user_ref=user.id)  # when it came back
    ```

    A flow is completed by the user who began it, and by nobody else: that is checked before anything is sent. Returns
    that are delivered twice are given the first one's result, on any replica that shares the store; a code is posted
    at most once. What was begun to complete goes on when the caller is cancelled, as by a browser that goes away.

    Args:
        peaka: the client.
        store: where flows wait for their return; in this process where it is left out.
        seconds: how long a flow may take, and for how long after it its result is given again.
        unknown_seconds: for how long an outcome that is not known can be resolved.
        wait_seconds: how long a second delivery waits for the first one's result.
        on_connected: is told of each connection that was made, before the first caller is, and also where that caller
            has gone: the place to store it. Where it fails, the outcome counts as not known, and it is told again when
            the outcome is resolved: it must bear to be told twice.
        peaka_callback: Peaka's own callback URL, for redirects that are forwarded.

    Raises:
        ConfigurationError: a time is not above 0.
    """

    def __init__(  # noqa: PLR0913 - options, by keyword
        self,
        peaka: PeakaClient,
        *,
        store: FlowStore | None = None,
        seconds: float = 900.0,
        unknown_seconds: float = 86_400.0,
        wait_seconds: float = 30.0,
        on_connected: OnConnected | None = None,
        peaka_callback: str = "https://peaka.studio/oauth2/callback",
    ) -> None:
        if min(seconds, unknown_seconds, wait_seconds) <= 0:
            msg = "seconds, unknown_seconds and wait_seconds must be more than 0."
            raise ConfigurationError(msg)
        self._peaka = peaka
        self._store: FlowStore = MemoryStore() if store is None else store
        self.seconds: float = seconds
        self.unknown_seconds: float = unknown_seconds
        self._wait_seconds = wait_seconds
        self._on_connected = on_connected
        self._peaka_callback = peaka_callback
        self._running: set[asyncio.Task[Connection]] = set()

    async def start(self, request: ConnectRequest, *, user_ref: str) -> PendingFlow:
        """Create the connection, and remember who began it.

        Args:
            request: what to connect.
            user_ref: who the signed-in user is, by a name that stays the same until the return: an id, never what the
                browser sent.

        Returns:
            The flow; its `consent_url` is where the browser is to be sent, by 303.

        Raises:
            ConfigurationError: there is no user_ref.
            DecodeError: Peaka named no consent page, or one that shows no state where the flow needs it. The
                connection was created.
            PeakaError: the connection could not be created. What the store raises passes through.
        """
        _check_user(user_ref)
        nonce = secrets.token_urlsafe(24)
        made = await self._peaka.connections.create(request.project_id, connection_request(request, nonce))
        url, connection_id = _checked(made)
        state = _state_of(url)
        if state is None and isinstance(request.via, OwnRedirect | ForwardedRedirect):
            raise unusable("$.url", "the consent URL shows no state to know the return by")
        own, forwards = isinstance(request.via, OwnRedirect), isinstance(request.via, ForwardedRedirect)
        flow_id = flow_id_of("state", state or "") if own else flow_id_of("callback", nonce)
        flow = PendingFlow(
            id=flow_id,
            connection_id=connection_id,
            project_id=request.project_id,
            connector=request.connector,
            name=request.name,
            expires_at=now() + timedelta(seconds=self.seconds),
            remember=dict(request.remember),
            return_to=request.return_to,
            consent_url=url,
            state=state,
        )
        await self._put(Record(flow=flow, user=user_digest(flow_id, user_ref), by_peaka=not own, forwards=forwards))
        await self._offer(flow_id)
        if forwards:
            alias = flow_id_of("state", state or "")
            await self._store.put(alias, _ALIAS + flow_id.encode(), seconds=self.seconds)
            await self._offer(alias)
        return flow

    async def find(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> PendingFlow:
        """The flow that a return belongs to: what the application remembers, and where it wants to go.

        Takes what `complete` takes, and refuses what it refuses. Nothing is sent, and the flow stays as it is.

        Raises:
            InvalidRedirect: the query is malformed, or names a parameter twice that may come once.
            StateMismatch: the flow is not known (any more), or is another user's, project's or connector's.
        """
        expected = _Expected(user_ref=user_ref, project_id=project_id, connector=connector)
        return (await self._find(Return.read(raw_query), expected)).record.flow

    async def complete(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> Connection:
        """End a flow with what the browser came back with.

        Args:
            raw_query: the raw query of the return, as ASGI's `scope["query_string"]` or aiohttp's
                `request.rel_url.raw_query_string`; it reaches Peaka byte for byte.
            user_ref: who the signed-in user is.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            The connection; the first delivery's where the same return is delivered again.

        Raises:
            AuthorizationDenied: the customer or the provider refused.
            InvalidRedirect: the query is malformed, or names a parameter twice that may come once. Nothing was sent.
            StateMismatch: the flow is not known (any more), or is another user's, project's or connector's. Nothing
                was sent.
            Replayed: the flow was ended by another return than this one. Nothing was sent.
            WorkFailedError: Peaka took the redirect, and could not complete the connection.
            OutcomeUnknownError: nobody knows whether the connection was completed: `resolve` asks Peaka.
            ConnectError: nothing was sent; the same return may be delivered again. So with any other TransportError
                whose `progress` is NOT_SENT, and with RateLimitError.
            PeakaError: Peaka refused it.
        """
        expected = _Expected(user_ref=user_ref, project_id=project_id, connector=connector)
        returned = Return.read(raw_query)
        found = await self._find(returned, expected)
        if found.forwards:
            raise mismatch("it has to be forwarded to Peaka")
        return await self._shielded(self._settle(found.record.flow.id, returned))

    async def forward(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> str:
        """Where to send the browser on to, once, in the flows whose redirect is forwarded to Peaka.

        Returns:
            The URL of Peaka's callback with the query byte for byte.

        Raises:
            InvalidRedirect: the query is malformed, or names a parameter twice that may come once.
            StateMismatch: the flow is not known (any more), or is another user's, project's or connector's.
            Replayed: it was forwarded before; `resolve` asks Peaka what came of it.
        """
        expected = _Expected(user_ref=user_ref, project_id=project_id, connector=connector)
        returned = Return.read(raw_query)
        if not _CONSENT_URL.fullmatch(f"{self._peaka_callback}?{returned.raw}"):
            msg = "This redirect cannot be forwarded: its query holds a character that it may not. Nothing was sent."
            raise InvalidRedirect(msg)
        found = await self._find(returned, expected)
        if not found.forwards:
            raise mismatch("it is not to be forwarded")
        if found.record.forwarded or not await self._store.take(found.id):
            raise replayed("it was forwarded before")
        try:
            await self._put(attrs.evolve(found.record, forwarded=True))
        except BaseException:
            await self._reopen(found.id)
            raise
        return f"{self._peaka_callback}?{returned.raw}"

    async def get(self, flow_id: str, *, user_ref: str) -> PendingFlow:
        """A flow by its id.

        Raises:
            StateMismatch: it is not known (any more), or another user began it.
        """
        return (await self._known(flow_id, user_ref)).flow

    async def result(self, flow_id: str, *, user_ref: str) -> Connection:
        """What became of a flow whose return was delivered.

        Raises:
            StateMismatch: it is not known (any more), or another user began it.
            OutcomeUnknownError: nobody knows (yet): `resolve` asks Peaka.
            PeakaError: the error that the flow ended in.
        """
        record = await self._known(flow_id, user_ref)
        return (record.outcome or Outcome()).get()

    async def resolve(self, flow: PendingFlow) -> Connection:
        """Ask Peaka what became of a flow whose outcome is not known. Nothing is sent a second time.

        Only a flow whose return was delivered by its user can be resolved: that another browser's consent completed
        the connection at Peaka is no reason to adopt it.

        Raises:
            StateMismatch: the flow is not known (any more).
            WorkFailedError: Peaka still waits for the consent, or for the answer of the provider; its `state` is
                INCOMPLETE. It may be asked again; to give up, begin a new flow.
            NotFoundError: there is no such connection: it was not completed, or is gone.
            PeakaError: the flow ended in this error, or Peaka could not be asked.
        """
        record, until = await self._load(flow.id), time.monotonic() + self._wait_seconds
        while record is not None and self._is_being_completed(record) and time.monotonic() < until:
            await asyncio.sleep(_LONGEST_PAUSE)
            record = await self._load(flow.id)
        if record is None:
            raise mismatch("it is not known, or not any more")
        if record.outcome is not None and record.outcome.known:
            return record.outcome.get()
        if not record.came_back:
            raise incomplete("its return was not delivered")
        return await self._shielded(self._resolve(record))

    async def aclose(self) -> None:
        """Wait for what is being completed. The client and the store stay open."""
        while self._running:
            await asyncio.wait(self._running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<ConnectFlow over {self._store!r}>"

    async def _find(self, returned: Return, expected: _Expected) -> _Found:
        _check_user(expected.user_ref)
        found = await self._look_up(returned)
        if found is None:
            raise mismatch("its state is not known, or not any more")
        record = found.record
        expected.check(record)
        if not record.came_back and record.flow.expires_at <= now():
            raise mismatch("it took too long, and is expired")
        if record.by_peaka and not found.forwards:
            _check_callback(record, returned)
        return found

    async def _look_up(self, returned: Return) -> _Found | None:
        for flow_id in returned.flow_ids():
            kept = await self._store.get(flow_id)
            if kept is None:
                continue
            if not kept.startswith(_ALIAS):
                return _Found(Record.loads(kept), flow_id, forwards=False)
            record = await self._load(kept.removeprefix(_ALIAS).decode())
            return None if record is None else _Found(record, flow_id, forwards=True)
        return None

    async def _known(self, flow_id: str, user_ref: str) -> Record:
        _check_user(user_ref)
        record = await self._load(flow_id)
        if record is None:
            raise mismatch("it is not known, or not any more")
        _Expected(user_ref=user_ref).check(record)
        return record

    async def _settle(self, flow_id: str, returned: Return) -> Connection:
        """Be the one who completes the flow, or wait for the one who does."""
        pause, until = _FIRST_PAUSE, time.monotonic() + self._wait_seconds
        while True:
            record = await self._claim(flow_id, returned)
            if record is not None:
                return await self._work(record, returned)
            record = await self._load(flow_id)
            if record is None:
                raise mismatch("it is not known any more")
            if record.query not in {None, returned.digest}:
                raise replayed("the flow was ended by another return")
            if record.outcome is not None:
                return record.outcome.get()
            if time.monotonic() > until or (record.claimed_at is not None and not self._is_being_completed(record)):
                raise unknown()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_being_completed(self, record: Record) -> bool:
        """Whether it was claimed so shortly before that the claimer is waited for."""
        if record.claimed_at is None or record.outcome is not None:
            return False
        return now() - record.claimed_at <= timedelta(seconds=self._wait_seconds)

    async def _claim(self, flow_id: str, returned: Return) -> Record | None:
        """The flow, claimed for this return; None where somebody else has it, or had it."""
        if not await self._store.take(flow_id):
            return None
        try:
            record = await self._load(flow_id)
            # A turn alone is no right: a client that lost an answer may have offered it twice.
            if record is None or record.claimed_at is not None or record.outcome is not None:
                return None
            claimed = attrs.evolve(record, query=returned.digest, claimed_at=now())
            await self._put(claimed)
        except BaseException:
            # Nothing was sent; where the claim was kept all the same, the turn is worth nothing.
            await self._reopen(flow_id)
            raise
        return claimed

    async def _reopen(self, flow_id: str) -> None:
        try:
            await self._offer(flow_id)
        except Exception as error:  # noqa: BLE001 - a store of any kind, and another error is on its way
            _log.warning("Flow %s could not be opened again: %s", flow_id, type(error).__name__)

    async def _work(self, claimed: Record, returned: Return) -> Connection:
        """Complete a flow; this is reached once for each, unless nothing was sent."""
        try:
            connection = await self._send(claimed, returned)
        except PeakaError as error:
            if nothing_sent(error):
                await self._put(attrs.evolve(claimed, query=None, claimed_at=None))
                await self._offer(claimed.flow.id)
                raise
            if is_final(error, by_peaka=claimed.by_peaka):
                await self._publish(claimed, Outcome.failed(error))
                raise
            await self._publish(claimed, Outcome())
            raise unknown() from error
        return await self._connected(claimed, connection)

    async def _send(self, record: Record, returned: Return) -> Connection:
        flow = record.flow
        if record.by_peaka:
            if returned.from_peaka("status") != "success":
                msg = "Peaka could not complete the connection: the consent was refused, or the provider failed."
                raise WorkFailedError(msg, operation="oauth2.complete")
            return await self._ask(flow)
        callback = Oauth2Callback.from_redirect(f"?{returned.raw}")
        return _filled(flow, await self._peaka.connections.oauth2_callback(flow.project_id, callback))

    async def _resolve(self, record: Record) -> Connection:
        return await self._connected(record, await self._ask(record.flow))

    async def _ask(self, flow: PendingFlow) -> Connection:
        """What Peaka says of the connection."""
        found = await self._peaka.connections.get(flow.project_id, flow.connection_id)
        if found.url:
            raise incomplete("Peaka still waits for its completion")
        return _filled(flow, found)

    async def _connected(self, record: Record, connection: Connection) -> Connection:
        """Tell the application, and then every other delivery."""
        if self._on_connected is not None:
            try:
                await self._on_connected(record.flow, connection)
            except Exception as error:
                _log.warning("on_connected failed for flow %s: %s", record.flow.id, type(error).__name__)
                await self._publish(record, Outcome())
                raise
        await self._publish(record, Outcome(connection))
        return connection

    async def _publish(self, record: Record, outcome: Outcome) -> None:
        """Keep an outcome for other deliveries; the one at hand gets it even where that fails."""
        try:
            await self._put(attrs.evolve(record, outcome=outcome))
        except Exception as error:  # noqa: BLE001 - a store of any kind
            _log.warning("The outcome of flow %s could not be kept: %s", record.flow.id, type(error).__name__)

    async def _put(self, record: Record) -> None:
        # Claimed without an outcome is unknown too, if the process ends now.
        settled = record.outcome is not None and record.outcome.known
        seconds = self.unknown_seconds if record.came_back and not settled else self.seconds
        await self._store.put(record.flow.id, record.dumps(), seconds=seconds)

    async def _offer(self, flow_id: str) -> None:
        # Longer than its record: a turn that is not there means taken, never too late.
        await self._store.offer(flow_id, seconds=2 * self.seconds)

    async def _load(self, flow_id: str) -> Record | None:
        kept = await self._store.get(flow_id)
        return None if kept is None or kept.startswith(_ALIAS) else Record.loads(kept)

    async def _shielded(self, work: Coroutine[None, None, Connection]) -> Connection:
        """Go on with it even where the caller is cancelled."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Connection]) -> None:
        self._running.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            # It was published; that the caller has gone is no reason for asyncio to report it.
            task.exception()


def _check_user(user_ref: str) -> None:
    if not isinstance(user_ref, str) or not user_ref:
        msg = "user_ref must name the signed-in user: a str that is not empty."
        raise ConfigurationError(msg)


def _checked(made: Connection) -> tuple[str, str]:
    """The consent URL and the id of a connection that was created."""
    if not made.id:
        raise unusable("$.id", "the connection has no id")
    if not made.url:
        raise unusable("$.url", "there is no consent page; this connector needs no flow")
    if not _CONSENT_URL.fullmatch(made.url):
        raise unusable("$.url", "the consent URL is not one that a browser can be sent to")
    return made.url, made.id


def _state_of(url: str) -> str | None:
    states = [value for key, value in parse_qsl(urlsplit(url).query, keep_blank_values=True) if key == "state"]
    return states[0] if len(states) == 1 and states[0] else None


def _check_callback(record: Record, returned: Return) -> None:
    """That Peaka's callback is about the connection that this flow created, and comes after what it has to."""
    connection_id = record.flow.connection_id
    if returned.from_peaka(CALLBACK_PARAMETER) is None or returned.from_peaka("connectionId") != connection_id:
        raise mismatch("it names another connection than the one that was begun")
    if record.forwards and not record.forwarded:
        raise mismatch("its redirect was not forwarded yet")


def _filled(flow: PendingFlow, connection: Connection) -> Connection:
    """A connection with what an answer may leave out."""
    return Connection(
        connection.id or flow.connection_id, connection.name or flow.name, connection.type or flow.connector
    )
