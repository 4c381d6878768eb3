"""What is read as an answer and what is refused, wherever the bytes are cut."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async._transport.parser import ReplyParser
from peaka_async._transport.wire import BrokenExchangeError

LINE = b"HTTP/1.1 200 OK\r\n"
ZIPPED = gzip.compress(b"hello")


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

WHOLE = {
    "a length": (LINE + b"Content-Length: 5\r\n\r\nhello", True),
    "a length of nothing": (LINE + b"Content-Length: 0\r\n\r\n", True),
    "chunks": (LINE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", True),
    "chunks in capitals": (LINE + b"TRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", True),
    "chunks with extensions": (LINE + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d;e"\r\nhello\r\n0;f\r\n\r\n', True),
    "chunks with trailers": (LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\nZ: z\r\n\r\n", True),
    "gzip": (LINE + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED, True),
    "gzip in chunks": (
        LINE
        + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED),
        True,
    ),
    "a close": (LINE + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False),
    "a close among others": (LINE + b"Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
    "HTTP/1.0 that keeps": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    "an interim answer before": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LINE + b"Content-Length: 5\r\n\r\nhello",
        True,
    ),
    "many interim answers before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nContent-Encoding: br\r\n\r\n"
        + LINE
        + b"Content-Length: 5\r\n\r\nhello",
        True,
    ),
    "a header in UTF-8": (LINE + "X: ü\r\nContent-Length: 5\r\n\r\nhello".encode(), True),
    "a body that ends with a line end": (LINE + b"Content-Length: 7\r\n\r\nhello\r\n", True),
}


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

MORE = [
    b"H",
    b"\r\n",
    b"\n",
    b"\r",
    b"x",
    LINE,
    b"HTTP/1.1 408 Timeout\r\nConnection: close\r\n\r\n",
    b"\x00",
    b"0\r\n\r\n",
]


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize(("data", "keeps"), WHOLE.values(), ids=WHOLE)
def test_what_follows_ends_the_connection(data, keeps, more):
    """The answer stands, and nothing is read after it."""
    status, content, _ = body(data)

    assert body(data + more) == (status, content, False)
    assert body(data[:-1], data[-1:] + more) == (status, content, False)


# ── What is no answer ────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "another protocol": b"220 mail.example ESMTP\r\n",
    "HTTP/0.9": b"<html></html>",
    "a line end before": b"\r\n" + LINE + b"Content-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9 by name": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "RTSP": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status 0": b"HTTP/1.1 000 Low\r\nContent-Length: 0\r\n\r\n",
    "status 101": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc Odd\r\nContent-Length: 0\r\n\r\n",
    "two lengths": LINE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "one length twice": LINE + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "a list of lengths": LINE + b"Content-Length: 1, 1\r\n\r\nx",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\nx",
    "a length with a sign": LINE + b"Content-Length: +1\r\n\r\nx",
    "a length in hexadecimal": LINE + b"Content-Length: 0x1\r\n\r\nx",
    "a length of no digits": LINE + b"Content-Length: \r\n\r\nx",
    "a length beyond all": LINE + b"Content-Length: 99999999999999999999999\r\n\r\nx",
    "a length and chunks": LINE + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks and a length": LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "an unknown framing": LINE + b"Transfer-Encoding: gzip\r\n\r\nx",
    "a framing in gzip": LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a framing of none": LINE + b"Transfer-Encoding: identity\r\n\r\nx",
    "chunks of chunks": LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks before gzip": LINE + b"Transfer-Encoding: chunked, gzip\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a chunk of no size": LINE + b"Transfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n",
    "a chunk of no number": LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    "a chunk of a negative size": LINE + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "a chunk beyond all": LINE + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "a chunk that goes on": LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "a length in the trailers": LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 1\r\n\r\n",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a folded header": LINE + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": LINE + b"X : a\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": LINE + b"X\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": LINE + b": a\r\nContent-Length: 0\r\n\r\n",
    "a zero in a header": LINE + b"X: \0\r\nContent-Length: 0\r\n\r\n",
    "a bare return in a header": LINE + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "an unknown coding": LINE + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    "two codings": LINE + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "no gzip at all": LINE + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "gzip without its tail": LINE + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + ZIPPED[:10],
    "a body with an interim answer": b"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\nx" + LINE,
    "201 headers": LINE + b"".join(b"X-%d: y\r\n" % number for number in range(201)) + b"\r\n",
    "a head of 70 kB": LINE + b"".join(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(70)) + b"\r\n",
    "a header of 70 kB": LINE + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    "a header without end": LINE + b"X: " + b"y" * 70_000,
    "a line without end": b"HTTP/1.1 200 " + b"y" * 70_000,
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 3000,
    "an extension without end": LINE + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"y" * 70_000,
    "a trailer without end": LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: " + b"y" * 70_000,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
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
