"""What was sent in confidence is found again in whatever form it comes back."""

from __future__ import annotations

import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaka_async import ConnectionRequest, OAuth2Credential
from peaka_async._transport.redaction import Secrets, confidential, confidential_in_url

SECRET = "4/P7q=7\"W9\\1é😀 &<x>'z+%"


def every_unit(text):
    """Java's way with what is not ASCII, for all of it."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02X}{units[at + 1]:02x}" for at in range(0, len(units), 2))


FORMS = {
    "as it is": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json in utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "gson": lambda text: "".join(f"\\u{ord(char):04x}" if char in "<>&='" else json.dumps(char)[1:-1] for char in text),
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "units": every_unit,
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "form": quote_plus,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "html": html.escape,
    "html by numbers": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html by hex numbers": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "html in json": lambda text: json.dumps(html.escape(text))[1:-1],
    "percent in json in html": lambda text: html.escape(json.dumps(quote(text))[1:-1]),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_an_echo_is_found(form):
    """Escapes of JSON, URLs and HTML hide nothing, and what stands around stays as it was."""
    text = f"cannot map “{form(SECRET)}” for \\u00e9 & %41"

    assert Secrets([SECRET]).redact(text) == "cannot map “[redacted]” for \\u00e9 & %41"


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=40),
    st.lists(st.sampled_from(sorted(FORMS)), max_size=3),
    st.text(max_size=10),
)
def test_whatever_the_secret_it_is_found(secret, names, around):
    """A text that decodes to a secret does not show it."""
    form = secret
    for name in names:
        form = FORMS[name](form)

    assert form not in Secrets([secret]).redact(f"{around}|{form}|{around}").replace("[redacted]", "")


def test_a_part_of_a_long_secret_is_found():
    """A server that cuts what it quotes still quotes it."""
    secret = "0123456789" * 10

    assert Secrets([secret]).redact(f"too long: {secret[7:60]}…") == "too long: [redacted]…"


def test_what_is_too_short_to_be_a_secret_stays():
    """A value of two characters stands in too many texts by chance."""
    assert Secrets(["no", ""]).redact("no way") == "no way"


def test_secrets_side_by_side_are_one():
    """Neither their number nor their lengths show."""
    assert Secrets(["first", "second"]).redact("a firstsecond b first") == "a [redacted] b [redacted]"


@pytest.mark.parametrize("at", range(8, 24))
def test_a_limit_shows_no_part_of_what_it_cuts(at):
    """A secret that stands across the cut is taken out whole."""
    text = "." * at + "%73ecret" + "." * 100

    assert Secrets(["secret"]).redact(text, limit=16).strip(".") in {"", "[redacted]"}


def test_the_time_grows_in_step():
    """Sixteen times as much posted and answered takes no more than about sixteen times as long."""

    def seconds(times):
        posted = "&".join(f"k{number}=" + "aB3/" * (number % 9 + 1) for number in range(300 * times))
        answered = json.dumps({"message": posted.replace("/", "\\/")})
        secrets = Secrets([posted, *(pair.partition("=")[2] for pair in posted.split("&"))])
        started = time.process_time()
        assert "aB3" not in secrets.redact(answered)
        return time.process_time() - started

    seconds(1)
    assert seconds(16) < 16 * 6 * max(seconds(1), 0.001)


def test_what_a_request_holds_in_confidence():
    """Fields that their models hide, and members of mappings that are named as such, however deep."""
    request = ConnectionRequest("n", "hubspot", OAuth2Credential(client_id="cl13nt", client_secret="s3cret"))
    body = {
        "name": "public",
        "credential": {"host": "db.internal", "ports": [{"user": "root"}]},
        "options": [{"client_secret": "x1"}, {"API-Key": "x2"}, {"accessToken": {"value": "x3"}}, {"port": 5}],
        "queryParameters": "code=c0de&state=st4te",
    }

    assert {*confidential(request)} == {"cl13nt", "s3cret"}
    assert {*confidential(body)} == {
        "db.internal",
        "root",
        "x1",
        "x2",
        "x3",
        "code=c0de&state=st4te",
        "c0de",
        "st4te",
    }


def test_what_a_link_holds_in_confidence():
    """Its query and each value in it, and a login."""
    link = "https://me:p4ss@bucket.example/part-0.csv?X-Amz-Signature=5ig&X-Amz-Expires=900"

    assert {*confidential_in_url(link)} == {"X-Amz-Signature=5ig&X-Amz-Expires=900", "5ig", "900", "me", "p4ss"}
