"""The session lane: requests through `aiohttp.ClientSession`.

It is used for proxies, an application's own session, instrumented and replaced sessions, other hosts, bodies that are
not JSON and answers that are read piece by piece. If httptools is missing, all requests use it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Iterator, Mapping
from types import FunctionType
from typing import Any, Final, NoReturn, cast, final

import aiohttp
import attrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from peaka_async._request import Content
from peaka_async._transport.inflate import inflater
from peaka_async._transport.lease import Line
from peaka_async._transport.message import MAX_HEAD_BYTES, MAX_HEAD_FIELDS, Message, Reply, Version
from peaka_async._transport.proxy import environment_proxy
from peaka_async._transport.wire import AnswerTooLargeError, BrokenExchangeError, StaleConnectionError, Wire
from peaka_async.errors import ConfigurationError

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_CODING: Final = re.compile(rb"\r\ntransfer-encoding:([^\r\n]*)", re.IGNORECASE)
_HEAD: Final = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n\0]*)?\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*"
)
"""A complete head, by the standard; aiohttp's parser accepts others too."""
_IMPOSSIBLE: Final = re.compile(rb"\A[^H]|(?<!\r)\n")
"""A first byte or a line end that no head has: there is no need to wait for the rest."""
_BODILESS: Final = frozenset({204, 304})
_SWITCHING, _LEAST_FINAL = 101, 200

# aiohttp writes a body of bytes in one piece, and warns about large ones.
_LARGE_BYTES: Final = 262_144

# ── Parts of aiohttp that are used without being documented ──────────────────────────────────────────────────────────


@functools.cache
def check_aiohttp() -> None:
    """Check them once per process, before anything is sent.

    Raises:
        ConfigurationError: this version of aiohttp does not have them.
    """
    send = inspect.unwrap(getattr(aiohttp.ClientRequest, "send", None) or _nothing)
    probes = {
        "ClientRequest.send(conn)": inspect.iscoroutinefunction(send)
        and [*inspect.signature(send).parameters] == ["self", "conn"],
        "Connection.add_callback": callable(getattr(Connection, "add_callback", None)),
        "ResponseHandler.should_close": isinstance(getattr(ResponseHandler, "should_close", None), property),
    }
    missing = [name for name, found in probes.items() if not found]
    if missing:
        msg = (
            f"aiohttp {aiohttp.__version__} is not supported: without {' and '.join(missing)} nothing tells whether a "
            "request was sent. Nothing was sent."
        )
        raise ConfigurationError(msg)


def _nothing() -> None: ...


def is_session_replaced() -> bool:
    """Whether something (aioresponses, an agent) has replaced the session: it expects to see the requests."""
    session = aiohttp.ClientSession
    return not (_is_own(session._request) and _is_own(session.__init__))  # noqa: SLF001 - what agents patch


@functools.lru_cache(maxsize=8)
def _is_own(function: object) -> bool:
    """Whether a function is aiohttp's own, and not a wrapper that was installed before this module was imported."""
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return False
    beside = cast("property", aiohttp.ClientSession.closed).fget
    return function.__code__.co_filename == cast("FunctionType", beside).__code__.co_filename


# ── A request, and the connection that it is written to ──────────────────────────────────────────────────────────────


@final
class _Sending:
    """The request that a task is about to send."""

    __slots__ = ("is_head", "is_shared", "pieces", "wire")

    def __init__(self, message: Message, wire: Wire, *, is_shared: bool) -> None:
        self.wire = wire
        self.is_shared = is_shared
        """Whether the application sends requests on the connection too."""
        self.is_head = message.is_head
        self.pieces = _pieces(message.body)

    @property
    def is_taken(self) -> bool:
        """Whether aiohttp has read the whole body."""
        return self.pieces is None or self.pieces.is_taken


@final
class _Pieces:
    """A body that is sent piece by piece."""

    __slots__ = ("_content", "is_taken")

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self.is_taken = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._content:
            yield piece
        self.is_taken = True


def _pieces(body: bytes | Content | None) -> _Pieces | None:
    """A body in pieces; None if aiohttp writes it at once."""
    if isinstance(body, Content):
        return _Pieces(body.chunks())
    return None if body is None or len(body) <= _LARGE_BYTES else _Pieces(_sliced(body))


async def _sliced(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _LARGE_BYTES):
        yield body[start : start + _LARGE_BYTES]


# Requests are found by task, not by context: tasks can share a context, but one task sends one request at a time.
_sending: dict[asyncio.Task[Any] | None, _Sending] = {}


class _ResendError(Exception):
    """aiohttp was about to send a request a second time."""


@final
class _Request(aiohttp.ClientRequest):
    """Records the moment from which the request may have been sent, and prevents a second send."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        sending = _sending.get(asyncio.current_task())
        if sending is None:
            msg = "something sends aiohttp's requests from other tasks, so it is not known which requests were sent."
            raise ConfigurationError(msg)
        if sending.wire.sent:
            raise _ResendError
        line, is_fresh = SessionLine.of(conn)
        if not await line.is_usable():
            raise StaleConnectionError(is_fresh=is_fresh)
        sending.wire.begin_writing(line.transport, asyncio.get_running_loop().time())
        line.begin(sending)
        conn.add_callback(line.end)
        return await super().send(conn)


@final
class SessionLine(Line, asyncio.Protocol):
    """Wraps aiohttp's protocol of a connection, and checks which answer each byte belongs to.

    aiohttp itself would take data on an idle connection, or after an answer, as the beginning of the next answer.
    """

    __slots__ = ("_head", "_heads", "_is_awaited", "_is_chunked", "_left", "_protocol", "_sending", "_tail")

    def __init__(self, transport: asyncio.Transport, protocol: ResponseHandler) -> None:
        super().__init__()
        self.transport = transport
        self._protocol = protocol
        self._is_awaited = False

    @classmethod
    def of(cls, connection: Connection) -> tuple[SessionLine, bool]:
        """The line of a connection, and whether this is its first request.

        Raises:
            StaleConnectionError: the connection has ended.
        """
        transport, protocol = connection.transport, connection.protocol
        if transport is None or protocol is None:
            raise StaleConnectionError(is_fresh=False)
        before = transport.get_protocol()
        if isinstance(before, SessionLine):
            return before, False
        if protocol.should_close:
            raise StaleConnectionError(is_fresh=True)
        line = cls(transport, protocol)
        transport.set_protocol(line)
        return line, True

    def begin(self, sending: _Sending) -> None:
        """Await an answer."""
        self._sending = sending
        self._head: bytearray | None = bytearray()
        self._heads = 0
        self._left: int | None = None
        self._is_chunked = False
        self._tail = b""
        self._is_awaited = True

    def end(self) -> None:
        """Stop awaiting an answer: the connection is returned or closed."""
        clean = (
            self._sending.is_taken
            and (not self._is_awaited or (self._is_chunked and self._ends_with_chunks()))
            and not self.transport.get_write_buffer_size()
        )
        self._is_awaited = False
        if not clean:
            self.abort()

    def _ends_with_chunks(self) -> bool:
        return self._tail.endswith(_HEAD_END) and not self._tail.endswith(b"\n" + _HEAD_END)

    # ── Callbacks of asyncio ─────────────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        if not self._is_awaited:
            self.is_spent = True
            if self._sending.is_shared:
                # The application may have asked for this data. The client did not, so it does not use the connection.
                self._protocol.data_received(data)
            else:
                self.abort()
            return
        try:
            data = self._accounted(data)
        except BrokenExchangeError as error:
            self._sending.wire.problem = str(error)
            self.abort()
            return
        if data:
            self._protocol.data_received(data)

    def eof_received(self) -> None:
        self.is_spent = True
        if self._is_awaited and self._head is None and self._left is None and not self._is_chunked and self.is_torn():
            self._sending.wire.problem = "the server closed the connection"
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_spent = True
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # ── Checks of the data ───────────────────────────────────────────────────────────────────────────────────────────

    def _accounted(self, data: bytes) -> bytes:
        """The part of the data that aiohttp may see: a complete head, and content as it comes."""
        content = len(data)
        if self._head is not None:
            self._head += data
            content = self._read_heads(self._head)
            if content < 0:
                return b""
            data, self._head = bytes(self._head), None
        if self._is_chunked:
            self._tail = (self._tail + data[-5:])[-5:]
        elif self._left is not None:
            self._left -= content
            self._is_awaited = self._left > 0
            if self._left < 0:
                self.is_spent = True
                return data[: self._left]
        return data

    def _read_heads(self, head: bytearray) -> int:
        """Return how many bytes of content follow the head, or -1 if the head is incomplete.

        The heads of interim answers are removed from `head`.
        """
        while (end := head.find(_HEAD_END)) >= 0:
            end += len(_HEAD_END)
            self._heads += end
            if self._begins_content(bytes(head[: end - 2])):
                return len(head) - end
            del head[:end]
        if self._heads + len(head) > MAX_HEAD_BYTES:
            _refuse("its head is too large")
        if _IMPOSSIBLE.search(head):
            _refuse("it is malformed")
        return -1

    def _begins_content(self, head: bytes) -> bool:
        """Record the framing of the content; False if the head is that of an interim answer."""
        if self._heads > MAX_HEAD_BYTES or head.count(b"\n") > MAX_HEAD_FIELDS + 1:
            _refuse("its head is too large")
        if not _HEAD.fullmatch(head):
            _refuse("it is malformed")
        status = int(head[9:12])
        if status < _LEAST_FINAL:
            if status == _SWITCHING:
                _refuse("its status is 101")
            return False
        lengths, codings = _LENGTH.findall(head), _CODING.findall(head)
        if len(lengths) + len(codings) > 1 or not all(each.strip().isdigit() for each in lengths):
            _refuse("it does not say how long it is")
        if not all(each.strip().lower() == b"chunked" for each in codings):
            _refuse("its transfer coding is not known")
        if self._sending.is_head or status in _BODILESS:
            self._left = 0
        elif codings:
            self._is_chunked = True
        elif lengths:
            self._left = int(lengths[0])
        return True


def _refuse(problem: str) -> NoReturn:
    msg = f"the answer cannot be used: {problem}"
    raise BrokenExchangeError(msg)


# ── The lane ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@final
class OpenReply:
    """An answer whose body was not read yet. The `content` of an answer is the answer itself."""

    __slots__ = ("_inflated", "_inflater", "_response", "_wire", "headers", "status", "version")

    def __init__(self, response: aiohttp.ClientResponse, wire: Wire, max_body: int) -> None:
        self._response = response
        self._wire = wire
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        version = response.version
        self.version = None if version is None else Version(*version)
        self._inflater = inflater(response.headers.get("Content-Encoding"), max_body)
        self._inflated: Iterator[bytes] = iter(())

    @property
    def content(self) -> OpenReply:
        return self

    async def readany(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            BrokenExchangeError: the answer is incomplete.
            AnswerTooLargeError: the body is larger than the limit.
        """
        while True:
            for piece in self._inflated:
                return piece
            data = await self._response.content.readany()
            if not data:
                break
            if self._inflater is None:
                return data
            self._inflated = self._inflater.feed(data)
        if self._wire.problem is not None:
            raise BrokenExchangeError(self._wire.problem)
        if self._inflater is not None:
            self._inflater.end()
        return b""

    async def read(self, max_body: int) -> Reply:
        """Read the whole body, up to `max_body` bytes."""
        reply = Reply(self.headers, self.status, self.version)
        body = bytearray()
        try:
            while piece := await self.readany():
                body += piece
                if len(body) > max_body:
                    raise AnswerTooLargeError  # noqa: TRY301 - the same error as for an inflated body
        except AnswerTooLargeError:
            reply.is_cut = True
        finally:
            self.close()
        reply.body = bytes(body[:max_body])
        return reply

    def close(self) -> None:
        """Return the connection; if the answer was not read to its end, close it."""
        self._response.close()


@final
@attrs.frozen(kw_only=True)
class SessionSettings:
    """The settings of a session's connections."""

    base: str
    limit: int
    connect_timeout: float | None
    keepalive: float
    ssl: ssl_module.SSLContext | bool
    proxy: URL | None
    trust_env: bool
    own: aiohttp.ClientSession | None


@final
class SessionLane:
    """The aiohttp sessions of one event loop: one for the API, and one for other hosts."""

    __slots__ = ("_elsewhere", "_session", "_settings")

    def __init__(self, settings: SessionSettings) -> None:
        check_aiohttp()
        self._settings = settings
        own = settings.own
        connector = None if own is None else own.connector
        if connector is None:
            connector = aiohttp.TCPConnector(
                limit=settings.limit, keepalive_timeout=settings.keepalive, ssl=settings.ssl
            )
        self._session = self._make(connector, own, connector_owner=own is None)
        # Headers and cookies for the API are not sent to other hosts.
        self._elsewhere = self._make(connector, None, connector_owner=False)

    def _make(
        self, connector: aiohttp.BaseConnector, own: aiohttp.ClientSession | None, *, connector_owner: bool
    ) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=connector,
            connector_owner=connector_owner,
            headers=None if own is None else own.headers,
            cookie_jar=aiohttp.DummyCookieJar() if own is None else own.cookie_jar,
            trace_configs=None if own is None else own.trace_configs,
            request_class=_Request,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout),
            auto_decompress=False,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            **_FIELDS_LIMIT,
        )
        # aiohttp would send idempotent requests a second time. `_Request` refuses that; this saves the connection.
        session._retry_connection = False  # noqa: SLF001 - aio-libs/aiohttp#10790 offers no public switch
        return session

    async def exchange(self, message: Message, wire: Wire) -> Reply:
        """Send a request and read its answer.

        Raises:
            OSError: no connection was made. Nothing was sent.
            BrokenExchangeError: no complete answer came.
        """
        reply = await self.open(message, wire)
        return await reply.read(message.max_body)

    async def open(self, message: Message, wire: Wire) -> OpenReply:
        """Send a request and read the head of its answer.

        Raises:
            OSError: no connection was made. Nothing was sent.
            BrokenExchangeError: no complete head came.
        """
        while True:
            try:
                response = await self._request(message, wire)
            except StaleConnectionError as stale:
                # Nothing was written to the connection, and it is no longer in the pool.
                if stale.is_fresh:
                    raise
                continue
            break
        try:
            reply = OpenReply(response, wire, message.max_body)
        except BaseException:
            response.close()
            raise
        wire.sent = True
        wire.head = reply
        wire.phase = "body"
        return reply

    async def _request(self, message: Message, wire: Wire) -> aiohttp.ClientResponse:
        task = asyncio.current_task()
        sending = _sending[task] = _Sending(message, wire, is_shared=self._settings.own is not None)
        problem: BaseException
        try:
            return await self._begin(message, sending)
        except aiohttp.ClientConnectorDNSError:
            problem = socket.gaierror()
        except aiohttp.ClientConnectorCertificateError as error:
            problem = error.certificate_error
        except aiohttp.ClientConnectorError as error:
            problem = error.os_error
        except (StaleConnectionError, aiohttp.ConnectionTimeoutError, ConfigurationError):
            raise
        except BaseException as error:
            # A replacement of the session may have sent the request without using `_Request`.
            if is_session_replaced():
                wire.sent = True
            if wire.problem is None or isinstance(error, asyncio.CancelledError):
                raise
            problem = BrokenExchangeError(wire.problem)
        finally:
            del _sending[task]
        raise problem

    async def _begin(self, message: Message, sending: _Sending) -> aiohttp.ClientResponse:
        headers = {**message.headers.fields, **(message.more or {})}
        body = message.body
        if isinstance(body, Content):
            headers["Content-Type"] = body.media_type
            if body.size is not None:
                headers["Content-Length"] = str(body.size)
        elif body is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(body))
        url = URL(message.target if message.elsewhere else self._settings.base + message.target, encoded=True)
        session = self._elsewhere if message.elsewhere else self._session
        return await session.request(
            message.method,
            url,
            data=body if sending.pieces is None else sending.pieces,
            headers=headers,
            skip_auto_headers=("Accept", "User-Agent"),
            allow_redirects=False,
            proxy=self._proxy(url),
        )

    def _proxy(self, url: URL) -> URL | None:
        settings = self._settings
        return environment_proxy(url) if settings.proxy is None and settings.trust_env else settings.proxy

    async def close(self) -> None:
        await self._elsewhere.close()
        await self._session.close()


_FIELDS_LIMIT: Final[dict[str, Any]] = (
    # aiohttp limits the number of fields since 3.14; in older versions only `SessionLine` limits it.
    {"max_headers": MAX_HEAD_FIELDS} if "max_headers" in inspect.signature(aiohttp.ClientSession).parameters else {}
)
