"""Lists that are fetched page by page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async.endpoints._paging import Pages, ResultPage, made_token, read_offset, read_token
from peaka_async.errors import ConfigurationError, DecodeError


def counted(total: int, limit: int, *, resume_token: str | None = None, fetched: list[str | None] | None = None):
    """Make a list of the numbers below `total`, with `limit` numbers on a page."""

    async def fetch(token: str | None) -> ResultPage[int]:
        if fetched is not None:
            fetched.append(token)
        start = read_offset("count", token)
        end = min(start + limit, total)
        return ResultPage(tuple(range(start, end)), made_token("count", end) if end < total else None)

    return Pages(fetch, resume_token=resume_token)


@given(total=st.integers(0, 40), limit=st.integers(1, 15))
async def test_every_item_comes_once_and_in_order(total, limit):
    """Iteration gives the items of all pages, for any size of the pages."""
    assert [item async for item in counted(total, limit)] == list(range(total))


@given(total=st.integers(1, 40), limit=st.integers(1, 15), data=st.data())
async def test_a_token_continues_after_its_page(total, limit, data):
    """The first pages, and the list that the last of them resumes, make the whole list."""
    pages = [page async for page in counted(total, limit).pages()]
    stop = data.draw(st.integers(0, len(pages) - 1))
    seen = [item for page in pages[: stop + 1] for item in page]
    token = pages[stop].resume_token
    rest = [] if token is None else [item async for item in counted(total, limit, resume_token=token)]
    assert seen + rest == list(range(total))


async def test_nothing_is_fetched_ahead():
    """A page is fetched only when all items of the previous page were used."""
    fetched: list[str | None] = []
    pages = counted(10, 2, fetched=fetched)
    before = list(fetched)
    async for item in pages:
        if item == 2:
            break
    assert (before, fetched) == ([], [None, "count:2"])


async def test_an_empty_page_is_not_the_end():
    """Only a page without a token ends the list."""
    answers = {None: ResultPage((), "a:1"), "a:1": ResultPage((7,), None)}

    async def fetch(token: str | None) -> ResultPage[int]:
        return answers[token]

    assert [item async for item in Pages(fetch)] == [7]


async def test_a_page_that_names_itself_ends_in_an_error():
    """If the service returns the same page again, that is an error, not an endless loop."""

    async def fetch(token: str | None) -> ResultPage[int]:
        return ResultPage((1,), "a:1")

    seen = []
    with pytest.raises(DecodeError, match="own next page"):
        async for item in Pages(fetch):
            seen.append(item)  # noqa: PERF401 - the items before the error count
    assert seen == [1, 1]


@pytest.mark.parametrize("token", ["", "5", "other:5", "count:", "count:x", "count:-1", "count:٣"])
def test_a_foreign_token_is_refused(token):
    """A list can be resumed only with its own tokens."""
    with pytest.raises(ConfigurationError) as caught:
        read_offset("count", token)
    assert "Nothing was sent" in str(caught.value)


@pytest.mark.parametrize("token", ["", "before", "before:", "after:x", ":x"])
def test_a_token_needs_its_kind_and_a_position(token):
    """Both are checked for every form of position."""
    with pytest.raises(ConfigurationError, match="must begin with 'before' and a colon"):
        read_token("before", token)


def test_a_position_may_hold_colons():
    """A token can hold a timestamp."""
    assert read_token("before", made_token("before", "2026-01-02T03:04:05Z")) == "2026-01-02T03:04:05Z"
