"""What is read as an answer and what is refused, wherever the bytes are cut."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import pytest
from answers import LINE, MORE, REFUSED, UNREADABLE, WHOLE, ZIPPED
from hypothesis import given
from hypothesis import strategies as st

from peaka_async._transport.parser import ReplyParser
from peaka_async._transport.wire import BrokenExchangeError


def read(*pieces, max_body=1000, is_head=False, eof=False, is_torn=False):
    """The reply, and whether the connection may be used again."""
    parser = ReplyParser()
    course = SimpleNamespace(head=None, phase="response")
    reply = parser.begin(course, max_body=max_body, is_head=is_head)
    for number, piece in enumerate(pieces, 1):
        if parser.feed(piece):
            assert number == len(pieces)
    if eof:
        parser.feed_eof(is_torn=is_torn)
    if not parser.is_complete:
        return "more", course.phase
    assert course.head is reply
    return reply, not parser.is_last


def body(*pieces, **options):
    reply, keeps = read(*pieces, **options)
    return reply.status, reply.body, keeps


# ── Whole answers ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("data", "keeps"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_read_wherever_it_is_cut(data, keeps):
    """At once, in two pieces cut at every byte, and byte by byte."""
    whole = body(data)

    assert whole[1] in {b"hello", b"", b"hello\r\n"}
    assert whole[2] is keeps
    assert body(*(data[at : at + 1] for at in range(len(data)))) == whole
    for at in range(1, len(data)):
        assert body(data[:at], data[at:]) == whole
        assert read(data[:at])[0] == "more"


@given(st.data())
def test_an_answer_is_read_in_any_pieces(data):
    """Whatever the network does."""
    answer, keeps = data.draw(st.sampled_from(list(WHOLE.values())))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1))))
    pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]

    assert body(*pieces) == (*body(answer)[:2], keeps)


def test_headers_are_read():
    """Names in any case; of a repeated one the first."""
    reply, _ = read(LINE + b"X-One: 1\r\nx-one: 2\r\nContent-Length: 0\r\n\r\n")

    assert (reply.headers["X-ONE"], reply.headers.get("x-two"), reply.version) == ("1", None, (1, 1))
    assert "X-One" in reply.headers
    assert dict(reply.headers)["Content-Length"] == "0"


@pytest.mark.parametrize(
    ("length", "keeps"), [(b"Content-Length: 5\r\n", True), (b"", False), (b"Transfer-Encoding: chunked\r\n", True)]
)
def test_the_answer_to_a_head_has_no_body(length, keeps):
    """Whatever its head says of one. The next answer is read as ever, and a body that comes all the same is none."""
    data = LINE + length + b"\r\n"
    for at in range(1, len(data)):
        assert body(data[:at], data[at:], is_head=True) == (200, b"", keeps)
    for more in (*MORE, b"hello", b"5\r\n"):
        assert body(data + more, is_head=True) == (200, b"", False)


def test_after_a_head_comes_another_answer():
    """The parser that was stopped is another one then."""
    parser = ReplyParser()
    for is_head, content in ((True, b""), (False, b"hello"), (True, b""), (True, b""), (False, b"hello")):
        reply = parser.begin(SimpleNamespace(), max_body=100, is_head=is_head)
        assert parser.feed(LINE + b"Content-Length: 5\r\n\r\n" + content)
        assert (reply.body, parser.is_last) == (content, False)


# ── The end of the connection ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("coding", [b"", b"Content-Encoding: gzip\r\n"])
def test_a_body_can_end_with_its_connection(coding):
    """If nothing else says where it ends."""
    content = ZIPPED if coding else b"hello"

    assert body(LINE + coding + b"\r\n", content, eof=True) == (200, b"hello", False)
    assert body(b"HTTP/1.0 200 OK\r\n\r\nhello", eof=True) == (200, b"hello", False)


def test_a_torn_connection_ends_no_body():
    """Over TLS an end without a farewell can be anybody's."""
    with pytest.raises(BrokenExchangeError, match="closed"):
        read(LINE + b"\r\nhello", eof=True, is_torn=True)


@pytest.mark.parametrize(("data", "keeps"), WHOLE.values(), ids=WHOLE)
def test_an_end_at_every_byte_breaks_the_answer(data, keeps):
    """No part of an answer is taken for the whole."""
    for at in range(len(data)):
        with pytest.raises(BrokenExchangeError):
            read(*([data[:at]] if at else []), eof=True)


def test_gzip_that_ends_with_its_connection_is_checked():
    """A compressed body without its tail was cut off."""
    with pytest.raises(BrokenExchangeError, match="breaks off"):
        read(LINE + b"Content-Encoding: gzip\r\n\r\n" + ZIPPED[:-4], eof=True)


# ── What follows an answer ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize(("data", "keeps"), WHOLE.values(), ids=WHOLE)
def test_what_follows_ends_the_connection(data, keeps, more):
    """The answer stands, and nothing is read after it."""
    status, content, _ = body(data)

    assert body(data + more) == (status, content, False)
    assert body(data[:-1], data[-1:] + more) == (status, content, False)


# ── What is no answer ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [*REFUSED.values(), *UNREADABLE.values()], ids=[*REFUSED, *UNREADABLE])
def test_what_is_no_answer_is_refused(data):
    """At once, and in pieces."""
    with pytest.raises(BrokenExchangeError):
        read(data)
    with pytest.raises(BrokenExchangeError):
        read(*(data[at : at + 100] for at in range(0, len(data), 100)))


def test_a_large_head_is_read():
    """200 headers, and 64 kB."""
    assert body(LINE + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n", eof=True)[0] == 200
    assert body(LINE + b"X: " + b"y" * 65_000 + b"\r\nContent-Length: 0\r\n\r\n")[0] == 200


# ── Large bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────

LARGE = {
    "a length": LINE + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001,
    "chunks": LINE + b"Transfer-Encoding: chunked\r\n\r\n" + b"64\r\n%b\r\n" % (b"x" * 100) * 11 + b"0\r\n\r\n",
    "gzip": LINE
    + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(b"x" * 1001))
    + gzip.compress(b"x" * 1001),
    "no length": LINE + b"\r\n" + b"x" * 1001,
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_body_beyond_the_limit_is_cut(data):
    """The status is known, the beginning is kept, and nothing more is read on the connection."""
    reply, keeps = read(data)

    assert (reply.status, reply.body, reply.is_cut, keeps) == (200, b"x" * 1000, True, False)
    assert read(data, max_body=1100, eof=True)[0].is_cut is False


def test_chunks_of_single_bytes_are_read():
    """Framing that is larger than the content is no attack."""
    assert body(LINE + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 900, b"0\r\n\r\n")[1] == b"x" * 900
