"""The client: configuration, one attribute for each group of endpoints, and the ways around them."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, cast
from urllib.parse import urlsplit

import attrs

from peaka_async._request import QueryValue, Request, Safety
from peaka_async._transport.call import RawResponse, captured
from peaka_async._transport.credential import KeySource, checked_key
from peaka_async._transport.pool import Pools, PoolSettings
from peaka_async._transport.retry import RetryPolicy
from peaka_async._transport.send import Transport
from peaka_async._transport.settings import Settings, Shared, Timeouts
from peaka_async._transport.tracing import Telemetry
from peaka_async.endpoints._groups import Groups
from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

__all__ = ["Info", "PeakaClient"]

P = ParamSpec("P")
T = TypeVar("T")

Zone = Literal["us", "eu"]

_ZONES: dict[str, str] = {
    "us": "https://partner.peaka.studio/api/v1",
    "eu": "https://partner.eu.peaka.studio/api/v1",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_METHOD = re.compile("[A-Z]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_SAFETY_OF_METHODS = {
    "GET": Safety.SAFE,
    "HEAD": Safety.SAFE,
    "OPTIONS": Safety.SAFE,
    "PUT": Safety.IDEMPOTENT,
    "DELETE": Safety.IDEMPOTENT,
}


@attrs.frozen
class Info:
    """Whose an API key is. The project's id and name are there for Project keys only."""

    user_id: str | None = None
    email: str | None = None
    project_id: str | None = None
    project_name: str | None = None


@attrs.frozen
class _Base:
    """Where the API is: `https://host:port` and the path prefix."""

    origin: str
    prefix: str
    address: str
    port: int


class PeakaClient(Groups):
    """The Partner API of Peaka.

    It can be made anywhere, without an event loop, and used under several, one after the other or in several threads:
    each has its own connections. Use it as an asynchronous context manager, or close it with `aclose`.

    ```python
    async with PeakaClient() as peaka:  # the key comes from PEAKA_API_KEY
        connections = await peaka.connections.list("mtKDhe1U")
    ```

    Args:
        api_key: a Partner or Project key, or an async callable that returns one (asked before every attempt, for
            tokens that live short); the environment's PEAKA_API_KEY where it is left out.
        zone: where the data lives, `us` (the default) or `eu`.
        base_url: in place of a zone: the API's address, with its path prefix; the environment's PEAKA_BASE_URL where
            both are left out.
        timeout: limits in seconds, as `Timeouts`, or one number for the whole call and for each attempt.
        retry: which failures are retried, and how.
        max_response_bytes: the largest answer read into memory.
        max_connections: connections open at one time, for each event loop.
        ssl: a TLS context, for a private CA or a client certificate.
        proxy: the URL of an HTTP proxy.
        trust_env: take the proxy from the environment (HTTPS_PROXY and so on).
        allow_http: allow plain http:// to another host than this one. The key then travels in the clear.
        session: an aiohttp session whose connector, headers, cookies and trace configurations are used. It stays
            yours: it is not closed, and its event loop is the only one that the client works under.
        tracer_provider: the OpenTelemetry tracer provider; the global one where it is left out.
        meter_provider: the OpenTelemetry meter provider; the global one where it is left out.
        propagator: what puts the trace context into requests; W3C trace context where it is left out.

    Raises:
        ConfigurationError: there is no key, or an argument cannot work.
    """

    def __init__(
        self,
        api_key: KeySource | None = None,
        *,
        zone: Zone | None = None,
        base_url: str | None = None,
        timeout: float | Timeouts | None = None,
        retry: RetryPolicy | None = None,
        max_response_bytes: int = _MAX_RESPONSE_BYTES,
        max_connections: int = 100,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        allow_http: bool = False,
        session: aiohttp.ClientSession | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        if max_connections < 1:
            msg = "max_connections must be 1 or more."
            raise ConfigurationError(msg)
        timeouts = _timeouts(timeout)
        base = _base(zone, base_url, allow_http=allow_http)
        settings = Settings(
            credential=_credential(api_key),
            timeouts=timeouts,
            retry=retry or RetryPolicy(),
            max_response_bytes=max_response_bytes,
        )
        pools = Pools(
            PoolSettings(
                base=base.origin + base.prefix,
                limit=max_connections,
                connect_timeout=timeouts.connect,
                ssl=True if ssl is None else ssl,
                proxy=proxy,
                trust_env=trust_env,
                session=session,
            )
        )
        telemetry = Telemetry(
            address=base.address,
            port=base.port,
            base=base.origin + base.prefix,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            propagator=propagator,
        )
        self._made_at: str | None = _caller()
        shared = Shared(origin=base.origin, prefix=base.prefix, pools=pools, telemetry=telemetry)
        self._begin(Transport(settings, shared))

    def _begin(self, transport: Transport) -> None:
        super().__init__(transport)
        self._transport = transport

    async def info(self) -> Info:
        """Find out whose key this is: the way to check a key, and to find the project of a Project key.

        Raises:
            AuthenticationError: the key is not valid.
        """
        return await self._transport.send(Request("info", "GET", "/info", returns=Info, safety=Safety.SAFE))

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: object = None,
        safety: Safety | None = None,
    ) -> object:
        """Call what this package does not model, with the same retries, limits, spans and errors.

        Args:
            method: the HTTP method.
            path: the path below the base URL, with a leading slash, percent-encoded where needed.
            query: query parameters; None values are left out.
            body: what is sent as JSON.
            safety: whether a repetition could do harm; by the method where it is left out (GET is safe, PUT and DELETE
                are idempotent, the rest is sent once).

        Returns:
            The JSON value of the answer; None where it has no body.

        Raises:
            ConfigurationError: the method is none, or the path does not begin with a slash, or holds a query or a dot
                segment.
        """
        method = method.upper()
        _check_line(method, path)
        return await self._transport.send(
            Request(
                "request",
                method,
                path,
                query=query or {},
                body=body,
                returns=object,
                safety=safety or _SAFETY_OF_METHODS.get(method, Safety.ONCE),
            )
        )

    async def with_raw_response(
        self, method: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> RawResponse[T]:
        """Make a call and get its value with the status, the headers and the ledger of attempts.

        ```python
        raw = await peaka.with_raw_response(peaka.connections.list, "mtKDhe1U")
        ```
        """
        calls: list[RawResponse[object]] = []
        token = captured.set(calls)
        try:
            value = await method(*args, **kwargs)
        finally:
            captured.reset(token)
        if not calls:
            msg = "with_raw_response wants a method of this client that makes a call."
            raise ConfigurationError(msg)
        return cast("RawResponse[T]", attrs.evolve(calls[-1], value=value))

    def with_options(self, *, timeout: float | Timeouts | None = None, retry: RetryPolicy | None = None) -> PeakaClient:
        """A view of this client with other limits; it shares the connections, and closing it closes nothing."""
        settings = self._transport.settings
        if timeout is not None:
            settings = attrs.evolve(settings, timeouts=_timeouts(timeout))
        if retry is not None:
            settings = attrs.evolve(settings, retry=retry)
        view = object.__new__(type(self))
        view._made_at = None
        view._begin(Transport(settings, self._transport.shared))
        return view

    async def aclose(self) -> None:
        """Close the connections. Calls in flight fail; the client cannot be used again. More than once is fine."""
        if self._made_at is not None:
            await self._transport.shared.pools.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        shared = self._transport.shared
        return f"<PeakaClient {shared.origin}{shared.prefix}{' closed' if shared.pools.closed else ''}>"

    def __del__(self) -> None:
        transport = getattr(self, "_transport", None)
        if transport is None or self._made_at is None or transport.shared.pools.closed:
            return
        if transport.shared.pools.open:
            warnings.warn(
                f"A PeakaClient was not closed (use `async with`, or `await client.aclose()`); made at {self._made_at}",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )


def _caller() -> str:
    frame = sys._getframe(2)  # noqa: SLF001 - the only way to it that costs nothing
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _credential(api_key: KeySource | None) -> KeySource:
    if api_key is None:
        api_key = os.environ.get("PEAKA_API_KEY")
        if not api_key:
            msg = "There is no API key: give PeakaClient an api_key, or set PEAKA_API_KEY."
            raise ConfigurationError(msg)
    return api_key if callable(api_key) else checked_key(api_key)


def _timeouts(timeout: float | Timeouts | None) -> Timeouts:
    if timeout is None:
        return Timeouts()
    return timeout if isinstance(timeout, Timeouts) else Timeouts(total=timeout, attempt=timeout)


def _base(zone: str | None, base_url: str | None, *, allow_http: bool) -> _Base:
    if zone is not None and base_url is not None:
        msg = "zone and base_url exclude each other."
        raise ConfigurationError(msg)
    if zone is not None and zone not in _ZONES:
        msg = f"zone must be one of {', '.join(_ZONES)}."
        raise ConfigurationError(msg)
    if zone is None and base_url is None:
        base_url = os.environ.get("PEAKA_BASE_URL")
    return _parsed_base(base_url or _ZONES[zone or "us"], allow_http=allow_http)


def _parsed_base(base_url: str, *, allow_http: bool) -> _Base:
    url = urlsplit(base_url)
    problem = None
    try:
        port = url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    except ValueError:
        port = 0
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or not port:
        problem = "must be an http:// or https:// URL with a host"
    elif url.query or url.fragment or url.username or url.password:
        problem = "must hold no query, fragment or credential"
    elif url.scheme == "http" and url.hostname not in _LOOPBACK and not allow_http:
        problem = "is plain http://, which would send the key in the clear; use https://, or allow_http=True"
    if problem is not None:
        msg = f"base_url {problem}."
        raise ConfigurationError(msg)
    host = f"[{url.hostname}]" if ":" in str(url.hostname) else str(url.hostname)
    authority = host if port == _DEFAULT_PORTS[url.scheme] else f"{host}:{port}"
    return _Base(f"{url.scheme}://{authority}", url.path.rstrip("/"), str(url.hostname), port)


def _check_line(method: str, path: str) -> None:
    """Refuse what would make another request of it."""
    if not _METHOD.fullmatch(method):
        problem = f"method must be an HTTP method, such as {', '.join(_SAFETY_OF_METHODS)}"
    elif not path.startswith("/") or not path.isascii() or not path.isprintable() or any(c in path for c in "?# {}\\"):
        problem = "path must begin with a slash, be percent-encoded and hold no query: use query= for that"
    elif any(segment.lower().replace("%2e", ".") in {".", ".."} for segment in path.split("/")):
        problem = "path must not hold a dot segment"
    else:
        return
    msg = f"request: {problem}. Nothing was sent."
    raise ConfigurationError(msg, operation="request")
