"""Targets for the fuzzer: each takes any bytes, and raises only errors that the package documents."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

from peaka_async import APIError, DecodeError, OAuth2Error, PeakaError, Request, Safety
from peaka_async._transport.answer import Answer, error_of, value_of
from peaka_async._transport.parser import ReplyParser
from peaka_async._transport.redaction import Secrets
from peaka_async._transport.wire import BrokenExchangeError
from peaka_async.endpoints._csv_body import csv_content
from peaka_async.endpoints._event_stream import EventParser
from peaka_async.models import Connection
from peaka_async.models.internal_tables import CsvImportRequest, CsvMapping
from peaka_async.models.query_results import QueryResult
from peaka_async.oauth2._incoming import Incoming
from peaka_async.oauth2._return import Return

MAX_BYTES = 64 * 1024
MAX_SECONDS = 0.05
TYPES = [Connection, list[Connection], QueryResult, dict[str, object]]


def redirect(data):
    """The query of a redirect."""
    try:
        returned = Return.read(data)
    except OAuth2Error:
        return
    assert returned.flow_ids()
    assert repr(returned) == f"Return(<{len(returned.raw)} characters>)"


def cookies(data):
    """Cookie and Fetch Metadata headers."""
    text = data.decode("latin-1")
    headers = {"origin": text, "referer": text, "host": text[:20], "sec-purpose": text}
    incoming = Incoming(method="GET", path=text, raw_query=data, headers=headers, raw_cookies=data, read=None)
    for name, value in incoming.cookies():
        assert name.strip(b" \t") == name
        assert value.strip(b" \t") == value
    incoming.is_navigation_from(["https://app.example"])
    assert isinstance(incoming.is_at("https://app.example/connect/return"), bool)
    assert isinstance(incoming.is_speculative, bool)


def events(data):
    """A stream of server-sent events, in pieces."""
    reader = EventParser()
    size = 1 + data[0] if data else 1
    try:
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size])
    except PeakaError:
        return


def csv(data):
    """A CSV file's header, from which columns are found by name."""
    mapping = CsvMapping("a", csv_column_name="b")
    try:
        asyncio.run(csv_content(data, CsvImportRequest(mappings=[mapping]), operation="fuzz"))
    except PeakaError:
        return


def codec(data):
    """The body of an answer."""
    kind = TYPES[data[0] % len(TYPES)] if data else Connection
    request = Request("fuzz", "GET", "/fuzz", returns=kind, safety=Safety.SAFE)
    try:
        value_of(request, Answer(200, {"Content-Type": "application/json"}, data[1:]), Secrets)
    except DecodeError as error:
        str(error)


def error(data):
    """The body of an error."""
    status = 400 + (data[0] if data else 0)
    request = Request("fuzz", "GET", "/fuzz", returns=Connection, safety=Safety.SAFE)
    headers = {"Content-Type": "text/html" if data[1:2] == b"<" else "application/json", "X-Id": data[:9].hex()}
    raised = error_of(request, Answer(status, headers, data[1:]), Secrets())
    assert isinstance(raised, APIError)
    assert str(raised)


def http(data):
    """An HTTP answer, in pieces, and the end of the connection."""
    parser = ReplyParser()
    parser.begin(SimpleNamespace(head=None, phase=""), max_body=1 << 20, is_head=bool(data) and data[0] % 8 == 7)
    size = 1 + (data[0] if data else 0) * 16
    try:
        for start in range(1, len(data), size):
            if parser.feed(data[start : start + size]):
                break
        parser.feed_eof(is_torn=False)
    except BrokenExchangeError:
        return
    finally:
        parser.close()


TARGETS = (redirect, cookies, events, csv, codec, error, http)


def run(data):
    """Run the target that the first byte names, and see that it is fast.

    Raises:
        AssertionError: it took longer than 50 ms for up to 64 KiB.
    """
    target = TARGETS[data[0] % len(TARGETS)] if data else redirect
    began = time.process_time()
    target(data[1 : MAX_BYTES + 1])
    seconds = time.process_time() - began
    assert seconds < MAX_SECONDS, f"{target.__name__} took {seconds:.3f} s for {len(data)} bytes"
