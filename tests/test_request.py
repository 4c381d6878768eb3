"""The target that a call sends, percent-encoded, and the values that no URL can carry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import NoneType

import pytest

from peaka_async import ConfigurationError, Safety
from peaka_async._request import LOOPBACK, Content, Request, camel


def request(template="/p/{project_id}/x", **more):
    return Request("group.get", "GET", template, **{"returns": NoneType, "safety": Safety.SAFE, **more})


def segment(value):
    return request(path={"project_id": value}).target().removeprefix("/p/").removesuffix("/x")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a", "a"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("..a", "..a"),
        ("...", "..."),
        ("köln", "k%C3%B6ln"),
        ("{project_id}", "%7Bproject_id%7D"),
        ("x" * 2048, "x" * 2048),
    ],
)
def test_a_parameter_stays_one_segment(value, encoded):
    """Whatever is in it, the path has as many segments as the template."""
    assert segment(value) == encoded


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "must not be empty"),
        (" \t", "must not be empty"),
        ("   ", "must not be empty"),
        ("x" * 2047 + "\n", "holds a control character"),
        (".", "must not be a dot segment: it would address another path"),
        ("..", "must not be a dot segment: it would address another path"),
        ("x" * 2049, "is longer than 2048 characters"),
        ("a\nb", "holds a control character"),
        ("a\0", "holds a control character"),
        ("\ud800", "holds a control character"),
        (5, "must be a string, not int"),
        (None, "must be a string, not NoneType"),
        (b"a", "must be a string, not bytes"),
    ],
)
def test_a_parameter_that_is_no_segment_is_refused(value, says):
    """The error names the operation and the parameter."""
    with pytest.raises(ConfigurationError) as raised:
        segment(value)
    assert str(raised.value) == f"group.get: project_id {says}. Nothing was sent."
    assert raised.value.operation == "group.get"


@pytest.mark.parametrize(
    ("template", "path", "target"),
    [
        ("/a", {}, "/a"),
        ("/{a}", {"a": "1"}, "/1"),
        ("/{a}/{b}/", {"b": "2", "a": "1"}, "/1/2/"),
        ("/x/{a}/y/{b_c}", {"a": "1", "b_c": "2"}, "/x/1/y/2"),
    ],
)
def test_a_template_is_filled(template, path, target):
    """Parameters are found by name, between the literal parts and at the ends."""
    assert request(template, path=path).target() == target


AT = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b&c=d/e", "a%20b%26c%3Dd%2Fe"),
        (5, "5"),
        (0, "0"),
        (True, "true"),
        (False, "false"),
        ("", ""),
        (["a", "b"], "a%2Cb"),
        ((1, True), "1%2Ctrue"),
        (AT, "2026-01-02T01%3A04%3A05.000600Z"),
        (AT.replace(tzinfo=None), "2026-01-02T03%3A04%3A05.000600"),
        (AT.astimezone(UTC), "2026-01-02T01%3A04%3A05.000600Z"),
        ("köln", "k%C3%B6ln"),
    ],
)
def test_a_query_value(value, text):
    """Names are sent in camelCase, and times in UTC."""
    assert request("/a", query={"created_before": value}).target() == f"/a?createdBefore={text}"


def test_query_values_of_none_are_left_out():
    """The service has defaults of its own."""
    assert request("/a", query={"a": None, "b": 1, "c": 2}).target() == "/a?b=1&c=2"
    assert request("/a", query={"a": None}).target() == "/a"


@pytest.mark.parametrize("value", ["\ud800", ["a", "\udfff"]])
def test_a_query_value_that_no_url_can_carry(value):
    """A lone surrogate has no UTF-8."""
    with pytest.raises(ConfigurationError, match=r"group\.get: q holds a lone surrogate.*Nothing was sent") as raised:
        request("/a", query={"q": value}).target()
    assert raised.value.operation == "group.get"


def test_the_names_of_safety():
    """Tables and documents show them."""
    assert [each.value for each in Safety] == ["safe", "idempotent", "once"]


def test_another_host():
    """The URL is sent as it is."""
    url = "https://files.example/a?sig=s3cret"
    elsewhere = request("/", url=url, path={"a": "b"}, query={"c": "d"})

    assert (elsewhere.target(), elsewhere.elsewhere, request().elsewhere) == (url, True, False)


def test_a_request_shows_no_secret():
    """A signed link, a body and headers are left out of the repr."""
    shown = repr(
        request(url="https://files.example/?sig=s3cret", body={"code": "s3cret"}, headers={"If-Range": "s3cret"})
    )

    assert "s3cret" not in shown
    assert "group.get" in shown
    assert "chunks" not in repr(Content(media_type="text/csv", chunks=lambda: None))


def test_what_a_request_is_without_options():
    """It sends no body and no headers, and its body may be sent again."""
    plain = request()

    assert (plain.path, plain.query, plain.headers, plain.body) == ({}, {}, {}, None)
    assert (plain.server_timeout, plain.partner_only, plain.empty, plain.url) == (None, False, None, None)
    content = Content(media_type="a", chunks=lambda: None)
    assert (content.size, content.repeatable) == (None, True)


@pytest.mark.parametrize(
    ("name", "api"),
    [("project_id", "projectId"), ("q", "q"), ("a_b_c", "aBC"), ("use_sql_2", "useSql2"), ("already_Up", "alreadyUp")],
)
def test_names_of_the_api(name, api):
    """The first word is as it is, and the others begin with a capital letter."""
    assert camel(name) == api
    assert request("/x/{" + name + "}/y").route == "/x/{" + api + "}/y"


def test_the_names_of_this_machine():
    """Only to them may anything be sent unencrypted."""
    assert {"localhost", "127.0.0.1", "::1"} == LOOPBACK
