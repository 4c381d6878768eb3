"""The OAuth2 provider: its pages, and its answers on the wire."""

from __future__ import annotations

import contextlib
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest

from peaka_async import (
    BadRequestError,
    ConfigurationError,
    ConnectionRequest,
    Oauth2Callback,
    OAuth2Credential,
    PeakaClient,
)
from peaka_async.emulator import CodeRefused, Emulator, Grant

ASKED = {
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": "https://app.example/cb?tenant=7",
    "scope": "hubspot.read",
    "state": "s/+= &?",
}


def page_of(emulator, **changes):
    query = {**ASKED, **changes}
    return f"{emulator.origin}/oauth2/authorize?" + urlencode({k: v for k, v in query.items() if v is not None})


async def test_the_consent_page_asks(emulator, api):
    """It names the app, the requested access and the target of the browser, and its two buttons are a plain form."""
    async with api.session.get(page_of(emulator)) as answer:
        page, headers = await answer.text(), answer.headers

    assert all(part in page for part in ("app", "hubspot.read", "app.example", 'value="allow"', 'value="deny"'))
    assert "<script" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")


@pytest.mark.parametrize("mode", ["query", "form_post"])
async def test_the_pages_escape_everything(emulator, api, mode):
    """No parameter becomes markup, on the consent page or on the page that posts the answer."""
    hostile = '"><script>alert(1)</script>'
    url = page_of(
        emulator, client_id=hostile, scope=hostile, state=hostile, redirect_uri=f"https://a.example/{hostile}",
        response_mode=mode,
    )  # fmt: skip
    async with api.session.get(url) as shown:
        pages = await shown.text()
    async with api.session.post(url, data={"decision": "allow"}, allow_redirects=False) as decided:
        pages += await decided.text()

    assert "<script>alert" not in pages


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"state": ""},
        {"redirect_uri": None},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "https://app.example/#fragment"},
        {"redirect_uri": "https://app.example/\r\nSet-Cookie: a=b"},
        {"redirect_uri": "https://[/"},
        {"response_type": "token"},
        {"response_mode": "fragment"},
    ],
)
async def test_an_invalid_request_is_a_page_and_no_redirect(emulator, api, changes):
    """The person is told the problem, before and after the click; the browser is not redirected."""
    url = page_of(emulator, **changes)
    async with api.session.get(url) as shown:
        statuses = [shown.status]
    async with api.session.post(url, data={"decision": "allow"}, allow_redirects=False) as decided:
        statuses.append(decided.status)

    assert (statuses, emulator.codes) == ([400, 400], ())


async def test_a_click_that_decides_nothing_is_refused(emulator, api):
    """Only allow and deny are decisions."""
    async with api.session.post(page_of(emulator), data={"decision": "maybe"}, allow_redirects=False) as answer:
        status = answer.status

    assert (status, emulator.codes) == (400, ())


async def test_allow_sends_a_code_that_needs_encoding(emulator):
    """The redirect keeps its own query; code and state are percent-encoded, byte for byte what is on the wire."""
    redirect = await emulator.consent(page_of(emulator))
    (code,) = emulator.codes
    encoded = code.value.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")

    assert redirect == f"https://app.example/cb?tenant=7&code={encoded}&state=s%2F%2B%3D%20%26%3F"
    assert set("/+=") <= set(code.value)


async def test_deny_sends_the_error_and_the_state(emulator):
    """A refusal has no code."""
    redirect = await emulator.consent(page_of(emulator), allow=False)

    assert redirect == (
        "https://app.example/cb?tenant=7&error=access_denied"
        "&error_description=The%20user%20denied%20the%20request&state=s%2F%2B%3D%20%26%3F"
    )
    assert emulator.codes == ()


async def test_form_post_carries_the_answer_in_a_form(emulator, api):
    """The page posts code and state to the redirect URI by itself, and by a button where scripts are off."""
    url = page_of(emulator, response_mode="form_post")
    async with api.session.post(url, data={"decision": "allow"}, allow_redirects=False) as answer:
        status, page, policy = answer.status, await answer.text(), answer.headers["Content-Security-Policy"]
    nonce = page.partition('<script nonce="')[2].partition('"')[0]
    (code,) = emulator.codes

    assert status == 200
    assert 'action="https://app.example/cb?tenant=7"' in page
    assert f'name="code" value="{code.value}"' in page
    assert '<button class="primary">' in page
    assert f"script-src 'nonce-{nonce}'" in policy


async def test_a_form_post_flow_ends_at_peakas_callback(make_api):
    """Peaka's callback accepts the posted form like a redirect."""
    async with Emulator(response_mode="form_post") as emulator, aiohttp.ClientSession() as session:
        made = await make_api(session, emulator).begin(None, connectionCallback="https://app.example/done")
        callback, _, form = (await emulator.consent(made["url"])).partition("?")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with session.post(callback, data=form, headers=headers, allow_redirects=False) as answer:
            target = answer.headers["Location"]

    assert parse_qs(urlsplit(target).query) == {"connectionId": [made["id"]], "status": ["success"]}


@pytest.mark.parametrize(
    "url", ["https://provider.example/authorize?a=b", "{origin}/", "{origin}/oauth2/authorize?a=b"]
)
async def test_consent_is_given_on_this_emulators_pages_only(emulator, url):
    """Another URL, or a page that refuses the request, is a typed error."""
    with pytest.raises(ConfigurationError, match="consent page"):
        await emulator.consent(url.format(origin=emulator.origin))


class Elsewhere:
    """Another provider, which records the arguments of Peaka's calls."""

    def __init__(self):
        self.exchanged = []

    def consent_url(self, *, client_id, redirect_uri, scope, state):
        return f"https://provider.example/authorize?client_id={client_id}&state={state}"

    async def exchange(self, code, *, client_id, client_secret, redirect_uri):
        self.exchanged.append((code, client_id, client_secret, redirect_uri))
        if code != "good":
            reason = "The code is not known"
            raise CodeRefused(reason)
        return Grant("g-1")


@pytest.mark.parametrize(("code", "active"), [("good", True), ("bad", False)])
async def test_another_provider_in_its_place(code, active):
    """Its consent page is shown, and its answer decides."""
    other = Elsewhere()
    async with (
        Emulator(authorization_server=other) as emulator,
        PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka,
    ):
        credential = OAuth2Credential(client_id="app", client_secret="s3cret", redirect_url="https://app.example/cb")
        pending = await peaka.connections.create(emulator.project_id, ConnectionRequest("crm", "hubspot", credential))
        state = pending.url.partition("state=")[2]
        callback = Oauth2Callback(f"code={code}&state={state}")
        with contextlib.nullcontext() if active else pytest.raises(BadRequestError, match="oa002"):
            await peaka.connections.oauth2_callback(emulator.project_id, callback)

        (stored,) = emulator.connections()
    assert pending.url.startswith("https://provider.example/authorize?client_id=app&")
    assert (stored.active, other.exchanged) == (active, [(code, "app", "s3cret", "https://app.example/cb")])
