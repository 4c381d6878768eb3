"""Whatever a server does on the wire: a call gets its own answer or a typed error, is sent once, and leaves nothing.

`PEAKA_LONG=1` takes each byte offset and each status; without it the suite takes a sample.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os

import pytest
import uvloop
from answers import MORE, REFUSED, UNREADABLE, WHOLE
from misbehaving import Case, MisbehavingServer, answer_of

from peaka_async import (
    Connection,
    Oauth2Callback,
    OutcomeUnknownError,
    PeakaClient,
    PeakaError,
    RetryPolicy,
    Timeouts,
    TransportError,
    WireProgress,
)
from peaka_async._transport import pool

# Each byte and each status in the long run; a sample of them in every other.
STEP = 1 if os.environ.get("PEAKA_LONG") else 11

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}

SIZE = len(answer_of("c00000"))
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'12;ext="a"\r\n{"id":"x","name":"\r\n7\r\nn","typ\r\n6\r\ne":"t"\r\n1\r\n}\r\n0\r\nX-Trailer: 1\r\n\r\n'
)
UNTIL_CLOSE = b'HTTP/1.1 200 OK\r\n\r\n{"id":"x","name":"n","type":"t"}'
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
ENDS = ("close", "reset")

# aiohttp reads these for as long as they go on, without keeping them, and does not always notice their end.
ENDLESS = {"an extension without end", "a trailer without end"}

CASES = {
    "the answer ends at each byte": [Case(cut=at, end=end) for end in ENDS for at in range(0, SIZE + 1, STEP)],
    "a chunked answer ends at each byte": [
        Case(CHUNKED[:at], end=end) for end in ENDS for at in range(0, len(CHUNKED) + 1, STEP)
    ],
    "an answer after an interim one ends at each byte": [
        Case(INTERIM[:at], end=end) for end in ENDS for at in range(0, len(INTERIM) + 1, STEP)
    ],
    "the request is read up to each byte": [Case(read=at, end=end) for end in ENDS for at in range(1, 330, STEP)],
    "an answer comes at each byte of the request": [
        Case(answer_of("early"), read=at, end=end) for end in ENDS for at in range(1, 330, 9 * STEP)
    ],
    "each status": [
        Case(b"HTTP/1.1 %d Odd\r\nContent-Length: 2\r\n\r\n{}" % status, end="close")
        for status in range(200, 600, STEP)
        if status != 429
    ],
    "each status without a body": [
        Case(b"HTTP/1.1 %03d Odd\r\nContent-Length: 0\r\n\r\n" % status, end="close")
        for status in (*range(0, 100, STEP), *range(101, 600, 7 * STEP))
        if status != 429
    ],
    "what is no answer": [
        Case(data, end=end) for end in ("hang", *ENDS) for name, data in REFUSED.items() if name not in ENDLESS
    ],
    "what does not end": [Case(REFUSED[name], end=end, seconds=0.5) for end in ("hang", *ENDS) for name in ENDLESS],
    "content that cannot be read": [Case(data, end=end) for end in ("keep", *ENDS) for data in UNREADABLE.values()],
    "other framings": [Case(data, end=end) for end in ("keep", *ENDS) for data, keeps in WHOLE.values() if keeps],
    "more than an answer": [Case(more=more, end=end) for end in ("hang", *ENDS) for more in MORE],
    "without a length": [Case(UNTIL_CLOSE[:at], end=end) for end in ENDS for at in range(0, len(UNTIL_CLOSE), 3)],
    "JSON that is none": [
        Case(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, end="close")
        for body in (
            b"",
            b"{",
            b"null",
            b"[]",
            b"[1]",
            b'"x"',
            b"5",
            b"\xff\xfe",
            b"{}" * 2,
            b'{"id":5}',
            b"[" * 90_000,
        )
    ],
}


@pytest.fixture(params=["direct", "session"])
def lane(request, monkeypatch):
    if request.param == "session":
        monkeypatch.setattr(pool, "DirectLane", None)


def open_files():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the descriptor that pathlib would hold is counted


async def settled(tasks, files):
    """What is left over, once the closing callbacks ran."""
    for _ in range(200):
        gc.collect()
        left = asyncio.all_tasks() - tasks
        more = open_files() - files
        if not left and more <= 0:
            break
        await asyncio.sleep(0.005)
    return left, max(more, 0)


async def torture(cases, *, tls=False):
    """Put one client through all cases, with calls between that must not notice."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    # What is made once in a loop or a process is made before.
    await tortured(cases[:1], tls)
    tasks, files = asyncio.all_tasks(), open_files()
    limits = await tortured(cases, tls)
    left, more = await settled(tasks, files)

    assert (limits, left, more, complaints) == (0, set(), 0, [])


async def tortured(cases, tls):
    numbers = itertools.count()
    options = {"retry": RetryPolicy(backoff=0, unsent_seconds=5), "timeout": Timeouts(total=30, attempt=10)}
    async with MisbehavingServer(tls) as server:
        if tls:
            options["ssl"] = server.ssl_context
        async with PeakaClient("key", base_url=server.base_url, **options) as peaka:
            for case in cases:
                code, begun = f"c{next(numbers):05}", server.begun
                server.script.append(case)
                caller = peaka if case.seconds is None else peaka.with_options(timeout=case.seconds)
                try:
                    found = await caller.connections.oauth2_callback("p", Oauth2Callback(code))
                except PeakaError as error:
                    assert_told(error)
                else:
                    assert isinstance(found, Connection)
                    assert found.id in {code, "x", "early", None, "5"}
                assert server.begun - begun <= 1, case
                server.script.clear()
                for _ in range(2):
                    code = f"c{next(numbers):05}"
                    found = await peaka.connections.oauth2_callback("p", Oauth2Callback(code))
                    assert found.id == code, case
            assert max(server.codes.values()) == 1
            return len(peaka._transport.shared.pools.get(asyncio.get_running_loop()).deadlines._limits)


def assert_told(error):
    """The error says what is known of the request, and holds nothing foreign."""
    assert isinstance(error, PeakaError)
    if isinstance(error, TransportError):
        unknown = isinstance(error, OutcomeUnknownError)
        assert (error.progress is WireProgress.MAYBE_SENT) is unknown, repr(error)
    link = error
    while link is not None:
        assert type(link).__module__.partition(".")[0] == "peaka_async", repr(link)
        link = link.__cause__ or link.__context__
    assert error.operation == "connections.oauth2_callback"
    assert error.attempts


@pytest.mark.parametrize("cases", CASES.values(), ids=CASES)
@pytest.mark.parametrize("loop", LOOPS)
def test_no_answer_is_mixed_up(lane, loop, cases):
    """One client, all cases in a row; between them its calls fare as ever."""
    LOOPS[loop](torture(cases))


@pytest.mark.parametrize("cases", [cases[::7] for cases in CASES.values()], ids=CASES)
def test_no_answer_is_mixed_up_over_tls(lane, cases):
    """The same, a seventh of them, encrypted."""
    asyncio.run(torture(cases, tls=True))


def test_there_are_enough_cases():
    """The wire is tortured in every way that the tables name."""
    assert sum(len(cases) for cases in CASES.values()) > (2000 if STEP == 1 else 300)
