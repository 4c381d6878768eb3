"""The client: its configuration, one attribute per group of endpoints, and calls to paths without a method."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Coroutine, Hashable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, cast

import attrs

from peaka_async import _arguments
from peaka_async._request import QueryValue, Request, Safety
from peaka_async._transport import logs
from peaka_async._transport.call import RawResponse, captured
from peaka_async._transport.credential import KeySource
from peaka_async._transport.headers import checked_headers, merged
from peaka_async._transport.pool import Pools, PoolSettings
from peaka_async._transport.retry import RetryBudget, RetryPolicy
from peaka_async._transport.send import Transport
from peaka_async._transport.settings import Settings, Shared, Timeouts
from peaka_async._transport.throttle import Limiter
from peaka_async._transport.tracing import Telemetry
from peaka_async.endpoints._groups import Groups
from peaka_async.errors import ConfigurationError
from peaka_async.models._model import Model

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

_MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_SAFETY_OF_METHODS = {
    "GET": Safety.SAFE,
    "HEAD": Safety.SAFE,
    "OPTIONS": Safety.SAFE,
    "PUT": Safety.IDEMPOTENT,
    "DELETE": Safety.IDEMPOTENT,
}


@attrs.frozen
class Info(Model):
    """The user of an API key. The project's id and name are set for Project keys only."""

    user_id: str | None = None
    email: str | None = None
    project_id: str | None = None
    project_name: str | None = None


class PeakaClient(Groups):
    """A client for Peaka's Partner API.

    Create it anywhere; it needs no event loop. It can be used under several event loops, one after another or in
    several threads: each loop has its own connections. Use it as an asynchronous context manager, or close it with
    `aclose`.

    ```python
    async with PeakaClient() as peaka:  # the key comes from PEAKA_API_KEY
        connections = await peaka.connections.list("mtKDhe1U")
    ```

    Args:
        api_key: a Partner or Project key, or an async callable that returns one. The callable runs before every
            attempt, for short-lived tokens. Defaults to the environment variable PEAKA_API_KEY.
        zone: the region of the data, `us` (the default) or `eu`.
        base_url: the API's address with its path prefix, instead of a zone. If both are missing, the environment
            variables PEAKA_BASE_URL, PARTNER_API_BASE_URL and PEAKA_ZONE are read; the first that is set is used.
        timeout: limits in seconds: `Timeouts`, or one number for the whole call and for each attempt.
        retry: which failures are retried, and how.
        limiter: a rate limit that several processes share; see `Limiter`.
        throttle_key: a function that returns the owner of a call's rate limit, such as the tenant. After an HTTP 429
            only calls with the same value slow down. Defaults to the key that is sent. Set it if an api_key callable
            returns a new token for each attempt.
        max_response_bytes: the largest answer that is read into memory.
        max_connections: how many connections may be open at one time, for each event loop.
        ssl: a TLS context, for a private CA or a client certificate.
        headers: headers to send with each request to the API (not to other hosts), for a gateway in front of it. They
            cannot replace headers that the client sets, such as Authorization.
        project_id: the value of the property `project_id`. Defaults to the environment variable PEAKA_PROJECT_ID.
        proxy: the URL of an HTTP proxy.
        trust_env: read the proxy from the environment (HTTPS_PROXY and others).
        allow_http: allow plain http:// to other hosts than this machine. The key is then sent unencrypted.
        session: an aiohttp session; its connector, headers, cookies and trace configurations are used. The client does
            not close it, and works only under the session's event loop.
        tracer_provider: the OpenTelemetry tracer provider. Defaults to the global one.
        meter_provider: the OpenTelemetry meter provider. Defaults to the global one.
        propagator: writes the trace context into requests. Defaults to W3C Trace Context.
        operation_spans: whether each call has a span around the spans of its attempts.

    Raises:
        ConfigurationError: the key is missing, or an argument is invalid.
    """

    def __init__(
        self,
        api_key: KeySource | None = None,
        *,
        zone: Zone | None = None,
        base_url: str | None = None,
        timeout: float | Timeouts | None = None,
        retry: RetryPolicy | None = None,
        limiter: Limiter | None = None,
        throttle_key: Callable[[], Hashable] | None = None,
        max_response_bytes: int = _MAX_RESPONSE_BYTES,
        max_connections: int = 100,
        ssl: ssl_module.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        project_id: str | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        allow_http: bool = False,
        session: aiohttp.ClientSession | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
        operation_spans: bool = True,
    ) -> None:
        _arguments.check_count("max_connections", max_connections)
        _arguments.check_count("max_response_bytes", max_response_bytes)
        _arguments.check_flag("trust_env", trust_env)
        _arguments.check_flag("allow_http", allow_http)
        _arguments.check_flag("operation_spans", operation_spans)
        _arguments.check_tls(ssl)
        _arguments.check_limiter(limiter)
        _arguments.check_callable("throttle_key", throttle_key)
        address = _arguments.address(zone, base_url, allow_http=allow_http)
        settings = Settings(
            credential=_arguments.credential(api_key),
            timeouts=Timeouts.of(timeout),
            retry=_arguments.policy(retry),
            max_response_bytes=max_response_bytes,
            headers=checked_headers(headers or {}),
            project_id=_arguments.project(project_id),
        )
        pools = Pools(
            PoolSettings(
                base=address.base,
                limit=max_connections,
                connect_timeout=settings.timeouts.connect,
                ssl=True if ssl is None else ssl,
                proxy=proxy,
                trust_env=trust_env,
                session=session,
            )
        )
        budget = RetryBudget()
        telemetry = Telemetry(
            address=address.host,
            port=address.port,
            base=address.base,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            propagator=propagator,
            operation_spans=operation_spans,
            tokens=lambda: budget.tokens,
        )
        logs.switch_on()
        self._made_at: str | None = _caller()
        shared = Shared(
            origin=address.origin,
            prefix=address.prefix,
            pools=pools,
            telemetry=telemetry,
            budget=budget,
            limiter=limiter,
            throttle_key=throttle_key,
        )
        self._begin(Transport(settings, shared))

    def _begin(self, transport: Transport) -> None:
        super().__init__(transport)
        self._transport = transport

    @property
    def project_id(self) -> str:
        """The client's project, for calls such as `peaka.connections.list(peaka.project_id)`.

        Raises:
            ConfigurationError: neither `project_id` nor PEAKA_PROJECT_ID is set.
        """
        project_id = self._transport.settings.project_id
        if project_id is None:
            msg = "The project id is missing: pass project_id to PeakaClient, or set PEAKA_PROJECT_ID."
            raise ConfigurationError(msg)
        return project_id

    async def info(self) -> Info:
        """Get the user of the API key, and the project of a Project key. Use it to check a key.

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
        """Call a path that has no method in this package, with the same retries, limits, spans and errors.

        Args:
            method: the HTTP method.
            path: the path below the base URL. It begins with a slash and is percent-encoded.
            query: query parameters; None values are left out.
            body: the value to send as JSON.
            safety: whether the request may be repeated. By default GET is safe, PUT and DELETE are idempotent, and
                everything else is sent once.

        Returns:
            The JSON value of the answer; None if it has no body.

        Raises:
            ConfigurationError: the method is invalid, or the path does not begin with a slash, or holds a query or a
                dot segment.
        """
        method = _arguments.checked_method(method, path)
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
        """Call a method and get its value with the status, the headers and the list of attempts.

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
            msg = "with_raw_response needs a method of this client that makes a call."
            raise ConfigurationError(msg)
        return cast("RawResponse[T]", attrs.evolve(calls[-1], value=value))

    def with_options(
        self,
        *,
        timeout: float | Timeouts | None = None,
        retry: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> PeakaClient:
        """Return a view of this client with other options. It shares the connections; closing it has no effect.

        Args:
            timeout: replaces this client's limits.
            retry: replaces this client's retry policy.
            headers: sent in addition to this client's headers; a header of the same name is replaced.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        settings = self._transport.settings
        if timeout is not None:
            settings = attrs.evolve(settings, timeouts=Timeouts.of(timeout))
        if retry is not None:
            settings = attrs.evolve(settings, retry=_arguments.policy(retry))
        if headers is not None:
            settings = attrs.evolve(settings, headers=merged(settings.headers, checked_headers(headers)))
        view = object.__new__(type(self))
        view._made_at = None
        view._begin(Transport(settings, self._transport.shared))
        return view

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Close the connections. The client cannot be used again; closing it twice is fine.

        Args:
            drain: how many seconds to wait for calls in flight. The calls that remain raise a TransportError, whose
                `progress` says whether the request was sent, or an OutcomeUnknownError if the request was sent and
                must not be repeated.
        """
        if self._made_at is not None:
            await self._transport.shared.pools.aclose(drain)

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
    frame = sys._getframe(2)  # noqa: SLF001 - the only cheap way to the caller's line
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
