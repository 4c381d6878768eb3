"""The API key: a string, or a callable that is called before each attempt."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from peaka_async.errors import ConfigurationError, PeakaTimeoutError, WireProgress

KeySource = str | Callable[[], Awaitable[str]]


def checked_key(key: object) -> str:
    """Check an API key.

    Raises:
        ConfigurationError: it is not a str, is empty, or holds a character that is not allowed in a header.
    """
    if not isinstance(key, str) or not key.strip():
        msg = "api_key must be a str that is not empty, or an async callable that returns one. Nothing was sent."
        raise ConfigurationError(msg)
    if key.lower().startswith("bearer "):
        msg = 'api_key must be the key alone, without "Bearer " before it. Nothing was sent.'
        raise ConfigurationError(msg)
    if not (key.isascii() and key.isprintable()) or " " in key:
        msg = "api_key holds a character that is not allowed in a header (a line end, perhaps). Nothing was sent."
        raise ConfigurationError(msg)
    return key


async def fetched_key(source: Callable[[], Awaitable[str]], seconds: float | None) -> str:
    """Get the key from the application's callable. Its exceptions are passed on.

    Raises:
        PeakaTimeoutError: the callable did not return within the rest of the call's time.
        ConfigurationError: the callable did not return a valid key.
    """
    limit = asyncio.timeout(seconds)
    answer = source()
    if not inspect.isawaitable(answer):
        msg = "the api_key callable must be async: it did not return an awaitable. This attempt was not sent."
        raise ConfigurationError(msg)
    try:
        async with limit:
            return checked_key(await answer)
    except TimeoutError:
        if not limit.expired():
            raise
    msg = "the api_key callable did not answer before the deadline. This attempt was not sent."
    raise PeakaTimeoutError(msg, phase="credential", progress=WireProgress.NOT_SENT)
