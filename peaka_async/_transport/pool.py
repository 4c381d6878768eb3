"""Connections to the server: one pool for each running event loop. Forked processes do not share them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import ssl as ssl_module
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, final

import aiohttp
import attrs
from yarl import URL

from peaka_async._request import Content
from peaka_async._transport.deadline import Deadlines
from peaka_async._transport.message import Message, Reply
from peaka_async._transport.proxy import checked_proxy, environment_proxy
from peaka_async._transport.session import OpenReply, SessionLane, SessionSettings, is_session_replaced
from peaka_async._transport.wire import Wire
from peaka_async.errors import ConfigurationError

try:
    from peaka_async._transport.connection import DirectLane
except ModuleNotFoundError:  # httptools needs CPython; otherwise the session lane is used
    DirectLane = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from peaka_async._transport.connection import DirectLane as Direct

# Servers keep idle connections for 60 s or longer, so a connection that was idle for less is rarely stale.
_KEEPALIVE_SECONDS = 15.0


@final
@attrs.frozen(kw_only=True)
class PoolSettings:
    """The settings of connections."""

    base: str
    limit: int = 100
    connect_timeout: float | None = 10.0
    ssl: ssl_module.SSLContext | bool = True
    proxy: URL | None = attrs.field(default=None, repr=False, converter=attrs.converters.optional(checked_proxy))
    trust_env: bool = False
    session: aiohttp.ClientSession | None = None


@final
class Lanes:
    """The lanes to the server under one event loop."""

    def __init__(self, settings: PoolSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        own = settings.session
        self._trust_env = settings.trust_env or (own is not None and own.trust_env)
        self._session: SessionLane | None = None
        self._direct: Direct | None = None
        if DirectLane is not None and own is None and self._proxy() is None:
            self._direct = DirectLane(
                settings.base,
                loop,
                ssl=settings.ssl,
                connect_timeout=settings.connect_timeout,
                keepalive=_KEEPALIVE_SECONDS,
            )
        else:
            self._session = self._open_session()

    def _proxy(self) -> URL | None:
        settings = self._settings
        return environment_proxy(URL(settings.base)) if settings.proxy is None and self._trust_env else settings.proxy

    def find(self, message: Message) -> Direct | SessionLane:
        """The lane of a request."""
        direct = self._direct
        if direct is None or message.elsewhere or isinstance(message.body, Content) or is_session_replaced():
            return self.session()
        return direct

    def session(self) -> SessionLane:
        """The session lane. It is made at its first use, because not every client needs it."""
        if self._session is None:
            self._session = self._open_session()
        if self._direct is not None and self._direct.connections >= self._settings.limit:
            self._direct.drop_idle()
        return self._session

    def _open_session(self) -> SessionLane:
        settings = self._settings
        return SessionLane(
            SessionSettings(
                base=settings.base,
                limit=settings.limit,
                connect_timeout=settings.connect_timeout,
                keepalive=_KEEPALIVE_SECONDS,
                ssl=settings.ssl,
                proxy=settings.proxy,
                trust_env=self._trust_env,
                own=settings.session,
            )
        )

    async def close(self) -> None:
        """Close all connections, except those of the application's session."""
        if self._direct is not None:
            await self._direct.close()
        if self._session is not None:
            await self._session.close()


@final
class Pool:
    """The connections, time limits and calls of a client under one event loop."""

    __slots__ = ("_calls", "_is_empty", "_lanes", "_lifeline", "_turns", "deadlines")

    def __init__(
        self,
        lanes: Lanes,
        turns: asyncio.Semaphore | None,
        deadlines: Deadlines,
        lifeline: AsyncGenerator[None, None],
    ) -> None:
        self._lanes = lanes
        self._turns = turns
        """The number of free connections. Callers get them in order; in aiohttp's own queue, callers can overtake."""
        self._lifeline = lifeline
        self._calls: set[object] = set()
        self._is_empty: asyncio.Event | None = None
        self.deadlines = deadlines

    async def exchange(self, message: Message, wire: Wire) -> Reply:
        """Wait for a connection, send a request and read the complete answer."""
        if self._turns is not None:
            await wire.take_turn(self._turns)
        return await self._lanes.find(message).exchange(message, wire)

    async def open(self, message: Message, wire: Wire) -> OpenReply:
        """Wait for a connection, send a request and read the head of its answer."""
        if self._turns is not None:
            await wire.take_turn(self._turns)
        return await self._lanes.session().open(message, wire)

    # ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def enter(self, call: object) -> None:
        """Add a call, whose attempts may use the pool."""
        self._calls.add(call)

    def leave(self, call: object) -> None:
        """Remove a call that has ended."""
        self._calls.discard(call)
        if self._is_empty is not None and not self._calls:
            self._is_empty.set()

    async def aclose(self, drain: float) -> None:
        """Wait up to `drain` seconds for calls in flight, then end the rest and close all connections."""
        if drain > 0 and self._calls:
            self._is_empty = asyncio.Event()
            try:
                async with asyncio.timeout(drain):
                    await self._is_empty.wait()
            except TimeoutError:
                pass
        await self._lifeline.aclose()


@final
class Pools:
    """The pools of one client, by event loop."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._by_loop: dict[asyncio.AbstractEventLoop, Pool] = {}
        # Several threads, each with its loop, can use one client.
        self._lock = threading.Lock()
        self.closed = False
        with _living_lock:
            _living.add(self)

    @property
    def open(self) -> bool:
        return any(not loop.is_closed() for loop, _ in self._snapshot())

    def _snapshot(self) -> list[tuple[asyncio.AbstractEventLoop, Pool]]:
        with self._lock:
            return list(self._by_loop.items())

    def get(self, loop: asyncio.AbstractEventLoop) -> Pool | None:
        """The pool of the running loop; None if there is none yet."""
        return self._by_loop.get(loop)

    def check_open(self) -> None:
        """Refuse calls if the client is closed.

        Raises:
            ConfigurationError: the client is closed.
        """
        if self.closed:
            msg = "The client is closed. Nothing was sent; create another client."
            raise ConfigurationError(msg)

    async def begin(self, loop: asyncio.AbstractEventLoop) -> Pool:
        """Make the pool of the running loop.

        Raises:
            ConfigurationError: the client is closed, or the given ClientSession cannot be used here.
        """
        self.check_open()
        self._forget_closed_loops()
        settings = self._settings
        _check_session(settings.session, loop)
        lanes = Lanes(settings, loop)
        deadlines = Deadlines(loop)
        turns = asyncio.Semaphore(settings.limit) if settings.session is None else None
        # The loop closes its asynchronous generators before it ends, so asyncio.run leaves no socket open.
        lifeline = _closing(lanes, deadlines, weakref.ref(self), loop)
        pool = Pool(lanes, turns, deadlines, lifeline)
        with self._lock:
            self._by_loop[loop] = pool
        await anext(lifeline)
        return pool

    def _forget_closed_loops(self) -> None:
        for loop, _ in self._snapshot():
            if loop.is_closed():
                self.forget(loop)

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._by_loop.pop(loop, None)

    async def aclose(self, drain: float = 0.0) -> None:
        """Close the pools of all loops; see `PeakaClient.aclose`."""
        self.closed = True
        here = asyncio.get_running_loop()
        for loop, pool in self._snapshot():
            if loop is here:
                await pool.aclose(drain)
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(pool.aclose(drain), loop)
        self._forget_closed_loops()

    def abandon(self) -> None:
        """Leave the connections to the parent process, after a fork.

        It is not safe to close or collect them: that would remove the sockets from the event loop, which both processes
        share in the kernel. So they are kept for ever, and the child process opens its own.
        """
        self._lock = threading.Lock()  # the copied lock can be held by a thread that was not copied
        if self._by_loop:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._by_loop))
        self._by_loop = {}


def _check_session(own: aiohttp.ClientSession | None, loop: asyncio.AbstractEventLoop) -> None:
    if own is None:
        return
    if own.closed:
        msg = "The given ClientSession is closed. Nothing was sent."
        raise ConfigurationError(msg)
    if own.connector is not None and own.connector._loop is not loop:  # noqa: SLF001 - `.loop` warns
        msg = "The given ClientSession belongs to another event loop. Nothing was sent."
        raise ConfigurationError(msg)


async def _closing(
    lanes: Lanes, deadlines: Deadlines, pools: weakref.ref[Pools], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        owner = pools()
        if owner is not None:
            owner.forget(loop)
        deadlines.cut_off()
        # Calls that were cut off end in their own tasks and return their connections; then all are closed.
        await asyncio.sleep(0)
        await lanes.close()
        deadlines.close()
        # A callback closes the transport; without this turn the loop could end before it runs.
        await asyncio.sleep(0)


_living: weakref.WeakSet[Pools] = weakref.WeakSet()
_living_lock = threading.Lock()


def _abandon_all() -> None:
    global _living_lock  # noqa: PLW0603 - the copied lock can be held by a thread that was not copied
    _living_lock = threading.Lock()
    for pools in list(_living):
        pools.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
