"""What the filter takes out of records, and what it leaves."""

from __future__ import annotations

import logging

import pytest

from peaka_async.oauth2 import AccessLogFilter


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
