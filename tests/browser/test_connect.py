"""What people do in a real Chromium with the services of examples/: from the button to the connection shown."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import urlsplit

import pytest

from peaka_async.emulator import Fault

pytest.importorskip("playwright.async_api", reason="`nox -s browser` installs what these tests need")

BUTTON = "Connect HubSpot"


async def to_consent(person, example):
    """Sign in, and click the button."""
    await person.sign_in(example.origin)
    await person.click(BUTTON)
    await person.page.wait_for_url("**/authorize?**")
    return person.page.url


def posted(emulator):
    """How often each code was presented."""
    return [code.presented for code in emulator.codes]


async def test_from_the_button_to_the_connection(example, make_person, emulator):
    """Button, consent, return; the connection is shown, and no page or log holds the code."""
    alice = await make_person("alice")
    await alice.sign_in(example.origin)
    await alice.shoot(f"{example.name}-1-service")
    await alice.click(BUTTON)
    consent = await alice.title()
    cookies = {cookie["name"]: cookie for cookie in await alice.context.cookies(example.origin)}
    (flow_cookie,) = [cookie for name, cookie in cookies.items() if name.startswith("__Host-peaka-connect-")]
    await alice.shoot(f"{example.name}-2-consent")
    await alice.click("Allow")
    await alice.page.get_by_text("HubSpot of alice is connected").wait_for()
    await alice.shoot(f"{example.name}-3-connected")
    left = [cookie["name"] for cookie in await alice.context.cookies(example.origin)]
    log = example.log.read_text()

    (connection,) = emulator.connections()
    assert "asks for access" in consent
    assert alice.page.url == f"{example.origin}/"
    assert (connection.active, posted(emulator)) == (True, [1])
    assert (flow_cookie["httpOnly"], flow_cookie["secure"], flow_cookie["sameSite"]) == (True, True, "Lax")
    assert [name for name in left if "peaka-connect" in name] == []
    assert "/connect/return?[redacted]" in log
    assert "code=" not in log


async def test_a_refusal(example, make_person, emulator):
    """Who denies reads that nothing was connected."""
    alice = await make_person("alice")
    await to_consent(alice, example)
    await alice.click("Deny")
    await alice.page.get_by_text("Nothing was connected").wait_for()
    await alice.shoot(f"{example.name}-4-denied")

    assert await alice.title() == "Nothing was connected"
    assert await alice.connected(example.origin) == []
    assert posted(emulator) == []


async def test_a_double_click_on_the_consent(example, make_person, emulator):
    """However many codes the provider issues for it: one is sent, and the connection is shown."""
    alice = await make_person("alice")
    await to_consent(alice, example)
    emulator.faults.add("connections.oauth2_callback", Fault.slow(0.3))
    await alice.page.get_by_role("button", name="Allow", exact=True).dblclick(no_wait_after=True)
    await alice.page.get_by_text("is connected").wait_for()

    assert await alice.connected(example.origin) == ["HubSpot of alice is connected"]
    assert sum(posted(emulator)) == 1


async def test_a_reload_of_the_return(example, make_person, emulator):
    """The return's URL once more, and the way back in the history: nothing is sent, and the result is shown."""
    alice = await make_person("alice")
    returns = []
    alice.page.on("request", lambda request: "/connect/return?" in request.url and returns.append(request.url))
    await to_consent(alice, example)
    await alice.click("Allow")
    await alice.page.get_by_text("is connected").wait_for()
    await alice.page.goto(returns[0])
    again = await alice.title()
    await alice.page.reload()

    assert (again, await alice.title()) == ("Hello alice", "Hello alice")
    assert (len(emulator.connections()), posted(emulator)) == (1, [1])


async def test_a_return_in_another_browser(example, make_person, emulator):
    """The same user in another browser, and another user, are refused; the browser that began goes on."""
    alice, elsewhere, bob = await make_person("alice"), await make_person("alice"), await make_person("bob")
    await to_consent(alice, example)
    redirect = await emulator.consent(alice.page.url)
    titles = []
    for other in (elsewhere, bob):
        await other.sign_in(example.origin)
        await other.page.goto(redirect)
        titles.append(await other.title())
    await elsewhere.shoot(f"{example.name}-5-another-browser")
    sent = posted(emulator)
    await alice.page.goto(redirect)

    assert (titles, sent) == (["This link cannot be used"] * 2, [0])
    assert await alice.connected(example.origin) == ["HubSpot of alice is connected"]
    assert await bob.connected(example.origin) == []
    assert posted(emulator) == [1]


@pytest.mark.parametrize("name", ["aiohttp", "fastapi"])
async def test_a_return_after_a_restart(name, make_example, make_person, emulator, redis_port):
    """The service ends while the person is at the provider, and another process takes the return."""
    pytest.importorskip("redis")
    example = await make_example(name, emulator, "--redis", f"redis://127.0.0.1:{redis_port}/0")
    alice = await make_person("alice")
    await to_consent(alice, example)
    await example.stop()
    await example.start()
    await alice.click("Allow")
    await alice.page.get_by_text("HubSpot of alice is connected").wait_for()

    assert posted(emulator) == [1]


async def test_a_provider_that_posts_its_answer(make_example, make_person, form_post_emulator):
    """With response_mode=form_post the browser holds the cookie back; the page in between posts from here."""
    example = await make_example("fastapi", form_post_emulator)
    alice = await make_person("alice")
    await to_consent(alice, example)
    await alice.click("Allow")
    await alice.page.get_by_text("HubSpot of alice is connected").wait_for()

    assert posted(form_post_emulator) == [1]


SUBMIT = "document.forms[0].submit()"
ATTACKS = {
    "a link": "<a href='{url}'>A kitten</a>",
    "a redirect": "<script>location = '{url}'</script>",
    "an image": "<img src='{url}'>",
    "a frame": "<iframe src='{url}'></iframe>",
    "a window": "<a href='#' onclick=\"window.open('{url}')\">A kitten</a>",
    "a fetch": "<script>fetch('{url}', {{mode: 'no-cors', credentials: 'include'}})</script>",
    "a prefetch": "<link rel='prefetch' href='{url}'>",
    "a form": "<form method='post' action='{path}'><input name='code' value='{code}'><input name='state' "
    "value='{state}'></form><script>document.forms[0].submit()</script>",
    "a form as from here": "<form method='post' action='{path}'><input name='peaka_return' value='{hex}'></form>"
    "<script>document.forms[0].submit()</script>",
}


async def test_an_attackers_page(example, make_person, emulator, attacker_site):
    """No page of an attacker makes a victim's session adopt the connection that the attacker consented to."""
    mallory, victim = await make_person("mallory"), await make_person("victim")
    await to_consent(mallory, example)
    redirect = await emulator.consent(mallory.page.url)
    (code,) = emulator.codes
    query = urlsplit(redirect).query
    state = re.search("state=([^&]+)", query)[1]
    await to_consent(victim, example)  # with a flow of its own under way, and its cookie
    for attack in ATTACKS.values():
        attacker_site.body = attack.format(
            url=redirect, path=redirect.partition("?")[0], code=code.value, state=state, hex=query.encode().hex()
        )
        await victim.page.goto(attacker_site.url)
        link = victim.page.get_by_role("link", name="A kitten")
        if await link.count():
            await link.click()
        await victim.page.wait_for_load_state("networkidle")
        await asyncio.sleep(0.2)
        await victim.shoot(f"{example.name}-6-attack")

    assert posted(emulator) == [0]
    assert await victim.connected(example.origin) == []
    await mallory.page.goto(redirect)
    assert await mallory.connected(example.origin) == ["HubSpot of mallory is connected"]


async def test_an_attackers_consent_url(example, make_person, emulator, attacker_site):
    """A victim who consents on the attacker's consent page gives the attacker nothing, and is told so."""
    mallory, victim = await make_person("mallory"), await make_person("victim")
    url = await to_consent(mallory, example)
    await victim.sign_in(example.origin)
    attacker_site.body = f"<script>location = {url!r}</script>"
    await victim.page.goto(attacker_site.url)
    await victim.page.wait_for_url("**/authorize?**")
    await victim.click("Allow")
    await victim.page.get_by_text("belongs to another browser or user").wait_for()

    assert posted(emulator) == [0]
    assert [stored.active for stored in emulator.connections()] == [False]
    assert await mallory.connected(example.origin) == []


async def test_an_attackers_page_begins_nothing(example, make_person, emulator, attacker_site):
    """A page elsewhere can neither begin a flow in a victim's name, nor sign the victim in as the attacker."""
    victim = await make_person("victim")
    await victim.sign_in(example.origin)
    begin = f"{example.origin}/connect/begin?connector=hubspot"
    sign_in = f"{example.origin}/sign-in"
    for attack in (
        f"<form method='post' action='{sign_in}'><input name=user value=mallory></form><script>{SUBMIT}</script>",
        f"<form method='post' action='{begin}'></form><script>{SUBMIT}</script>",
        f"<script>location = '{begin}'</script>",
        f"<img src='{begin}'>",
    ):
        attacker_site.body = attack
        await victim.page.goto(attacker_site.url)
        await victim.page.wait_for_load_state("networkidle")

    await victim.page.goto(example.origin)
    assert await victim.title() == "Hello victim"
    assert emulator.connections() == []


async def test_a_sibling_site_begins_nothing(example, make_person, emulator, attacker_site):
    """Neither by a form, nor by a link, a redirect or a frame: it is of the same site, and not of the same origin."""
    victim = await make_person("victim")
    await victim.sign_in(example.origin)
    begin = f"{example.origin}/connect/begin?connector=hubspot"
    for attack in (
        f"<form method='post' action='{begin}'></form><script>{SUBMIT}</script>",
        f"<script>location = '{begin}'</script>",
        f"<iframe src='{begin}'></iframe>",
    ):
        attacker_site.body = attack
        await victim.page.goto(attacker_site.sibling)
        await victim.page.wait_for_load_state("networkidle")

    assert emulator.connections() == []


@pytest.mark.parametrize("tossed", ["\u2000{name}={value}; Path=/", "{name}={value}; Domain=localhost; Secure; Path=/"])
async def test_a_sibling_site_tosses_cookies(example, make_person, emulator, attacker_site, tossed):
    """The attacker's session and flow in the victim's browser: the victim's consent completes nothing."""
    mallory, victim = await make_person("mallory"), await make_person("victim")
    url = await to_consent(mallory, example)
    cookies = {each["name"]: each["value"] for each in await mallory.context.cookies(example.origin)}
    ((name, value),) = [each for each in cookies.items() if "peaka-connect" in each[0]]
    session = cookies["session"]
    toss = tossed.format(name=name, value=value)
    attacker_site.body = f"<script>document.cookie = {json.dumps(toss)}; document.cookie = 'session={session}'</script>"
    await victim.page.goto(attacker_site.sibling)
    sent = [each["name"] for each in await victim.context.cookies(example.origin)]
    await victim.page.goto(url)
    await victim.click("Allow")
    await victim.page.get_by_text("belongs to another browser or user").wait_for()

    assert "session" in sent
    assert name not in sent
    assert posted(emulator) == [0]


async def test_pages_are_accessible(example, make_person, emulator):
    """Axe finds nothing in what a person meets on the way."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    alice = await make_person("alice")
    await to_consent(alice, example)
    await alice.click("Deny")
    await alice.page.get_by_text("Nothing was connected").wait_for()
    found = [await axe.run(alice.page)]
    await alice.page.goto(f"{example.origin}/connect/return?code=1&state=2")
    found.append(await axe.run(alice.page))

    assert [each.generate_report() for each in found if each.violations_count] == []


async def test_a_provider_written_by_others(make_example, make_person, mock_server_emulator, exchanged):
    """With oauth2-mock-server in the place of the emulator's provider; it asks nothing, and redirects at once."""
    for name in ("aiohttp", "fastapi"):
        example = await make_example(name, mock_server_emulator)
        alice = await make_person("alice")
        await alice.sign_in(example.origin)
        await alice.click(BUTTON)
        await alice.page.get_by_text("HubSpot of alice is connected").wait_for()

    assert [stored.active for stored in mock_server_emulator.connections()] == [True, True]
    assert len(exchanged) == len(set(exchanged)) == 2
