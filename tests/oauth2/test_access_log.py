"""What the filter takes out of records, and what it leaves."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from peaka_async.oauth2 import AccessLogFilter, protect_access_logs
from peaka_async.oauth2._access_log import _LOGS as LOGS


def filtered(message, *arguments, **extra):
    record = logging.makeLogRecord({"msg": message, "args": arguments, **extra})
    assert AccessLogFilter().filter(record) is True
    return record


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("GET /return?code=4%2F0A&state=xyz HTTP/1.1", "GET /return?[redacted] HTTP/1.1"),
        ("GET /return?x=1&co%64e=4 HTTP/1.1", "GET /return?[redacted] HTTP/1.1"),
        ("GET /return?STATE=4 HTTP/1.1", "GET /return?[redacted] HTTP/1.1"),
        ("GET /return?spapi_oauth_code=4&x=1", "GET /return?[redacted]"),
        ("GET /return?x=1?state=4", "GET /return?[redacted]"),
        ("GET /done?peaka_flow=n&connectionId=1?status=success", "GET /done?[redacted]"),
        ('"GET /a?code=1" "https://app.example/b?code=2"', '"GET /a?[redacted]" "https://app.example/b?[redacted]"'),
        ("GET /sign-in?next=%2Freturn%3Fcode%3D1%26state%3D2 HTTP/1.1", "GET /sign-in?[redacted] HTTP/1.1"),
        ("GET /sign-in?next=%252Freturn%253Fcode%253D1 HTTP/1.1", "GET /sign-in?[redacted] HTTP/1.1"),
        ("GET /sign-in/%2Freturn%3fcode=1 HTTP/1.1", "GET /sign-in/%2Freturn?[redacted] HTTP/1.1"),
        ("GET /return?x=it's&code=1 HTTP/1.1", "GET /return?[redacted] HTTP/1.1"),
        ("GET /return?x=<>&code=1 HTTP/1.1", "GET /return?[redacted] HTTP/1.1"),
        ("GET /list?page=2&status=open HTTP/1.1", "GET /list?page=2&status=open HTTP/1.1"),
        ("what? no query", "what? no query"),
        ("settle('code=4/0A&state=xyz') started", "settle('[redacted]') started"),
        ("""settle("code=it's&state=xyz") started""", """settle("[redacted]") started"""),
        ("exit code=1, page=2&status=open", "exit code=1, page=2&status=open"),
    ],
)
def test_queries_with_secrets_are_taken_out(line, shown):
    """Whole, since a name that nobody knows can hold a secret beside them; others stay."""
    assert filtered(line).getMessage() == shown
    assert filtered("%s", line).getMessage() == shown


def test_records_keep_their_form():
    """Uvicorn's formatter wants its five arguments; aiohttp adds what it logged as attributes."""
    record = filtered("%s %s %s %s %d", "1.2.3.4:5", "GET", "/return?code=1", "1.1", 303)
    extra = filtered("x", first_request_line="GET /a?code=1", request_header={"Referer": "/b?state=1"}, raw=b"/?code=1")

    assert record.args == ("1.2.3.4:5", "GET", "/return?[redacted]", "1.1", 303)
    assert (extra.first_request_line, extra.request_header, extra.raw) == (
        "GET /a?[redacted]",
        {"Referer": "/b?[redacted]"},
        b"/?[redacted]",
    )


class Job:
    """What SAQ gives its logger."""

    def __str__(self):
        return "Job<function=settle, kwargs={'query': 'code=4/0A&state=xyz'}>"


def test_the_arguments_of_jobs_are_taken_out():
    """A queue logs the job itself, and its text has what the job was given."""
    assert (
        filtered("Processing %s", Job()).getMessage()
        == "Processing Job<function=settle, kwargs={'query': '[redacted]'}>"
    )
    assert filtered("%s of %d", Plain(), 3).args == (PLAIN, 3)


class Plain:
    """Nothing secret."""

    def __eq__(self, other):
        return isinstance(other, Plain)

    __hash__ = None


PLAIN = Plain()


async def test_a_request_that_aiohttp_cannot_read_is_logged_without_its_code(caplog):
    """Its traceback quotes the beginning of the line."""
    protect_access_logs()
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for line in (b"GET /return?code=c0de-4711&state=" + b"x" * 9000, b"GET /return?code=c0de-4711&state=\x00"):
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 400 " in await reader.read()
        writer.close()
    await runner.cleanup()
    for name in LOGS:
        logging.getLogger(name).filters.clear()

    assert caplog.text.count("Traceback") == 2
    assert "c0de" not in caplog.text
    assert "c0de" not in "".join(str(vars(record)) for record in caplog.records)
