"""Compressed bodies are inflated piece by piece, within their limit and to their end."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from peaka_async._transport.inflate import inflater
from peaka_async._transport.wire import AnswerTooLargeError, BrokenExchangeError

TEXT = b"".join(b'{"id":"%d"},' % number for number in range(20_000))
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
FORMS = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "x-gzip": ("X-GZIP ", gzip.compress(TEXT)),
    "gzip of two members": ("gzip", gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate without its wrapping": ("deflate", RAW.compress(TEXT) + RAW.flush()),
}


def inflated(coding, pieces, limit=10_000_000):
    inflate = inflater(coding, limit)
    whole = b"".join(out for piece in pieces for out in inflate.feed(piece))
    inflate.end()
    return whole


@pytest.mark.parametrize(("coding", "data"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
def test_what_was_compressed_comes_back(coding, data, size):
    """However the body is cut into pieces."""
    assert inflated(coding, [data[start : start + size] for start in range(0, len(data), size)]) == TEXT


@pytest.mark.parametrize(("coding", "data"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("cut", [1, 4, 8, 100])
def test_a_body_without_its_tail_is_broken(coding, data, cut):
    """A compressed body ends with its checksum, or it was cut off."""
    with pytest.raises(BrokenExchangeError, match="breaks off"):
        inflated(coding, [data[:-cut]])


@pytest.mark.parametrize(("coding", "data"), FORMS.values(), ids=FORMS)
def test_a_body_with_more_than_its_tail_is_broken(coding, data):
    """Nothing but another member of gzip may follow."""
    with pytest.raises(BrokenExchangeError):
        inflated(coding, [data + b"more"])


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("data", [b"{}", b"\x1f\x8b\x08\x00nonsense", b"\x78\x9cnonsense", b"\x00" * 20])
def test_what_is_not_compressed_is_broken(coding, data):
    """A body that is not what its header says is no answer."""
    with pytest.raises(BrokenExchangeError):
        inflated(coding, [data])


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_empty_body_needs_no_compression(coding):
    """Servers send the header with nothing, too."""
    assert inflated(coding, []) == b""


@pytest.mark.parametrize("coding", [None, "", "identity", " Identity "])
def test_a_body_can_be_sent_as_it_is(coding):
    """Nothing inflates what was not compressed."""
    assert inflater(coding, 10) is None


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_a_coding_that_nobody_asked_for_is_refused(coding):
    """A body that cannot be read is no answer."""
    with pytest.raises(BrokenExchangeError, match="not asked for"):
        inflater(coding, 10)


def test_the_limit_holds_while_a_body_is_inflated():
    """A small body that grows to a gigabyte takes no more than the limit; the beginning is kept."""
    compress = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    bomb = b"".join(compress.compress(b"x" * 1_000_000) for _ in range(1000)) + compress.flush()
    inflate = inflater("gzip", 1_000_000)
    got = 0
    tracemalloc.start()
    with pytest.raises(AnswerTooLargeError):
        for start in range(0, len(bomb), 65536):
            for piece in inflate.feed(bomb[start : start + 65536]):
                got += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert got == 1_000_000
    assert peak < 1_000_000


@pytest.mark.parametrize("limit", [len(TEXT), len(TEXT) - 1])
def test_the_limit_is_exact(limit):
    """A body of just the limit passes."""
    if limit == len(TEXT):
        assert inflated("gzip", [gzip.compress(TEXT)], limit) == TEXT
    else:
        with pytest.raises(AnswerTooLargeError):
            inflated("gzip", [gzip.compress(TEXT)], limit)
