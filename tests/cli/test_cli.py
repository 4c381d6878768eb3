"""The command, as a person and as a script use it, against an emulator in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys

import pytest

from peaka_async import PeakaClient
from peaka_async.cli._connect import Plan, connect
from peaka_async.emulator import Emulator

# Does in the browser's place what a person does on the consent page: allows or denies, and follows to the end.
BROWSER = """#!{python}
import re, sys, urllib.error, urllib.parse, urllib.request

def opened(url, data=None):
    try:
        return urllib.request.urlopen(url, data)
    except urllib.error.HTTPError as error:
        return error

url = sys.argv[1]
for stray in {strays}:
    opened(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["redirect_uri"][0] + stray)
page = opened(url).read().decode()
action = re.search(r'action="([^"]+)"', page)[1].replace("&amp;", "&")
opened(urllib.parse.urljoin(url, action), b"decision={decision}").read()
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
        browser.write_text(BROWSER.format(python=sys.executable, decision=decision, strays=strays))
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


@pytest.mark.parametrize("environment", [{}, OWN_APP], ids=["Peaka's app", "own app"])
def test_connect_ends_with_a_connection(peaka, environment):
    """One command: the browser opens, the person allows, the connection is printed and works."""
    done = peaka("connect", "hubspot", "--name", "CRM", "--json", **environment)

    connection = json.loads(done.stdout)
    listed = json.loads(peaka("connections", "list", "--json").stdout)
    assert done.returncode == 0
    assert (connection["name"], connection["type"], connection["url"]) == ("CRM", "hubspot", None)
    assert listed[-1] == connection
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("environment", [{}, OWN_APP], ids=["Peaka's app", "own app"])
def test_a_refusal_is_an_answer(peaka, environment):
    """Said on stderr, with exit code 1 and nothing on stdout."""
    done = peaka("connect", "hubspot", decision="deny", **environment)

    assert (done.returncode, done.stdout) == (1, "")
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_connect_without_a_browser(peaka):
    """The URL is printed; when nothing comes back in time it says so."""
    done = peaka("connect", "hubspot", "--no-browser", "--timeout", "1")

    assert done.returncode == 1
    assert re.search(r"http://127\.0\.0\.1:\d+/oauth2/authorize\?", done.stderr)
    assert "Nothing came back in time" in done.stderr


def test_pasting_another_flows_url_is_refused(peaka):
    """The state is compared with that of the consent page before anything is sent."""
    done = peaka("connect", "hubspot", "--paste", text="http://127.0.0.1/return?code=c&state=other\n", **OWN_APP)

    assert done.returncode == 1
    assert "completes no flow" in done.stderr


async def test_a_page_that_cannot_be_shown_ends_it_at_once():
    """Nobody waits for a return from a page that nobody saw."""

    def show(_):
        raise LookupError("no browser")

    async with Emulator() as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as client:
        plan = Plan(project_id=emulator.project_id, connector="hubspot", name="CRM")
        async with asyncio.timeout(30):
            with pytest.raises(LookupError):
                await connect(client, plan, show)


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
