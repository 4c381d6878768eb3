"""Long lists, fetched page by page. No I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar, final

import attrs

from peaka_async.errors import ConfigurationError, DecodeError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@final
@attrs.frozen
class ResultPage(Generic[T_co]):
    """One page of a list.

    Attributes:
        items: the items on the page, in the service's order.
        resume_token: continues the list after this page, even later and in another process; None on the last page.
    """

    items: tuple[T_co, ...]
    resume_token: str | None = None

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@final
class Pages(Generic[T_co]):
    """A long list that is fetched a page at a time during iteration.

    `async for item in pages` gives the items. `async for page in pages.pages()` gives whole pages, each with the token
    that continues after it. Nothing is sent before the iteration. Each iteration starts from the beginning.
    """

    __slots__ = ("_fetch", "_resume_token")

    def __init__(
        self, fetch: Callable[[str | None], Awaitable[ResultPage[T_co]]], *, resume_token: str | None = None
    ) -> None:
        self._fetch = fetch
        self._resume_token = resume_token

    def __aiter__(self) -> AsyncIterator[T_co]:
        return self._items()

    async def _items(self) -> AsyncIterator[T_co]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncIterator[ResultPage[T_co]]:
        """Give the pages one by one.

        Raises:
            DecodeError: the service gives a page as its own next page, so the list would never end.
        """
        token = self._resume_token
        while True:
            page = await self._fetch(token)
            yield page
            if page.resume_token is None:
                return
            if page.resume_token == token:
                msg = "the service gives a page as its own next page, so the list would never end."
                raise DecodeError(msg)
            token = page.resume_token


def made_token(kind: str, position: object) -> str:
    """Make a token that names its kind of list, so that it cannot resume a list of another kind."""
    return f"{kind}:{position}"


def read_token(kind: str, token: str | None) -> str | None:
    """The position in a token; None for the start of the list, if there is no token.

    Raises:
        ConfigurationError: the token was not made for this kind of list.
    """
    if token is None:
        return None
    found, _, position = token.partition(":")
    if found != kind or not position:
        msg = f"the resume token belongs to another list: it must begin with {kind!r} and a colon. Nothing was sent."
        raise ConfigurationError(msg)
    return position


def read_offset(kind: str, token: str | None) -> int:
    """The offset in a token; 0 if there is no token.

    Raises:
        ConfigurationError: the token was not made for this kind of list.
    """
    position = read_token(kind, token)
    if position is None:
        return 0
    if not (position.isascii() and position.isdecimal()):
        msg = f"the resume token is invalid: {kind!r} must be followed by the number of items. Nothing was sent."
        raise ConfigurationError(msg)
    return int(position)
