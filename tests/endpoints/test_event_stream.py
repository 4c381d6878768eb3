"""Server-sent events as the WHATWG specifies them, and the chat stream on a real server."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scripted_server import ScriptedServer, answer, reset

from peaka_async import (
    BadRequestError,
    DecodeError,
    OutcomeUnknownError,
    PeakaClient,
    PeakaTimeoutError,
    RetryPolicy,
    Timeouts,
    TransportError,
)
from peaka_async.endpoints import _event_stream as module
from peaka_async.endpoints._event_stream import EventParser
from peaka_async.models import AIAgentChatStreamRequestDto, ChatEvent

EXAMPLES = {
    "no space after the colon": (b'data:{"a":1}\n\n', [ChatEvent('{"a":1}')]),
    "one space is dropped": (b"data:  x\n\n", [ChatEvent(" x")]),
    "several lines": (b"data:a\ndata:b\n\n", [ChatEvent("a\nb")]),
    "several lines with CRLF": (b"data:a\r\ndata:b\r\n\r\n", [ChatEvent("a\nb")]),
    "CRLF": (b"data:a\r\n\r\ndata:b\r\n\r\n", [ChatEvent("a"), ChatEvent("b")]),
    "CR": (b"data:a\r\rdata:b\r\r", [ChatEvent("a"), ChatEvent("b")]),
    "comments": (b":heartbeat\n\ndata:a\n:x\n\n", [ChatEvent("a")]),
    "types": (b"event:end\ndata:a\n\ndata:b\n\n", [ChatEvent("a", "end"), ChatEvent("b")]),
    "ids last": (b"id:7\ndata:a\n\ndata:b\n\n", [ChatEvent("a", id="7"), ChatEvent("b", id="7")]),
    "an id with NUL is ignored": (b"id:a\0b\ndata:a\n\n", [ChatEvent("a")]),
    "without data there is no event": (b"event:end\n\ndata:a\n\n", [ChatEvent("a")]),
    "an empty line of data": (b"data\n\n", [ChatEvent("")]),
    "unknown fields": (b"retry:5\nfoo:bar\ndata:a\n\n", [ChatEvent("a")]),
    "a byte order mark": (b"\xef\xbb\xbfdata:a\n\n", [ChatEvent("a")]),
    "the cut-off end": (b"data:a\n\ndata:b\n", [ChatEvent("a")]),
    "bytes that are no UTF-8": (b"data:\xff\n\n", [ChatEvent("\ufffd")]),
    "text": ("data:köln €\n\n".encode(), [ChatEvent("köln €")]),
}


@pytest.mark.parametrize(("stream", "events"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_rules(stream, events):
    """All rules of the standard that a server may use are followed."""
    assert EventParser().feed(stream) == events


@pytest.mark.parametrize("name", EXAMPLES)
def test_pieces_may_be_single_bytes(name):
    """A CRLF that arrives in two pieces is one line end, and two of them are two."""
    stream, events = EXAMPLES[name]
    parser = EventParser()

    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == events


@given(st.sampled_from(sorted(EXAMPLES)), st.lists(st.integers(0, 40), max_size=8))
def test_pieces_may_be_cut_anywhere(name, cuts):
    """The cut may be between CR and LF, inside a character, or inside the byte order mark."""
    stream, events = EXAMPLES[name]
    parser, places = EventParser(), sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]

    assert [event for piece in pieces for event in parser.feed(piece)] == events


PIECES = {
    "CRLF cut in two": ([b"data:a\r", b"\ndata:b\r", b"\n\r", b"\n"], [ChatEvent("a\nb")]),
    "CRLF cut, with nothing between": ([b"data:a\r", b"", b"\ndata:b\n\n"], [ChatEvent("a\nb")]),
    "CR, and a line that begins later": ([b"data:a\r", b"data:b\r", b"\r"], [ChatEvent("a\nb")]),
    "CR, then an empty line": ([b"data:a\r", b"\r", b"data:b\n\n"], [ChatEvent("a"), ChatEvent("b")]),
    "LF twice after a CR": ([b"data:a\r", b"\n\ndata:b\n\n"], [ChatEvent("a"), ChatEvent("b")]),
    "a character cut after a CR": ([b"data:a\r", b"\xc3", b"\xa4:x\n", b"\n"], [ChatEvent("a")]),
    "LF, then LF": ([b"data:a\n", b"\n"], [ChatEvent("a")]),
    "a mark at the start of a later piece": ([b"data:", b"\xef\xbb\xbfa\n\n"], [ChatEvent("\ufeffa")]),
    "a mark that is cut": ([b"\xef", b"\xbb\xbfdata:a\n\n"], [ChatEvent("a")]),
    "two marks": ([b"\xef\xbb\xbf\xef\xbb\xbfdata:b\n\ndata:a\n\n"], [ChatEvent("a")]),
}


@pytest.mark.parametrize(("pieces", "events"), PIECES.values(), ids=PIECES)
def test_where_pieces_may_end(pieces, events):
    """A line end in two pieces is one line end, and a byte order mark counts only at the start of the stream."""
    parser = EventParser()

    assert [event for piece in pieces for event in parser.feed(piece)] == events


@pytest.mark.parametrize("line", [b"data:aaaa", b"data", b"event:end", b":comment"])
def test_the_size_of_an_event_is_limited(monkeypatch, line):
    """All its lines count, complete or not, and only since the last event."""
    monkeypatch.setattr(module, "_MAX_EVENT_CHARS", 3 * len(line))
    parser = EventParser()
    for _ in range(3):
        parser.feed(line + b"\n" + line + b"\n" + line)
        parser.feed(b"\n\n" + line + b"\n\n")
    parser.feed(line + b"\n" + line + b"\n" + line + b"\n\n" + line + b"\n" + line + b"\n" + line)

    with pytest.raises(DecodeError, match=f"larger than {3 * len(line)} characters"):
        parser.feed(b"x")


def test_the_limit_of_an_event():
    """It is 16 Mi characters."""
    with pytest.raises(DecodeError, match="larger than 16777216 characters"):
        EventParser().feed(b"x" * 16777217)


def test_an_event_without_end_is_refused():
    """Otherwise it would fill the memory."""
    parser = EventParser()
    with pytest.raises(DecodeError, match="larger than"):
        for _ in range(20):
            parser.feed(b"data:" + b"x" * 1024 * 1024 + b"\n")


def test_a_line_without_end_is_refused():
    """So is one that never ends, in pieces of any size; an event that ends in time leaves room for the next."""
    parser = EventParser()
    for _ in range(3):
        assert len(parser.feed(b"data:" + b"x" * 10 * 1024 * 1024 + b"\n\n")) == 1
    with pytest.raises(DecodeError, match="larger than"):
        for _ in range(20):
            parser.feed(b"x" * 1024 * 1024)


def test_a_long_line_takes_linear_time():
    """A line of 8 MiB in pieces of 64 bytes: to look at all of it for each piece would take minutes."""
    parser = EventParser()
    parser.feed(b"data:")
    started = time.process_time()
    for _ in range(131_072):
        assert parser.feed(b"x" * 64) == []
    (event,) = parser.feed(b"\n\n")

    assert len(event.data) == 8 * 1024 * 1024
    assert time.process_time() - started < 20


@pytest.mark.parametrize(("data", "value"), [('{"a":1}', {"a": 1}), ("{", None), ("[1]", None), ("text", None)])
def test_what_is_no_json_is_kept(data, value):
    """The event keeps its text, and `json` returns None."""
    assert (ChatEvent(data).json(), ChatEvent(data).data) == (value, data)


MESSAGE = AIAgentChatStreamRequestDto("How many?")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def streamed(*pieces, pause=0.0, end=True):
    """Make an answer that is sent in chunks."""

    async def behave(exchange):
        await exchange.read_body()
        await exchange.send(HEAD)
        for piece in pieces:
            await exchange.send(chunk(piece))
            await asyncio.sleep(pause)
        await exchange.send(b"0\r\n\r\n" if end else b"")
        return end

    return behave


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def peaka(server):
    options = {"timeout": Timeouts(total=5, attempt=0.5), "retry": RetryPolicy(backoff=0.001)}
    async with PeakaClient("key", base_url=server.base_url, **options) as peaka:
        yield peaka


async def read(peaka):
    return [event.data async for event in peaka.agent.chat_stream("p", MESSAGE)]


async def test_a_chat_is_read_as_it_comes(server, peaka):
    """Events arrive before the stream ends, and the connection is used again afterwards."""
    server.script(streamed(b"data:1\n\nda", b"ta:2\n\n"), streamed(b"data:3\n\n"))

    assert (await read(peaka), await read(peaka)) == (["1", "2"], ["3"])
    assert (len(server.requests), server.connections) == (2, 1)
    assert server.requests[0].body == b'{"message":"How many?"}'


async def test_nothing_is_sent_before_the_iteration(server, peaka):
    """Only the iteration sends the message."""
    async with peaka.agent.chat_stream("p", MESSAGE):
        pass

    assert server.requests == []


async def test_leaving_early_closes_the_connection(server, peaka):
    """The rest of the stream is not read, and the next call uses another connection."""
    server.script(streamed(b"data:1\n\n", b"data:2\n\n", pause=0.05))
    async with peaka.agent.chat_stream("p", MESSAGE) as events:
        async for event in events:
            assert event.data == "1"
            break
    await server.until(lambda: server.open_connections == 0)
    server.script(streamed(b"data:3\n\n"))

    assert await read(peaka) == ["3"]
    assert server.connections == 2


async def test_a_long_chat_has_no_deadline_but_each_piece_has(server, peaka):
    """A stream may last longer than the limits while pieces arrive, and fails if they stop."""
    server.script(streamed(*[b"data:x\n\n"] * 12, pause=0.06))
    long = await read(peaka.with_options(timeout=Timeouts(total=0.5, attempt=0.5)))
    server.script(streamed(b"data:x\n\n", b"", pause=1))

    with pytest.raises(PeakaTimeoutError) as raised:
        await read(peaka)
    assert len(long) == 12
    assert (raised.value.phase, raised.value.operation) == ("body", "agent.chat_stream")


async def test_a_message_is_sent_once(server, peaka):
    """If no answer came, the outcome is unknown. If the stream broke, the message is not sent again."""
    server.script(reset(after="body"))
    with pytest.raises(OutcomeUnknownError):
        await read(peaka)
    server.script(streamed(b"data:1\n\n", end=False))
    with pytest.raises(TransportError, match="in the middle of the answer"):
        await read(peaka)

    assert len(server.requests) == 2


async def test_an_error_is_an_error_and_429_is_retried(server, peaka):
    """Before the stream begins, a chat behaves like any other call."""
    server.script(answer(429, {}), streamed(b"data:1\n\n"), answer(400, {"message": "no"}))

    assert await read(peaka) == ["1"]
    with pytest.raises(BadRequestError, match="no"):
        await read(peaka)


async def test_the_spans_end_with_the_body(server):
    """Both spans last as long as the stream, and neither is the current span while the caller handles an event."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server.script(streamed(b"data:1\n\n", b"data:2\n\n", pause=0.05))
    seen = []
    async with PeakaClient("key", base_url=server.base_url, tracer_provider=provider) as peaka:
        async for _ in peaka.agent.chat_stream("p", MESSAGE):
            seen.append(len(exporter.get_finished_spans()))
            with provider.get_tracer("app").start_as_current_span("work") as span:
                assert span.parent is None

    spans = {span.name: span for span in exporter.get_finished_spans() if span.name != "work"}
    assert seen == [0, 1]
    assert set(spans) == {"peaka.agent.chat_stream", "POST /ai-agent/{projectId}/chat/stream"}
    assert all(span.end_time - span.start_time > 80_000_000 for span in spans.values())
