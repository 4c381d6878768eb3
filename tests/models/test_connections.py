"""The models of the connections group."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaka_async import (
    AuthorizationDenied,
    ConfigurationError,
    ConnectionRequest,
    DatabaseCredential,
    InvalidRedirect,
    Oauth2Callback,
    OAuth2Credential,
)

QUERY = "code=4%2FP7q%2B7&state=a+b&empty=&x=1&x=2&=&flag"


@pytest.mark.parametrize(
    "redirect",
    [
        QUERY,
        f"?{QUERY}",
        f"https://app.example/callback?{QUERY}",
        f"https://app.example/callback?{QUERY}#fragment?code=no",
        f"/callback?{QUERY}",
        f"myapp://callback?{QUERY}",
        QUERY.encode(),
        f"?{QUERY}".encode(),
        f"https://app.example/callback?{QUERY}".encode(),
    ],
)
def test_the_query_is_kept_byte_for_byte(redirect):
    """The raw query is kept unchanged, in whatever form the framework provides it."""
    assert Oauth2Callback.from_redirect(redirect).query_parameters == QUERY


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="#?/:"), min_size=1))
def test_any_query_comes_through(query):
    """Text and bytes of one query give the same callback, and every character is kept."""
    from_text = Oauth2Callback.from_redirect(f"https://a.example/?{query}", forward_errors=True)
    from_bytes = Oauth2Callback.from_redirect(query.encode(), forward_errors=True)

    assert (from_text.query_parameters, from_bytes) == (query, from_text)


def test_code_and_state_are_decoded():
    """`code` and `state` are decoded, and the query stays unchanged."""
    callback = Oauth2Callback.from_redirect(QUERY)

    assert (callback.code, callback.state, Oauth2Callback("a=b").code) == ("4/P7q+7", "a b", None)


@pytest.mark.parametrize(
    "redirect",
    [
        "",
        b"",
        "?",
        "https://app.example/callback",
        "https://app.example/callback?",
        "https://app.example/callback?#code=1",
        "#code=1",
        "code=1\n&state=2",
        "code=1\x00",
        b"code=\xff",
        "code=\ud800",
        "c" * 65537,
        "é" * 40000,
    ],
)
def test_what_is_no_redirect_is_refused(redirect):
    """Empty, large and malformed redirects raise a typed error that quotes nothing; nothing is sent."""
    with pytest.raises(InvalidRedirect, match="Nothing was sent") as raised:
        Oauth2Callback.from_redirect(redirect)
    assert raised.value.__context__ is None


def test_the_size_limit_can_be_set():
    """`max_bytes` replaces the default limit."""
    with pytest.raises(InvalidRedirect):
        Oauth2Callback.from_redirect("code=12345", max_bytes=5)
    assert Oauth2Callback.from_redirect("code=" + "1" * 70000, max_bytes=100_000).code == "1" * 70000


def test_a_refusal_is_an_answer_with_a_type():
    """`error=…` raises AuthorizationDenied with the provider's error and description."""
    redirect = "/cb?error=access_denied&error_description=The+user+said+no&error_uri=https%3A%2F%2Fe.example&state=s"
    with pytest.raises(AuthorizationDenied) as raised:
        Oauth2Callback.from_redirect(redirect)

    denied = raised.value
    assert (denied.error, denied.description, denied.uri) == (
        "access_denied",
        "The user said no",
        "https://e.example",
    )


def test_a_refusal_can_be_forwarded():
    """With `forward_errors` a callback is made, to report the error to Peaka."""
    callback = Oauth2Callback.from_redirect("?error=access_denied&state=s", forward_errors=True)

    assert callback.query_parameters == "error=access_denied&state=s"


@pytest.mark.parametrize("query", ["", None, 5, b"code=1"])
def test_a_callback_wants_a_query(query):
    """A callback that is made without a redirect is checked too."""
    with pytest.raises(ConfigurationError):
        Oauth2Callback(query_parameters=query)


def test_reprs_show_no_secret():
    """Neither the query nor any part of a credential is shown."""
    values = [
        Oauth2Callback("code=s3cret"),
        OAuth2Credential(client_id="s3cret", client_secret="s3cret", refresh_token="s3cret"),
        DatabaseCredential(user="s3cret", password="s3cret"),
        ConnectionRequest("n", "t", {"token": "s3cret"}),
    ]

    assert [value for value in values if "s3cret" in f"{value!r} {value}"] == []


def test_a_denial_hides_the_rest_of_the_query():
    """The traceback of a refusal does not show the state."""
    try:
        Oauth2Callback.from_redirect("error=access_denied&state=s3cret")
    except AuthorizationDenied as denied:
        text = "".join(traceback.format_exception(denied))

    assert "state=s3cret" not in text.replace('from_redirect("error=access_denied&state=s3cret")', "")
