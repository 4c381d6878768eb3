"""The connect flow: one user starts and completes a flow, and each code is posted at most once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar, final
from urllib.parse import parse_qsl, urlsplit

import attrs

from peaka_async.client import PeakaClient
from peaka_async.errors import (
    APIError,
    ConfigurationError,
    DecodeError,
    InvalidRedirect,
    NotFoundError,
    OutcomeUnknownError,
    PeakaError,
    TransportError,
    WorkFailedError,
)
from peaka_async.models.connections import Connection, Oauth2Callback
from peaka_async.oauth2._connect_request import (
    ConnectRequest,
    ForwardedRedirect,
    OwnRedirect,
    connection_request,
)
from peaka_async.oauth2._pending import Outcome, PendingFlow, Record, now, owner_digest, user_digest
from peaka_async.oauth2._records import Held, Records
from peaka_async.oauth2._refusals import (
    NotSavedError,
    incomplete,
    is_final,
    is_incomplete,
    mismatch,
    not_saved,
    nothing_sent,
    replayed,
    too_many_flows,
    unknown,
    unusable,
)
from peaka_async.oauth2._return import Return, flow_id_of
from peaka_async.oauth2._settlement import GiveUp, Settled, Settlement, TryAgain
from peaka_async.oauth2._store import FlowStore, MemoryStore

__all__ = ["ConnectFlow", "Delivery"]

T = TypeVar("T")

OnConnected = Callable[[PendingFlow, Connection], Awaitable[None]]

_log = logging.getLogger("peaka_async.oauth2")

_URL = re.compile(r"https?://[!-~]+")

_ALL_FLOWS = "open"
"""The list of flows for `sweep`, by the time when they are due."""

# A user may replace an open flow after this time. If all open flows are younger, a new one is refused.
_YOUNG_SECONDS = 60.0
_SWEEP_AGAIN_SECONDS = 60.0

# A code is posted within seconds. If Peaka says after this time that a connection is incomplete, that is final.
_SETTLE_SECONDS = 60.0
_TRY_AGAIN_SECONDS = 5.0


@final
@attrs.frozen
class Delivery:
    """A return whose flow was found and whose user was checked.

    Attributes:
        flow: the flow of the return.
    """

    flow: PendingFlow
    _record: Record = attrs.field(alias="record", repr=False)
    _returned: Return = attrs.field(alias="returned", repr=False)

    @property
    def ended(self) -> bool:
        """Whether the outcome of the flow is known, so that this return changes nothing."""
        return self._record.outcome.final

    def parts(self) -> tuple[Record, Return]:
        """The record and the return, for `ConnectFlow`."""
        return self._record, self._returned


@final
@attrs.frozen(kw_only=True)
class _Expected:
    """The properties that a flow must have."""

    user_ref: str
    project_id: str | None = None
    connector: str | None = None

    def check(self, record: Record) -> None:
        flow = record.flow
        if not record.is_of(self.user_ref):
            raise mismatch("another user started it")
        if self.project_id not in {None, flow.project_id}:
            raise mismatch("it was started for another project")
        if self.connector not in {None, flow.connector}:
            raise mismatch("it was started for another connector")


@final
class ConnectFlow:
    """Starts and completes connect flows, from a button to a working connection.

    ```python
    connect = ConnectFlow(peaka)
    pending = await connect.start(request, user_ref=user.id)  # send the browser to pending.consent_url
    connection = await connect.complete(raw_query, user_ref=user.id)  # when it came back
    ```

    Only the user who started a flow can complete it; this is checked before anything is sent. If a return is delivered
    again, the caller gets the result of the first delivery, on any replica that shares the store. A code is posted at
    most once. If the caller is cancelled, for example because the browser disconnects, the work goes on.

    Args:
        peaka: the client.
        store: the store for pending flows. By default they are kept in this process.
        seconds: how long a flow may take, and how long its result is kept afterwards.
        unknown_seconds: how long an unknown outcome can be resolved, and an expired flow can be swept.
        wait_seconds: how long a second delivery waits for the result of the first.
        lease_seconds: how long a process that works on a flow may be silent. After that, others take the flow over.
        flows_per_user: how many open flows a user may have. The next one replaces the user's oldest flow, if that is
            older than a minute.
        on_connected: a function to save connections. It is called with each new connection before a caller gets it,
            even if the caller was cancelled. If it fails, or its process ends, it is called again, so save by the
            connection's id.
        peaka_callback: Peaka's own callback URL, for forwarded redirects.

    Raises:
        ConfigurationError: a time is not above 0, or `flows_per_user` is less than 1.
    """

    def __init__(  # noqa: PLR0913 - options, by keyword
        self,
        peaka: PeakaClient,
        *,
        store: FlowStore | None = None,
        seconds: float = 900.0,
        unknown_seconds: float = 86_400.0,
        wait_seconds: float = 30.0,
        lease_seconds: float = 4.0,
        flows_per_user: int = 10,
        on_connected: OnConnected | None = None,
        peaka_callback: str = "https://peaka.studio/oauth2/callback",
    ) -> None:
        if min(seconds, unknown_seconds, wait_seconds, lease_seconds) <= 0:
            msg = "seconds, unknown_seconds, wait_seconds and lease_seconds must be more than 0."
            raise ConfigurationError(msg)
        if flows_per_user < 1:
            msg = "flows_per_user must be 1 or more."
            raise ConfigurationError(msg)
        self._peaka = peaka
        self._store: FlowStore = MemoryStore() if store is None else store
        self._records = Records(
            store=self._store, seconds=seconds, unknown_seconds=unknown_seconds, lease_seconds=lease_seconds
        )
        self.seconds: float = seconds
        self.unknown_seconds: float = unknown_seconds
        self._wait_seconds = wait_seconds
        self._flows_per_user = flows_per_user
        self._on_connected = on_connected
        self._peaka_callback = peaka_callback
        self._running: set[asyncio.Task[object]] = set()

    async def start(self, request: ConnectRequest, *, user_ref: str) -> PendingFlow:
        """Create the connection and start its flow.

        Args:
            request: the connection to create.
            user_ref: the id of the signed-in user. It must stay the same until the return, and must not come from the
                browser.

        Returns:
            The flow; send the browser to its `consent_url`, by 303.

        Raises:
            ConfigurationError: user_ref is missing.
            TooManyFlowsError: the user started too many flows within a minute, or the store is full.
            DecodeError: Peaka's answer has no consent page, or one without the state that the flow needs. The
                connection was created and deleted again.
            PeakaError: the connection could not be created. Exceptions of the store are passed on.
        """
        _check_user(user_ref)
        nonce, begun_at, owner = secrets.token_urlsafe(24), now(), owner_digest(user_ref)
        place = f"new-{nonce}"
        await self._make_room(owner, place, begun_at)
        try:
            made = await self._peaka.connections.create(request.project_id, connection_request(request, nonce))
            try:
                flow = self._pending(request, made, nonce, begun_at)
                await self._keep(flow, request, user_ref, begun_at)
            except BaseException:
                self._spawn(self._delete(request.project_id, made.id))
                raise
        finally:
            await self._store.discard(owner, place)
        return flow

    async def receive(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> Delivery:
        """Find the flow of a return, and check its user. Nothing is sent, and the flow does not change.

        Args:
            raw_query: the raw query of the return, as for `complete`.
            user_ref: the id of the signed-in user.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            A delivery, which `complete` and `forward` accept instead of the query.

        Raises:
            InvalidRedirect: the query is malformed, or repeats a parameter that may occur only once.
            StateMismatch: the flow is unknown or expired, belongs to another user, project or connector, or the
                redirect comes from another provider.
        """
        expected = _Expected(user_ref=user_ref, project_id=project_id, connector=connector)
        _check_user(user_ref)
        returned = Return.read(raw_query)
        found = None
        for flow_id in returned.flow_ids():
            found = await self._records.load_by_return(flow_id)
            if found is not None:
                break
        if found is None:
            raise mismatch("its state is unknown or has expired")
        _check_return(found, returned, expected)
        return Delivery(found.flow, found, returned)

    async def find(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> PendingFlow:
        """Find the flow of a return, with `remember` and `return_to`.

        It accepts and refuses the same returns as `complete`. Nothing is sent, and the flow does not change.

        Raises:
            InvalidRedirect: the query is malformed, or repeats a parameter that may occur only once.
            StateMismatch: as for `receive`.
        """
        return (await self.receive(raw_query, user_ref=user_ref, project_id=project_id, connector=connector)).flow

    async def complete(
        self,
        raw_query: str | bytes | Delivery,
        *,
        user_ref: str,
        project_id: str | None = None,
        connector: str | None = None,
    ) -> Connection:
        """Complete a flow with the return of the browser.

        Args:
            raw_query: the raw query of the return, such as ASGI's `scope["query_string"]` or aiohttp's
                `request.rel_url.raw_query_string`, which is sent to Peaka byte for byte; or a delivery from `receive`.
            user_ref: the id of the signed-in user.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            The connection. If the same return is delivered again, the result of the first delivery.

        Raises:
            AuthorizationDenied: the customer or the provider refused.
            InvalidRedirect: the query is malformed, or repeats a parameter that may occur only once. Nothing was sent.
            StateMismatch: as for `receive`. Nothing was sent.
            Replayed: another return has ended the flow. Nothing was sent.
            WorkFailedError: Peaka took the redirect, but could not complete the connection.
            OutcomeUnknownError: it is unknown whether the connection was completed; `resolve` asks Peaka.
            NotSavedError: the connection was made, but `on_connected` failed; `resolve` calls it again.
            ConnectError: nothing was sent, and the same return may be delivered again. The same holds for
                RateLimitError, and for every other TransportError whose `progress` is NOT_SENT.
            PeakaError: Peaka refused the request.
        """
        record, returned = await self._delivered(raw_query, user_ref, project_id, connector)
        if _is_to_be_forwarded(record, returned):
            raise mismatch("it must be forwarded to Peaka")
        return await self._shielded(self._complete(record, returned))

    async def forward(
        self,
        raw_query: str | bytes | Delivery,
        *,
        user_ref: str,
        project_id: str | None = None,
        connector: str | None = None,
    ) -> str:
        """Return the URL to send the browser to, once, in flows whose redirect is forwarded to Peaka.

        Returns:
            The URL of Peaka's callback with the query, byte for byte.

        Raises:
            InvalidRedirect: the query is malformed, or repeats a parameter that may occur only once.
            StateMismatch: as for `receive`.
            Replayed: the redirect was forwarded before; `resolve` asks Peaka about the outcome.
        """
        record, returned = await self._delivered(raw_query, user_ref, project_id, connector)
        url = f"{self._peaka_callback}?{returned.raw}"
        if not _URL.fullmatch(url):
            msg = "This redirect cannot be forwarded: its query has a character that a URL may not have. Nothing was "
            raise InvalidRedirect(f"{msg}sent.")
        if not _is_to_be_forwarded(record, returned):
            raise mismatch("it must not be forwarded")
        # If the change fails, another delivery was faster: this one is not forwarded.
        if record.forwarded or await self._records.replace(record, forwarded=True) is None:
            raise replayed("it was forwarded before")
        await self._is_not_in(record.owner, record)
        return url

    async def accept(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> PendingFlow:
        """Check a return and claim its flow for a worker, which posts the code with `settle(flow.id)`.

        The store keeps the query, encrypted, until the worker posts it. Only the flow's id is put into the queue.

        Raises:
            ConfigurationError: the store has no encryption keys.
            InvalidRedirect: the query is malformed, or repeats a parameter that may occur only once.
            StateMismatch: as for `receive`.
            Replayed: another return has claimed the flow.
        """
        if not self._store.encrypted:
            msg = "accept needs a store with encryption keys: RedisStore(redis, encryption_keys=[…])."
            raise ConfigurationError(msg)
        record, returned = await self._delivered(raw_query, user_ref, project_id, connector)
        if _is_to_be_forwarded(record, returned):
            raise mismatch("it must be forwarded to Peaka")
        found: Record | None = record
        while found is not None and found.is_open:
            if await self._records.replace(found, query=returned.digest, accepted=returned.raw, claimed_at=now()):
                await self._is_not_in(found.owner, found)
                return found.flow
            found = await self._records.load(record.flow.id)
        if found is None or found.query != returned.digest:
            raise replayed("another return has claimed the flow")
        return found.flow

    async def settle(
        self,
        flow_id: str | bytes,
        *,
        user_ref: str | None = None,
        project_id: str | None = None,
        connector: str | None = None,
    ) -> Settlement:
        """Bring a flow to its end. A job can call this each time that its queue delivers it.

        It posts the code if no process has posted it, waits if another process is posting it, and asks Peaka if the
        outcome is unknown.

        Args:
            flow_id: the id of a flow that `accept` has claimed; or, with a `user_ref`, the raw query of a return, which
                is checked as by `complete`.
            user_ref: the id of the signed-in user.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            `Settled` with the connection, `TryAgain` if the job must run again later, or `GiveUp` with the error of the
            flow. Exceptions of the store are passed on: run the job again.
        """
        record = None
        try:
            if user_ref is None:
                record = await self._records.load(flow_id.decode() if isinstance(flow_id, bytes) else flow_id)
                if record is None:
                    raise mismatch("it is unknown or has expired")
                return Settled(await self._shielded(self._settle(record)))
            record, returned = await self._delivered(flow_id, user_ref, project_id, connector)
            if _is_to_be_forwarded(record, returned):
                raise mismatch("it must be forwarded to Peaka")
            return Settled(await self._shielded(self._complete_or_resolve(record, returned)))
        except PeakaError as error:
            return await self._settlement(error, record)

    async def get(self, flow_id: str, *, user_ref: str) -> PendingFlow:
        """Get a flow by its id.

        Raises:
            StateMismatch: the flow is unknown or expired, or another user started it.
        """
        return (await self._known(flow_id, user_ref)).flow

    async def result(self, flow_id: str, *, user_ref: str) -> Connection:
        """Get the result of a flow whose return was delivered.

        Raises:
            StateMismatch: the flow is unknown or expired, or another user started it.
            OutcomeUnknownError: the outcome is not known (yet); `resolve` asks Peaka.
            NotSavedError: the connection was made, but is not saved (yet).
            PeakaError: the error of the flow.
        """
        return (await self._known(flow_id, user_ref)).outcome.get()

    def trace_of(self, headers: Mapping[str, str], *, trusted: bool) -> AbstractContextManager[None]:
        """Connect what is done in the `with` block with the trace that an incoming request's headers name.

        Args:
            headers: the request's headers, names in lower case; the client's propagator reads them.
            trusted: whether the trace is continued. Otherwise the spans of calls are linked with it.
        """
        return self._peaka._transport.shared.telemetry.incoming(headers, trusted=trusted)  # noqa: SLF001 - one package

    async def resolve(self, flow: PendingFlow, *, max_told: int | None = None) -> Connection:
        """Ask Peaka about a flow whose outcome is unknown. The code is not sent again.

        A flow can be resolved only if its user has delivered the return: a connection that was completed with another
        browser's consent is not accepted. One caller at a time asks, on all replicas.

        Args:
            flow: the flow.
            max_told: for a page that people reload. The first call reports that the connection is not saved, and later
                calls run `on_connected` again, until it has run this many times for the flow.

        Raises:
            StateMismatch: the flow is unknown or expired.
            OutcomeUnknownError: another caller has been completing it for longer than `wait_seconds`.
            NotSavedError: the connection was made, but `on_connected` failed.
            WorkFailedError: Peaka still waits for the consent, or for the provider's answer; `state` is INCOMPLETE. Ask
                again later. To give up, start a new flow.
            NotFoundError: there is no such connection: it was not completed, or was deleted.
            PeakaError: the error of the flow, or Peaka could not be asked.
        """
        record = await self._records.load(flow.id)
        if record is None:
            raise mismatch("it is unknown or has expired")
        return await self._shielded(self._resolve(record, max_told=max_told))

    async def sweep(self, *, limit: int = 100) -> int:
        """Delete the connections that expired flows have left at Peaka, and resolve flows whose outcome is unknown.

        Call it every few minutes, on one or all replicas.

        Args:
            limit: the largest number of flows to check.

        Returns:
            The number of flows that need no further work.
        """
        done = 0
        for flow_id in await self._store.find(_ALL_FLOWS, until=now().timestamp(), limit=limit):
            try:
                swept = await self._shielded(self._swept(flow_id))
            except PeakaError as error:
                _log.info("Flow %s could not be swept: %s", flow_id, type(error).__name__)
                swept = False
            if swept:
                done += 1
                await self._store.discard(_ALL_FLOWS, flow_id)
            else:
                await self._list(_ALL_FLOWS, flow_id, now() + timedelta(seconds=_SWEEP_AGAIN_SECONDS))
        return done

    async def aclose(self) -> None:
        """Wait for work in progress. The client and the store stay open."""
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

    # Start flows.

    async def _make_room(self, owner: str, place: str, begun_at: datetime) -> None:
        """Reserve a place among the user's open flows, before anything is created.

        Raises:
            TooManyFlowsError: there are too many, and the oldest is too young to be replaced.
        """
        await self._list(owner, place, begun_at)
        # Each caller sees its own place, so at most this many concurrent callers succeed.
        while place not in await self._store.find(owner, until=float("inf"), limit=self._flows_per_user):
            replaceable = begun_at.timestamp() - _YOUNG_SECONDS
            oldest = next(iter(await self._store.find(owner, until=replaceable, limit=1)), None)
            if oldest is None:
                await self._store.discard(owner, place)
                raise too_many_flows(f"this user has {self._flows_per_user} open flows", retry_after=_YOUNG_SECONDS)
            await self._store.discard(owner, oldest)
            record = await self._records.load(oldest)
            if record is not None and not record.came_back and await self._abandon(record):
                self._spawn(self._delete(record.flow.project_id, record.flow.connection_id))

    def _pending(self, request: ConnectRequest, made: Connection, nonce: str, begun_at: datetime) -> PendingFlow:
        url, connection_id = _checked(made)
        state = _state_of(url)
        if state is None and isinstance(request.via, OwnRedirect | ForwardedRedirect):
            raise unusable("$.url", "the consent URL shows no state to know the return by")
        own = isinstance(request.via, OwnRedirect)
        return PendingFlow(
            id=flow_id_of("state", state or "") if own else flow_id_of("callback", nonce),
            connection_id=connection_id,
            project_id=request.project_id,
            connector=request.connector,
            name=request.name,
            expires_at=begun_at + timedelta(seconds=self.seconds),
            return_url=request.return_url,
            forward_url=request.forward_url,
            issuer=request.issuer,
            remember=dict(request.remember),
            return_to=request.return_to,
            consent_url=url,
            state=state,
        )

    async def _keep(self, flow: PendingFlow, request: ConnectRequest, user_ref: str, begun_at: datetime) -> None:
        forwards = isinstance(request.via, ForwardedRedirect)
        record = Record(
            flow=flow,
            user=user_digest(flow.id, user_ref),
            owner=owner_digest(user_ref),
            by_peaka=not isinstance(request.via, OwnRedirect),
            forwards=forwards,
        )
        await self._list(_ALL_FLOWS, flow.id, flow.expires_at)
        await self._list(record.owner, flow.id, begun_at)
        # Two flows with the same state could not be told apart.
        if not await self._records.create(record):
            raise unusable("$.url", "the consent URL shows the state of another flow")
        if forwards:
            await self._records.create_alias(flow_id_of("state", flow.state or ""), flow.id)

    async def _list(self, index: str, flow_id: str, at: datetime) -> None:
        await self._store.add(index, flow_id, at=at.timestamp(), seconds=self.seconds + self.unknown_seconds)

    async def _is_not_in(self, index: str, record: Record) -> None:
        """Remove a flow from a list. If this fails, the flow only keeps its place in the list."""
        try:
            await self._store.discard(index, record.flow.id)
        except Exception as error:  # noqa: BLE001 - a store of any kind
            _log.info("Flow %s could not be removed from a list: %s", record.flow.id, type(error).__name__)

    # Find flows.

    async def _delivered(
        self, given: str | bytes | Delivery, user_ref: str, project_id: str | None, connector: str | None
    ) -> tuple[Record, Return]:
        if not isinstance(given, Delivery):
            given = await self.receive(given, user_ref=user_ref, project_id=project_id, connector=connector)
        record, returned = given.parts()
        _check_user(user_ref)
        _Expected(user_ref=user_ref, project_id=project_id, connector=connector).check(record)
        return record, returned

    async def _known(self, flow_id: str, user_ref: str) -> Record:
        _check_user(user_ref)
        record = await self._records.load(flow_id)
        if record is None:
            raise mismatch("it is unknown or has expired")
        _Expected(user_ref=user_ref).check(record)
        return record

    # Complete flows.

    async def _complete(self, record: Record, returned: Return) -> Connection:
        """Complete the flow, or wait for the caller that is completing it."""
        found: Record | None = record
        while found is not None and found.is_open:
            taken = await self._records.take(found, query=returned.digest, claimed_at=now())
            if taken is not None:
                return await self._work(taken, returned)
            found = await self._records.load(record.flow.id)
        if found is not None and found.query == returned.digest:
            found = await self._records.watch(found, seconds=self._wait_seconds)
            if found is not None and found.is_open:
                # The caller that held the flow sent nothing.
                return await self._complete(found, returned)
        if found is None:
            raise mismatch("it is no longer known")
        if found.query not in {None, returned.digest}:
            raise replayed("another return has ended the flow")
        return found.outcome.get()

    async def _complete_or_resolve(self, record: Record, returned: Return) -> Connection:
        try:
            return await self._complete(record, returned)
        except OutcomeUnknownError:
            found = await self._records.load(record.flow.id)
            if found is None:
                raise
            return await self._resolve(found)
        except NotSavedError:
            found = await self._records.load(record.flow.id)
            # on_connected is not called again if it has just failed here, but it is if another process left the flow.
            if found is None or found.told > record.told:
                raise
            return await self._resolve(found)

    async def _settle(self, record: Record) -> Connection:
        """Post the accepted return, or find out its outcome."""
        found: Record | None = record
        while found is not None and found.accepted is not None:
            accepted = found.accepted
            # The code is removed from the store before it is sent, so nobody can post it again.
            taken = await self._records.take(found, accepted=None)
            if taken is not None:
                return await self._work(taken, Return.read(accepted), accepted=accepted)
            found = await self._records.load(record.flow.id)
        if found is None:
            raise mismatch("it is no longer known")
        return await self._resolve(found)

    async def _settlement(self, error: PeakaError, record: Record | None) -> Settlement:
        if nothing_sent(error):
            return TryAgain(max(_TRY_AGAIN_SECONDS, getattr(error, "retry_after", None) or 0.0), error)
        if is_incomplete(error) and record is not None:
            found = await self._records.load(record.flow.id)
            claimed_at = None if found is None else found.claimed_at
            if claimed_at is not None and now() - claimed_at < timedelta(seconds=_SETTLE_SECONDS):
                return TryAgain(_TRY_AGAIN_SECONDS, error)
        passing = isinstance(error, TransportError | APIError | DecodeError) and not is_final(error, by_peaka=False)
        if passing or isinstance(error, NotSavedError):
            return TryAgain(_TRY_AGAIN_SECONDS, error)
        return GiveUp(error)

    async def _work(self, taken: Record, returned: Return, *, accepted: str | None = None) -> Connection:
        """Complete a flow. This runs once for each flow, unless nothing was sent."""
        async with self._records.held(taken) as held:
            if accepted is None:
                await self._is_not_in(taken.owner, taken)
            try:
                connection = await self._send(taken, returned)
            except PeakaError as error:
                if nothing_sent(error):
                    query = taken.query if accepted else None
                    await self._published(held, query=query, accepted=accepted, holder=None, claimed_at=None)
                    raise
                if is_final(error, by_peaka=taken.by_peaka):
                    await self._published(held, outcome=Outcome.failed(error), holder=None)
                    raise
                await self._published(held, holder=None)
                raise unknown() from error
            return await self._save(held, connection)

    async def _send(self, record: Record, returned: Return) -> Connection:
        flow = record.flow
        if record.by_peaka:
            if returned.from_peaka("status") != "success":
                msg = "Peaka could not complete the connection: the consent was refused, or the provider failed."
                raise WorkFailedError(msg, operation="oauth2.complete")
            return await self._ask(flow)
        callback = Oauth2Callback.from_redirect(f"?{returned.raw}")
        return _filled(flow, await self._peaka.connections.oauth2_callback(flow.project_id, callback))

    async def _resolve(self, record: Record, *, max_told: int | None = None) -> Connection:
        while True:
            found = await self._records.watch(record, seconds=self._wait_seconds)
            if found is None:
                raise mismatch("it is no longer known")
            if found.outcome.final:
                return found.outcome.get()
            if not found.came_back:
                raise incomplete("its return was not delivered")
            if found.accepted is not None:
                raise incomplete("its code was not posted yet")
            if found.holder is not None:
                raise unknown()
            if max_told is not None and found.outcome.connection is not None:
                await self._check_told(found, found.outcome.connection, max_told)
            taken = await self._records.take(found)
            if taken is not None:
                return await self._ask_and_save(taken)
            again = await self._records.load(record.flow.id)
            if again is None:
                raise mismatch("it is no longer known")
            record = again

    async def _check_told(self, record: Record, connection: Connection, max_told: int) -> None:
        """Raise the error that a person must see before `on_connected` is called again."""
        if record.told >= max_told:
            raise not_saved(connection, f"it was called {record.told} times")
        if record.told and not record.reported:
            await self._records.replace(record, reported=True, holder=None)
            raise not_saved(connection, "it failed, or its process ended")

    async def _ask_and_save(self, taken: Record) -> Connection:
        async with self._records.held(taken) as held:
            connection = taken.outcome.connection
            if connection is None:
                try:
                    connection = await self._ask(taken.flow)
                except BaseException:
                    await self._published(held, holder=None)
                    raise
            return await self._save(held, connection)

    async def _ask(self, flow: PendingFlow) -> Connection:
        """Get the connection from Peaka."""
        found = await self._peaka.connections.get(flow.project_id, flow.connection_id)
        if found.url:
            raise incomplete("Peaka still waits for its completion")
        return _filled(flow, found)

    async def _save(self, held: Held, connection: Connection) -> Connection:
        """Call `on_connected`, and then publish the result for other deliveries."""
        told = held.record.told
        if self._on_connected is not None:
            told += 1
            await self._published(held, outcome=Outcome(connection), told=told)
            try:
                await self._on_connected(held.record.flow, connection)
            except Exception as error:
                _log.warning("on_connected failed for flow %s: %s", held.record.flow.id, type(error).__name__)
                await self._published(held, holder=None)
                raise not_saved(connection, type(error).__name__) from error
        await self._published(held, outcome=Outcome(connection, saved=True), told=told, holder=None)
        await self._is_not_in(_ALL_FLOWS, held.record)
        return connection

    async def _published(self, held: Held, **changes: object) -> None:
        """Store the result for other deliveries. If this fails, the current delivery still gets its result."""
        try:
            await held.publish(**changes)
        except Exception as error:  # noqa: BLE001 - a store of any kind
            _log.warning("The outcome of flow %s could not be stored: %s", held.record.flow.id, type(error).__name__)

    # Clean up.

    async def _swept(self, flow_id: str) -> bool:
        """Sweep a flow; return whether it needs no further work."""
        record = await self._records.load(flow_id)
        if record is None or (record.outcome.connection is not None and record.outcome.saved):
            return True
        if not record.outcome.final:
            if not record.came_back:
                if not await self._abandon(record):
                    return False
            elif not await self._is_hopeless(record):
                return True
        return await self._delete(record.flow.project_id, record.flow.connection_id)

    async def _is_hopeless(self, record: Record) -> bool:
        """Whether a flow whose return was delivered ends without a connection. Otherwise it is resolved."""
        try:
            await self._resolve(record)
        except WorkFailedError as error:
            if is_incomplete(error) and now() < record.flow.expires_at + timedelta(seconds=self.unknown_seconds / 2):
                raise
            return True
        except NotFoundError:
            return True
        return False

    async def _abandon(self, record: Record) -> bool:
        """End an open flow; False if its return was delivered meanwhile."""
        error = mismatch("it took too long, or was replaced by newer ones")
        return await self._records.replace(record, outcome=Outcome.failed(error)) is not None

    async def _delete(self, project_id: str, connection_id: str | None) -> bool:
        if not connection_id:
            return True
        try:
            await self._peaka.connections.delete(project_id, connection_id)
        except NotFoundError:
            return True
        except PeakaError as error:
            _log.warning("Connection %s could not be deleted: %s", connection_id, type(error).__name__)
            return False
        return True

    # Tasks that outlive their caller.

    async def _shielded(self, work: Coroutine[None, None, T]) -> T:
        """Run work that goes on even if the caller is cancelled."""
        return await asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._running.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            # The error was published. asyncio must not report it again, only because the caller has gone.
            task.exception()


def _check_user(user_ref: str) -> None:
    if not isinstance(user_ref, str) or not user_ref:
        msg = "user_ref must be the id of the signed-in user, a str that is not empty."
        raise ConfigurationError(msg)


def _checked(made: Connection) -> tuple[str, str]:
    """The consent URL and the id of a connection that was created."""
    if not made.id:
        raise unusable("$.id", "the connection has no id")
    if not made.url:
        raise unusable("$.url", "the consent page is missing; this connector needs no flow")
    if not _URL.fullmatch(made.url):
        raise unusable("$.url", "the consent URL is not one that a browser can be sent to")
    return made.url, made.id


def _state_of(url: str) -> str | None:
    states = [value for key, value in parse_qsl(urlsplit(url).query, keep_blank_values=True) if key == "state"]
    return states[0] if len(states) == 1 and states[0] else None


def _is_to_be_forwarded(record: Record, returned: Return) -> bool:
    """Whether this is the provider's redirect, in a flow that forwards it to Peaka."""
    return record.forwards and not returned.is_callback_of(record.flow.id)


def _check_return(record: Record, returned: Return, expected: _Expected) -> None:
    expected.check(record)
    if not record.came_back and record.flow.expires_at <= now():
        raise mismatch("it took too long and has expired")
    from_provider = not record.by_peaka or _is_to_be_forwarded(record, returned)
    if from_provider and record.flow.issuer not in {None, returned.issuer}:
        raise mismatch("its iss is not the issuer that the flow was started with")
    if not from_provider:
        _check_callback(record, returned)


def _check_callback(record: Record, returned: Return) -> None:
    """Check that Peaka's callback belongs to the connection of this flow, and that its redirect was forwarded first."""
    connection_id = record.flow.connection_id
    if not returned.is_callback_of(record.flow.id) or returned.from_peaka("connectionId") != connection_id:
        raise mismatch("it names another connection than that of the flow")
    if record.forwards and not record.forwarded:
        raise mismatch("its redirect was not forwarded yet")


def _filled(flow: PendingFlow, connection: Connection) -> Connection:
    """The connection, with fields that an answer may leave out."""
    return Connection(
        connection.id or flow.connection_id, connection.name or flow.name, connection.type or flow.connector
    )
