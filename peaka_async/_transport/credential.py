"""The API key: a string, or a callable that is asked before each attempt."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from peaka_async.errors import ConfigurationError, PeakaTimeoutError, WireProgress

KeySource = str | Callable[[], Awaitable[str]]


def checked_key(key: object) -> str:
    """An API key that a header can carry.

    Raises:
        ConfigurationError: it is not a str, is empty, or holds what no header may.
    """
    if not isinstance(key, str) or not key.strip():
        msg = "api_key must be a str that is not empty, or an async callable that returns one. Nothing was sent."
        raise ConfigurationError(msg)
    if key.lower().startswith("bearer "):
        msg = 'api_key must be the key alone, without "Bearer " before it. Nothing was sent.'
        raise ConfigurationError(msg)
    if not (key.isascii() and key.isprintable()) or " " in key:
        msg = "api_key holds a character that a header cannot carry (a line end, perhaps). Nothing was sent."
        raise ConfigurationError(msg)
    return key


async def fetched_key(source: Callable[[], Awaitable[str]], seconds: float | None) -> str:
    """Ask the application for the key; what it raises is its own.

    Raises:
        PeakaTimeoutError: it did not answer within the time that the call has left.
        ConfigurationError: what it returned is not a key.
    """
    limit = asyncio.timeout(seconds)
    answer = source()
    if not inspect.isawaitable(answer):
        msg = "the api_key callable must be async: it returned no awaitable. This attempt was not sent."
        raise ConfigurationError(msg)
    try:
        async with limit:
            return checked_key(await answer)
    except TimeoutError:
        if not limit.expired():
            raise
    msg = "the api_key callable did not answer before the deadline. This attempt was not sent."
    raise PeakaTimeoutError(msg, phase="credential", progress=WireProgress.NOT_SENT)
