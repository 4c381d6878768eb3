"""The command, as a person and as a script use it, against an emulator in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.sdk.trace import Event

from peaka_async import ConnectionRequest, OAuth2Credential, PeakaClient
from peaka_async.cli._connect import Plan, connect
from peaka_async.cli._demo import wait_of
from peaka_async.cli._loopback import Loopback
from peaka_async.cli._text import plain
from peaka_async.emulator import Emulator

# Does in the browser's place what a person does on the consent page: allows or denies, and follows to the end.
BROWSER = """#!{python}
import re, sys, urllib.error, urllib.parse, urllib.request

def opened(url, data=None):
    try:
        return urllib.request.urlopen(url, data)
    except urllib.error.HTTPError as error:
        return error

begun = opened(sys.argv[1])
url = begun.geturl()
open({log!r}, "a").write(sys.argv[1] + "\\n" + url + "\\n")
for stray in {strays}:
    opened(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["redirect_uri"][0] + stray)
page = begun.read().decode()
action = re.search(r'action="([^"]+)"', page)[1].replace("&amp;", "&")
shown = opened(urllib.parse.urljoin(url, action), b"decision={decision}").read().decode()
open({log!r}, "a").write(re.search("<h1>(.*)</h1>", shown)[1] + "\\n")
"""


@pytest.fixture
def emulator():
    command = [sys.executable, "-u", "-m", "peaka_async.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            lines = [process.stdout.readline() for _ in range(4)]
            base_url, key, _, project = (line.split()[-1] for line in lines)
            yield {"PEAKA_BASE_URL": base_url, "PEAKA_API_KEY": key, "PEAKA_PROJECT_ID": project}
        finally:
            process.terminate()


@pytest.fixture
def peaka(emulator, tmp_path):
    def peaka(*arguments, decision="allow", text="", strays=(), **environment):
        browser = tmp_path / f"browser-{decision}"
        log = str(tmp_path / "browser.log")
        browser.write_text(BROWSER.format(python=sys.executable, decision=decision, strays=strays, log=log))
        browser.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PEAKA_")}
        return subprocess.run(  # noqa: S603
            [sys.executable, "-m", "peaka_async.cli", *arguments],
            env={**kept, **emulator, "BROWSER": f"{browser} %s", "COLUMNS": "120", **environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return peaka


OWN_APP = {"PEAKA_CLIENT_ID": "my-app", "PEAKA_CLIENT_SECRET": "s3cret"}


@pytest.fixture
def browser_log(tmp_path):
    """What the browser was started with, where it got to, and what it showed at the end."""
    return lambda: (tmp_path / "browser.log").read_text().splitlines()


@pytest.mark.parametrize("environment", [{}, OWN_APP], ids=["Peaka's app", "own app"])
def test_connect_ends_with_a_connection(peaka, environment, browser_log):
    """One command: the browser opens, the person allows, the connection is printed and works."""
    done = peaka("connect", "hubspot", "--name", "CRM", "--json", **environment)

    connection = json.loads(done.stdout)
    listed = json.loads(peaka("connections", "list", "--json").stdout)
    assert done.returncode == 0
    assert (connection["name"], connection["type"], connection["url"]) == ("CRM", "hubspot", None)
    assert listed[-1] == connection
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("environment", [{}, OWN_APP], ids=["Peaka's app", "own app"])
def test_a_refusal_is_an_answer(peaka, environment, browser_log):
    """Said on stderr and in the browser, with exit code 1 and nothing on stdout."""
    done = peaka("connect", "hubspot", decision="deny", **environment)

    assert (done.returncode, done.stdout) == (1, "")
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert browser_log()[2:] == ["Nothing was connected" if environment else "The connection failed"]


def test_the_consent_url_is_in_no_arguments(peaka, browser_log):
    """Other users of a machine can read them; what they can read leads to the consent page once."""
    done = peaka("connect", "hubspot", **OWN_APP)
    started_with, reached, _ = browser_log()

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/go/[\w-]{22}", started_with)
    assert (done.returncode, "state=" in reached, "/oauth2/authorize?" in reached) == (0, True, True)


def test_connect_without_a_browser(peaka):
    """The URL is printed; when nothing comes back in time it says so."""
    done = peaka("connect", "hubspot", "--no-browser", "--timeout", "1")

    assert done.returncode == 1
    assert re.search(r"http://127\.0\.0\.1:\d+/oauth2/authorize\?", done.stderr)
    assert "The browser did not come back in time" in done.stderr


def test_pasting_another_flows_url_is_refused(peaka):
    """The state is compared with that of the consent page before anything is sent."""
    done = peaka("connect", "hubspot", "--paste", text="http://127.0.0.1/return?code=c&state=other\n", **OWN_APP)

    assert done.returncode == 1
    assert "completes no flow" in done.stderr


class Nobody:
    """A terminal whose browser cannot be started."""

    def begun(self, _):
        pass

    def show(self, *_):
        raise LookupError("no browser")


async def test_a_page_that_cannot_be_shown_ends_it_at_once():
    """Nobody waits for a return from a page that nobody saw."""
    async with Emulator() as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as client:
        plan = Plan(project_id=emulator.project_id, connector="hubspot", name="CRM")
        async with asyncio.timeout(30):
            with pytest.raises(LookupError):
                await connect(client, plan, Nobody())


async def test_the_address_of_the_consent_page_works_once():
    """Whoever comes second is told."""
    async with Loopback() as loopback, aiohttp.ClientSession() as session:
        once = loopback.once("https://provider.example/consent?state=s")
        answers = []
        for url in (once, once, once + "x"):
            async with session.get(url, allow_redirects=False) as answer:
                answers.append((answer.status, answer.headers.get("Location")))

    assert answers == [(303, "https://provider.example/consent?state=s"), (410, None), (410, None)]


def await_sleep(pid):
    """Wait until a process waits for its input: `input()` notices no signal between its prompt and its read."""
    status, asleep = Path(f"/proc/{pid}/stat"), 0
    while status.exists() and asleep < 5:
        state = status.read_text().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.01)


def interrupted(arguments, environment, *, until):
    """What a command prints, and its exit code, if Ctrl-C is pressed once something was printed."""
    parent, child = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PEAKA_")}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-u", "-m", "peaka_async.cli", *arguments],
        env={**kept, **environment, "COLUMNS": "120"},
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # A shell's background job ignores it, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    printed = b""
    while until not in printed:
        piece = os.read(process.stdout.fileno(), 4096)
        assert piece, printed
        printed += piece
    await_sleep(process.pid)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    os.close(parent)
    os.close(child)
    return process.returncode, (printed + rest).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("arguments", "environment", "until"),
    [
        (["connections", "list"], {"PEAKA_API_KEY": ""}, b"API key"),
        (["connect", "hubspot", "--client-id", "a"], {}, b"Client secret"),
        (["connections", "delete", "c1"], {}, b"Delete connection"),
        (["connect", "hubspot", "--paste"], OWN_APP, b"ended at"),
        (["connect", "hubspot", "--no-browser"], OWN_APP, b"state="),
    ],
)
def test_ctrl_c_ends_every_prompt(emulator, arguments, environment, until):
    """At once, with 130, and with a word about what was begun."""
    code, printed = interrupted(arguments, {**emulator, **environment}, until=until)

    assert code == 130
    assert "Aborted." in printed
    assert "Traceback" not in printed
    assert ("peaka connections get" in printed) is (environment is OWN_APP)


HOSTILE = [
    "Sales [/old]",
    "[link=https://evil.example]click[/link]",
    "[red]red",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31mred",
    "a\u202egnp.exe",
    "two\r\nlines\u2028",
    "\u2066isolated\u2069 \u200f",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(peaka, emulator, name):
    """No markup and no codes for the terminal, in tables, in one connection, in messages and in JSON."""
    made = asyncio.run(created(emulator, name))
    listed, shown = peaka("connections", "list"), peaka("connections", "get", made.id)
    scripted = peaka("connections", "list", "--json")
    printed = listed.stdout + shown.stdout + scripted.stdout

    assert (listed.returncode, shown.returncode, scripted.returncode) == (0, 0, 0)
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200f\u2028-\u202e\u2066-\u2069]", printed) is None
    assert plain(name) in re.sub(r"\s*│?\n│?\s*", "", shown.stdout)
    assert name in [each["name"] for each in json.loads(scripted.stdout)]


async def created(environment, name):
    async with PeakaClient(environment["PEAKA_API_KEY"], base_url=environment["PEAKA_BASE_URL"]) as client:
        app = OAuth2Credential(client_id="app", client_secret="s3cret", redirect_url="https://app.example/")
        request = ConnectionRequest(name=name, type="hubspot", credential=app)
        return await client.connections.create(environment["PEAKA_PROJECT_ID"], request)


@pytest.mark.parametrize("name", ["[/x]", "[red]x"])
def test_messages_of_the_server_are_text(peaka, name):
    """What the server repeats of an id is no markup and no code either."""
    done = peaka("connections", "get", name)

    assert (done.returncode, plain(name) in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 設 🙂", "plain ü 設 🙂"),
        ("\x1b\x07\x00\x7f\x9b", "\\x1b\\x07\\x00\\x7f\\x9b"),
        ("\u202e\u061c\u200e", "\\u202e\\u061c\\u200e"),
        ("\ud800", "\\ud800"),
        (7, "7"),
    ],
)
def test_controls_are_shown_by_their_escapes(text, shown):
    """And everything else is shown as it is."""
    assert plain(text) == shown


def test_strangers_at_the_port_are_passed_over(peaka):
    """What belongs to no flow, or to nothing at all, neither ends the command nor reaches Peaka."""
    done = peaka("connect", "hubspot", "--json", strays=("?code=c&state=other", "?x=1", ""), **OWN_APP)

    assert (done.returncode, json.loads(done.stdout)["type"]) == (0, "hubspot")


def test_connections_are_listed_shown_and_deleted(peaka):
    """By people and by scripts."""
    made = json.loads(peaka("connect", "hubspot", "--json").stdout)
    shown = peaka("connections", "get", made["id"])
    table = peaka("connections", "list")
    kept = peaka("connections", "delete", made["id"], text="n\n")
    gone = peaka("connections", "delete", made["id"], "--yes")
    missing = peaka("connections", "get", made["id"])

    assert made["id"] in shown.stdout
    assert "waits for consent" in table.stdout
    assert (kept.returncode, gone.returncode, missing.returncode) == (130, 0, 1)
    assert "cn004" in missing.stderr or "no connection" in missing.stderr


def test_a_key_is_never_an_argument(peaka):
    """Without one in the environment a script is told; nothing waits for input that cannot come."""
    done = peaka("connections", "list", PEAKA_API_KEY="")

    assert (done.returncode, done.stdout) == (2, "")
    assert "PEAKA_API_KEY" in done.stderr
    assert "--api-key" not in peaka("connections", "list", "--help").stdout


@pytest.mark.parametrize(
    "arguments", [["connections", "nonsense"], ["connect"], ["connections", "get"], ["--nonsense"]]
)
def test_a_wrong_call_is_2(peaka, arguments):
    """As people expect."""
    done = peaka(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


@pytest.mark.parametrize("arguments", [[], ["connect"], ["connections"], ["connections", "delete"], ["emulator"]])
def test_help_teaches(peaka, arguments):
    """Each command says what it does."""
    done = peaka(*arguments, "--help")

    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_the_demo_shows_each_kind_of_wait():
    """A retry says why; a wait for the throttle or a limiter has no reason beside itself."""
    retry = {"peaka.retry.delay": 0.5, "peaka.retry.delay_source": "retry-after", "peaka.retry.reason": "rate_limited"}

    assert wait_of(Event("peaka.retry", retry)) == "waited 0.50 s, retry-after: rate_limited"
    wait = {"peaka.wait.for": "throttle", "peaka.wait.duration": 0.02}
    assert wait_of(Event("peaka.wait", wait)) == "waited 0.02 s for the throttle"


def test_the_demo(peaka):
    """It runs to its end: one retry, and a code that was used once."""
    done = peaka("demo")

    assert done.returncode == 0
    assert "The authorization code was used 1" in done.stdout


WITHOUT = "import sys; sys.modules['typer'] = None; from peaka_async.cli import main; sys.exit(main())"


def test_without_the_extra_it_says_what_to_install():
    """In a line, and not in a traceback."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 1
    assert "peaka-async[cli]" in done.stderr
    assert "Traceback" not in done.stderr
