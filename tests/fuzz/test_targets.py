"""The fuzzer's targets with its corpus, its findings, and inputs from Hypothesis."""

from __future__ import annotations

from pathlib import Path

import pytest
import targets
from hypothesis import example, given, settings
from hypothesis import strategies as st

REPEATED = [b"&", b"a=&", b";", b"\n\n", b"data: x\n", b'"', b"[", b'{"a":', b"<title>", b"\\u0000"]
CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus(path):
    """Only the package's own errors are raised."""
    data = path.read_bytes()
    targets.TARGETS[data[0] % len(targets.TARGETS)](data[1:])


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.__name__)
def test_any_bytes(target):
    """The same holds for inputs from Hypothesis."""

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300))
    @example(b"")
    def check(data):
        target(data)

    check()


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.__name__)
@pytest.mark.parametrize(
    "piece", [b"&", b"a=&", b";", b"\n\n", b"data: x\n", b'"', b"[", b'{"a":', b"<title>", b"\\u0000"]
)
def test_much_of_the_same(target, piece):
    """64 KiB that repeat what a parser counts, nests or looks back at."""
    target(b"\0\0" + piece * (targets.MAX_BYTES // len(piece)))
