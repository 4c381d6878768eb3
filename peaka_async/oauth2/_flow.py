"""The connect flow: begun by a user, ended by the same user, and each code posted at most once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine
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
"""The list of flows that `sweep` has to look at, by the time when it has to."""

# A user may replace an open flow after this time; more begins than that are refused.
_YOUNG_SECONDS = 60.0
_SWEEP_AGAIN_SECONDS = 60.0

# A code is posted within seconds. After this time Peaka's word that a connection is incomplete is the last one.
_SETTLE_SECONDS = 60.0
_TRY_AGAIN_SECONDS = 5.0


@final
@attrs.frozen
class Delivery:
    """A return whose flow was found and whose user was checked.

    Attributes:
        flow: the flow that it belongs to.
    """

    flow: PendingFlow
    _record: Record = attrs.field(alias="record", repr=False)
    _returned: Return = attrs.field(alias="returned", repr=False)

    @property
    def ended(self) -> bool:
        """Whether the flow's outcome is known, so that this return changes nothing."""
        return self._record.outcome.final

    def parts(self) -> tuple[Record, Return]:
        """The record and the return, for `ConnectFlow`."""
        return self._record, self._returned


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

    A flow is completed by the user who began it, and by nobody else: that is checked before anything is sent. A return
    that is delivered again gets the first delivery's result, on any replica that shares the store; a code is posted at
    most once. Work that has begun goes on if the caller is cancelled, as by a browser that goes away.

    Args:
        peaka: the client.
        store: where flows wait for their return; in this process if it is left out.
        seconds: how long a flow may take, and for how long after it its result is given again.
        unknown_seconds: for how long an outcome that is not known can be resolved, and an expired flow be swept.
        wait_seconds: how long a second delivery waits for the first one's result.
        lease_seconds: how long a process that works on a flow may be silent before others take it for gone.
        flows_per_user: how many flows a user may have open. The next one replaces the user's oldest, if that is older
            than a minute.
        on_connected: is called with each connection that was made, before anybody gets it, and also if the caller has
            gone: the place to save it. If it fails, or its process ends, it is called again: save by the connection's
            id.
        peaka_callback: Peaka's own callback URL, for redirects that are forwarded.

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
        """Create the connection, and remember who began the flow.

        Args:
            request: what to connect.
            user_ref: who the signed-in user is: an id that stays the same until the return, never what the browser
                sent.

        Returns:
            The flow; send the browser to its `consent_url`, by 303.

        Raises:
            ConfigurationError: user_ref is missing.
            TooManyFlowsError: the user began too many flows within a minute, or the store is full.
            DecodeError: Peaka named no consent page, or one without a state although the flow needs it. The connection
                was created, and deleted again.
            PeakaError: the connection could not be created. What the store raises passes through.
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
        """Find the flow that a return belongs to, and check its user. Nothing is sent, and the flow stays as it is.

        Args:
            raw_query: what `complete` takes.
            user_ref: who the signed-in user is.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            What `complete` and `forward` take instead of the query, so that it is read once.

        Raises:
            InvalidRedirect: the query is malformed, or has a parameter twice that may come once.
            StateMismatch: the flow is not known or expired, is another user's, project's or connector's, or the
                provider is not the one whose answer is expected.
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
            raise mismatch("its state is not known, or not any more")
        _check_return(found, returned, expected)
        return Delivery(found.flow, found, returned)

    async def find(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> PendingFlow:
        """Find the flow that a return belongs to: what the application remembers, and where it goes on.

        Takes what `complete` takes, and refuses what it refuses. Nothing is sent, and the flow stays as it is.

        Raises:
            InvalidRedirect: the query is malformed, or has a parameter twice that may come once.
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
        """End a flow with what the browser came back with.

        Args:
            raw_query: the raw query of the return, as ASGI's `scope["query_string"]` or aiohttp's
                `request.rel_url.raw_query_string`, which reaches Peaka byte for byte; or what `receive` made of it.
            user_ref: who the signed-in user is.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            The connection; if the same return is delivered again, the first delivery's.

        Raises:
            AuthorizationDenied: the customer or the provider refused.
            InvalidRedirect: the query is malformed, or has a parameter twice that may come once. Nothing was sent.
            StateMismatch: as for `receive`. Nothing was sent.
            Replayed: the flow was ended by another return than this one. Nothing was sent.
            WorkFailedError: Peaka took the redirect, and could not complete the connection.
            OutcomeUnknownError: it is not known whether the connection was completed: `resolve` asks Peaka.
            NotSavedError: the connection was made, and `on_connected` failed: `resolve` calls it again.
            ConnectError: nothing was sent; the same return may be delivered again. So with any other TransportError
                whose `progress` is NOT_SENT, and with RateLimitError.
            PeakaError: Peaka refused it.
        """
        record, returned = await self._delivered(raw_query, user_ref, project_id, connector)
        if _is_to_be_forwarded(record, returned):
            raise mismatch("it has to be forwarded to Peaka")
        return await self._shielded(self._complete(record, returned))

    async def forward(
        self,
        raw_query: str | bytes | Delivery,
        *,
        user_ref: str,
        project_id: str | None = None,
        connector: str | None = None,
    ) -> str:
        """Say where to send the browser on to, once, in the flows whose redirect is forwarded to Peaka.

        Returns:
            The URL of Peaka's callback with the query byte for byte.

        Raises:
            InvalidRedirect: the query is malformed, or has a parameter twice that may come once.
            StateMismatch: as for `receive`.
            Replayed: it was forwarded before; `resolve` asks Peaka what became of it.
        """
        record, returned = await self._delivered(raw_query, user_ref, project_id, connector)
        url = f"{self._peaka_callback}?{returned.raw}"
        if not _URL.fullmatch(url):
            msg = "This redirect cannot be forwarded: its query has a character that a URL may not have. Nothing was "
            raise InvalidRedirect(f"{msg}sent.")
        if not _is_to_be_forwarded(record, returned):
            raise mismatch("it is not to be forwarded")
        # A failed change is another delivery's: this one does not go out.
        if record.forwarded or await self._records.replace(record, forwarded=True) is None:
            raise replayed("it was forwarded before")
        await self._is_not_in(record.owner, record)
        return url

    async def accept(
        self, raw_query: str | bytes, *, user_ref: str, project_id: str | None = None, connector: str | None = None
    ) -> PendingFlow:
        """Check a return and claim its flow for a worker, which posts the code by `settle(flow.id)`.

        The query waits in the store, encrypted, until the worker takes it out to post it. Only the flow's id goes
        through the queue.

        Raises:
            ConfigurationError: the store has no encryption keys.
            InvalidRedirect: the query is malformed, or has a parameter twice that may come once.
            StateMismatch: as for `receive`.
            Replayed: the flow was claimed by another return than this one.
        """
        if not self._store.encrypted:
            msg = "accept needs a store with encryption keys: RedisStore(redis, encryption_keys=[…])."
            raise ConfigurationError(msg)
        record, returned = await self._delivered(raw_query, user_ref, project_id, connector)
        if _is_to_be_forwarded(record, returned):
            raise mismatch("it has to be forwarded to Peaka")
        found: Record | None = record
        while found is not None and found.is_open:
            if await self._records.replace(found, query=returned.digest, accepted=returned.raw, claimed_at=now()):
                await self._is_not_in(found.owner, found)
                return found.flow
            found = await self._records.load(record.flow.id)
        if found is None or found.query != returned.digest:
            raise replayed("the flow was claimed by another return")
        return found.flow

    async def settle(
        self,
        flow_id: str | bytes,
        *,
        user_ref: str | None = None,
        project_id: str | None = None,
        connector: str | None = None,
    ) -> Settlement:
        """Do what is left to do for a flow: what a job calls, however often its queue delivers it.

        It posts the code if nobody did, waits for the one who does, and asks Peaka if the outcome is not known.

        Args:
            flow_id: the id of a flow that `accept` claimed; or, with a `user_ref`, the raw query of a return, of which
                everything is checked that `complete` checks.
            user_ref: who the signed-in user is.
            project_id: refuse flows of other projects.
            connector: refuse flows of other connectors.

        Returns:
            `Settled` with the connection; `TryAgain` if the job has to run again later; `GiveUp` with the error that
            the flow ended in. What the store raises passes through: run the job again.
        """
        record = None
        try:
            if user_ref is None:
                record = await self._records.load(flow_id.decode() if isinstance(flow_id, bytes) else flow_id)
                if record is None:
                    raise mismatch("it is not known, or not any more")
                return Settled(await self._shielded(self._settle(record)))
            record, returned = await self._delivered(flow_id, user_ref, project_id, connector)
            if _is_to_be_forwarded(record, returned):
                raise mismatch("it has to be forwarded to Peaka")
            return Settled(await self._shielded(self._complete_or_resolve(record, returned)))
        except PeakaError as error:
            return await self._settlement(error, record)

    async def get(self, flow_id: str, *, user_ref: str) -> PendingFlow:
        """Get a flow by its id.

        Raises:
            StateMismatch: it is not known or expired, or another user began it.
        """
        return (await self._known(flow_id, user_ref)).flow

    async def result(self, flow_id: str, *, user_ref: str) -> Connection:
        """Say what became of a flow whose return was delivered.

        Raises:
            StateMismatch: it is not known or expired, or another user began it.
            OutcomeUnknownError: it is not known (yet): `resolve` asks Peaka.
            NotSavedError: the connection was made, and is not saved (yet).
            PeakaError: the error that the flow ended in.
        """
        return (await self._known(flow_id, user_ref)).outcome.get()

    async def resolve(self, flow: PendingFlow, *, max_told: int | None = None) -> Connection:
        """Ask Peaka what became of a flow whose outcome is not known. Nothing is sent a second time.

        Only a flow whose return was delivered by its user can be resolved: that another browser's consent completed
        the connection at Peaka is no reason to adopt it. One caller at a time asks, on any replica.

        Args:
            flow: the flow.
            max_told: for a page that people reload. The first call reports that the connection is not saved, and the
                next ones call `on_connected` again, until it was called that often for this flow.

        Raises:
            StateMismatch: the flow is not known or expired.
            OutcomeUnknownError: it is being completed for longer than `wait_seconds`.
            NotSavedError: the connection was made, and `on_connected` failed.
            WorkFailedError: Peaka still waits for the consent, or for the answer of the provider; its `state` is
                INCOMPLETE. Ask again later; to give up, begin a new flow.
            NotFoundError: there is no such connection: it was not completed, or is gone.
            PeakaError: the flow ended in this error, or Peaka could not be asked.
        """
        record = await self._records.load(flow.id)
        if record is None:
            raise mismatch("it is not known, or not any more")
        return await self._shielded(self._resolve(record, max_told=max_told))

    async def sweep(self, *, limit: int = 100) -> int:
        """Delete the connections that expired flows left at Peaka, and resolve flows whose outcome is not known.

        Call it every few minutes, on one replica or on all of them.

        Args:
            limit: how many flows to look at.

        Returns:
            How many flows are done with.
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
        """Wait for the work that goes on. The client and the store stay open."""
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

    # Beginning.

    async def _make_room(self, owner: str, place: str, begun_at: datetime) -> None:
        """Take a place among the user's open flows, before anything is created.

        Raises:
            TooManyFlowsError: they are too many, and the oldest is too young to be replaced.
        """
        await self._list(owner, place, begun_at)
        # Each caller sees its own place, so of many at once no more than that many get through.
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
        # Two flows of one state cannot be told apart.
        if not await self._records.create(record):
            raise unusable("$.url", "the consent URL shows the state of another flow")
        if forwards:
            await self._records.create_alias(flow_id_of("state", flow.state or ""), flow.id)

    async def _list(self, index: str, flow_id: str, at: datetime) -> None:
        await self._store.add(index, flow_id, at=at.timestamp(), seconds=self.seconds + self.unknown_seconds)

    async def _is_not_in(self, index: str, record: Record) -> None:
        """Take a flow out of a list; that it stays there costs its place, and nothing else."""
        try:
            await self._store.discard(index, record.flow.id)
        except Exception as error:  # noqa: BLE001 - a store of any kind
            _log.info("Flow %s could not be taken off a list: %s", record.flow.id, type(error).__name__)

    # Finding.

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
            raise mismatch("it is not known, or not any more")
        _Expected(user_ref=user_ref).check(record)
        return record

    # Ending.

    async def _complete(self, record: Record, returned: Return) -> Connection:
        """Be the one who completes the flow, or wait for the one who does."""
        found: Record | None = record
        while found is not None and found.is_open:
            taken = await self._records.take(found, query=returned.digest, claimed_at=now())
            if taken is not None:
                return await self._work(taken, returned)
            found = await self._records.load(record.flow.id)
        if found is not None and found.query == returned.digest:
            found = await self._records.watch(found, seconds=self._wait_seconds)
            if found is not None and found.is_open:
                # The one who had it sent nothing.
                return await self._complete(found, returned)
        if found is None:
            raise mismatch("it is not known any more")
        if found.query not in {None, returned.digest}:
            raise replayed("the flow was ended by another return")
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
            # What failed just now is not called again at once; what another process left is.
            if found is None or found.told > record.told:
                raise
            return await self._resolve(found)

    async def _settle(self, record: Record) -> Connection:
        """Post what was accepted, or find out what became of it."""
        found: Record | None = record
        while found is not None and found.accepted is not None:
            accepted = found.accepted
            # The code is taken out before it goes: whoever comes next cannot post it.
            taken = await self._records.take(found, accepted=None)
            if taken is not None:
                return await self._work(taken, Return.read(accepted), accepted=accepted)
            found = await self._records.load(record.flow.id)
        if found is None:
            raise mismatch("it is not known any more")
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
        """Complete a flow; this is reached once for each, unless nothing was sent."""
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
                raise mismatch("it is not known any more")
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
                raise mismatch("it is not known any more")
            record = again

    async def _check_told(self, record: Record, connection: Connection, max_told: int) -> None:
        """Raise what a person has to see before `on_connected` is called again."""
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
        """What Peaka says of the connection."""
        found = await self._peaka.connections.get(flow.project_id, flow.connection_id)
        if found.url:
            raise incomplete("Peaka still waits for its completion")
        return _filled(flow, found)

    async def _save(self, held: Held, connection: Connection) -> Connection:
        """Tell the application, and then every other delivery."""
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
        """Keep what is known for other deliveries; the one at hand gets it even if that fails."""
        try:
            await held.publish(**changes)
        except Exception as error:  # noqa: BLE001 - a store of any kind
            _log.warning("What became of flow %s could not be kept: %s", held.record.flow.id, type(error).__name__)

    # Cleaning up.

    async def _swept(self, flow_id: str) -> bool:
        """Whether nothing is left to do for a flow."""
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
        """Whether a flow whose return was delivered ends without a connection; else it is resolved now."""
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
        """End an open flow; False if its return came in between."""
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
        """Go on with it even if the caller is cancelled."""
        return await asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[T]) -> None:
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
    if not _URL.fullmatch(made.url):
        raise unusable("$.url", "the consent URL is not one that a browser can be sent to")
    return made.url, made.id


def _state_of(url: str) -> str | None:
    states = [value for key, value in parse_qsl(urlsplit(url).query, keep_blank_values=True) if key == "state"]
    return states[0] if len(states) == 1 and states[0] else None


def _is_to_be_forwarded(record: Record, returned: Return) -> bool:
    """Whether this is the provider's redirect of a flow in which Peaka gets it from here."""
    return record.forwards and not returned.is_callback_of(record.flow.id)


def _check_return(record: Record, returned: Return, expected: _Expected) -> None:
    expected.check(record)
    if not record.came_back and record.flow.expires_at <= now():
        raise mismatch("it took too long, and is expired")
    from_provider = not record.by_peaka or _is_to_be_forwarded(record, returned)
    if from_provider and record.flow.issuer not in {None, returned.issuer}:
        raise mismatch("its iss is not the issuer that the flow was begun with")
    if not from_provider:
        _check_callback(record, returned)


def _check_callback(record: Record, returned: Return) -> None:
    """That Peaka's callback is about the connection that this flow created, and comes after what it has to."""
    connection_id = record.flow.connection_id
    if not returned.is_callback_of(record.flow.id) or returned.from_peaka("connectionId") != connection_id:
        raise mismatch("it names another connection than the one that was begun")
    if record.forwards and not record.forwarded:
        raise mismatch("its redirect was not forwarded yet")


def _filled(flow: PendingFlow, connection: Connection) -> Connection:
    """A connection with what an answer may leave out."""
    return Connection(
        connection.id or flow.connection_id, connection.name or flow.name, connection.type or flow.connector
    )
