"""Connections to the server: one pool for each running event loop, none shared with a forked process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import weakref
from typing import TYPE_CHECKING, final

import aiohttp
import attrs

from peaka_async._transport.deadline import Deadlines
from peaka_async._transport.exchange import Exchanger
from peaka_async._transport.wire import current_wire, usable_transport
from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from aiohttp.connector import Connection

# Servers keep idle connections for 60 s and more; one that was idle for less is rarely stale.
_KEEPALIVE_SECONDS = 15.0


class _ResendError(aiohttp.ClientConnectionError):
    """aiohttp was about to send a request a second time."""


class _Request(aiohttp.ClientRequest):
    """Marks the moment from which the request may be on the wire, and keeps it to one."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        wire = current_wire.get()
        if wire.sent:
            msg = "an attempt is one request"
            raise _ResendError(msg)
        wire.mark_sent(usable_transport(conn))
        return await super().send(conn)


@final
@attrs.frozen(kw_only=True)
class PoolSettings:
    """How connections are made."""

    base: str
    limit: int = 100
    connect_timeout: float | None = 10.0
    ssl: ssl.SSLContext | bool = True
    proxy: str | None = attrs.field(default=None, repr=False)
    trust_env: bool = False
    session: aiohttp.ClientSession | None = None


@final
@attrs.frozen(eq=False)
class Pool:
    """What a client has under one event loop."""

    session: aiohttp.ClientSession
    elsewhere: aiohttp.ClientSession
    """The way to other hosts, which are sent no headers and cookies that are meant for the API."""

    exchanger: Exchanger | None
    """The shorter way to the server, where no proxy, no session of the application and no instrumentation is on it."""

    turns: asyncio.Semaphore | None
    """Connections that are left, first come first served; aiohttp's own queue lets those that come back overtake."""

    deadlines: Deadlines
    lifeline: AsyncGenerator[None, None]


@final
class Pools:
    """The sessions of one client, by event loop."""

    def __init__(self, settings: PoolSettings) -> None:
        if not hasattr(aiohttp.ClientRequest, "send"):
            # Without this method nothing tells whether a request left, and no retry would be safe.
            msg = f"aiohttp {aiohttp.__version__} is not supported: it does not say when a request is sent."
            raise ConfigurationError(msg)
        self._settings = settings
        self._by_loop: dict[asyncio.AbstractEventLoop, Pool] = {}
        self.closed = False
        _living.add(self)

    @property
    def open(self) -> bool:
        return any(not loop.is_closed() for loop in self._by_loop)

    def get(self, loop: asyncio.AbstractEventLoop) -> Pool | None:
        """The pool of the running loop, where there is one."""
        return self._by_loop.get(loop)

    async def begin(self, loop: asyncio.AbstractEventLoop) -> Pool:
        """Make the pool of the running loop.

        Raises:
            ConfigurationError: the client is closed, or the given ClientSession belongs to another loop.
        """
        if self.closed:
            msg = "The client is closed. Nothing was sent; make another client."
            raise ConfigurationError(msg)
        self._forget_closed_loops()
        session = self._make_session()
        elsewhere = self._make_session_for(session.connector, None)
        deadlines = Deadlines(loop)
        # The loop closes its asynchronous generators before it ends: asyncio.run leaves no socket open.
        lifeline = _closing((elsewhere, session), deadlines, weakref.ref(self), loop)
        turns = asyncio.Semaphore(self._settings.limit) if self._settings.session is None else None
        pool = self._by_loop[loop] = Pool(session, elsewhere, self._make_exchanger(session), turns, deadlines, lifeline)
        await anext(lifeline)
        return pool

    def _make_session(self) -> aiohttp.ClientSession:
        settings = self._settings
        own = settings.session
        if own is not None and own.closed:
            msg = "The given ClientSession is closed. Nothing was sent."
            raise ConfigurationError(msg)
        if own is not None and own.connector is not None and own.connector._loop is not asyncio.get_running_loop():  # noqa: SLF001 - `.loop` warns
            msg = "The given ClientSession belongs to another event loop. Nothing was sent."
            raise ConfigurationError(msg)
        if own is not None:
            return self._make_session_for(own.connector, own)
        connector = aiohttp.TCPConnector(limit=settings.limit, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=settings.ssl)
        return self._make_session_for(connector, None, connector_owner=True)

    def _make_session_for(
        self,
        connector: aiohttp.BaseConnector | None,
        own: aiohttp.ClientSession | None,
        *,
        connector_owner: bool = False,
    ) -> aiohttp.ClientSession:
        settings = self._settings
        session = aiohttp.ClientSession(
            connector=connector,
            connector_owner=connector_owner,
            headers=None if own is None else own.headers,
            cookie_jar=aiohttp.DummyCookieJar() if own is None else own.cookie_jar,
            trace_configs=None if own is None else own.trace_configs,
            trust_env=settings.trust_env or (own is not None and own.trust_env),
            proxy=settings.proxy,
            request_class=_Request,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout),
        )
        # aiohttp would send idempotent requests a second time; `_Request` refuses that, this spares the connection.
        session._retry_connection = False  # noqa: SLF001 - aio-libs/aiohttp#10790 offers no public switch
        return session

    def _make_exchanger(self, session: aiohttp.ClientSession) -> Exchanger | None:
        settings = self._settings
        if settings.session is not None or settings.proxy is not None or settings.trust_env or session.trace_configs:
            return None
        return Exchanger(session, settings.base)

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            self.forget(loop)

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        self._by_loop.pop(loop, None)

    async def aclose(self) -> None:
        """Close the pools of all loops; calls in flight end with an error."""
        self.closed = True
        here = asyncio.get_running_loop()
        for loop, pool in list(self._by_loop.items()):
            if loop is here:
                await pool.lifeline.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(pool.lifeline.aclose(), loop)
        self._forget_closed_loops()

    def abandon(self) -> None:
        """Leave the connections to the parent process, of which this one is a fork.

        Neither closing nor collecting them is safe: it would take the sockets out of the event loop that both
        processes share in the kernel. They are made immortal instead; the child opens its own.
        """
        if self._by_loop:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._by_loop))
        self._by_loop = {}


async def _closing(
    sessions: tuple[aiohttp.ClientSession, ...],
    deadlines: Deadlines,
    pools: weakref.ref[Pools],
    loop: asyncio.AbstractEventLoop,
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        owner = pools()
        if owner is not None:
            owner.forget(loop)
        for session in sessions:
            await session.close()
        deadlines.close()
        # A transport is closed by a callback; without this turn the loop could end before it ran.
        await asyncio.sleep(0)


_living: weakref.WeakSet[Pools] = weakref.WeakSet()


def _abandon_all() -> None:
    for pools in list(_living):
        pools.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
