"""`python -m peaka_async.emulator`, as a process."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import sys

import aiohttp
import pytest

NEEDS_SIGNALS = pytest.mark.skipif(os.name == "nt", reason="signals end a process at once there")


@pytest.fixture
async def start():
    """Starts an emulator that ends with the test, even with one that fails."""
    begun = []

    async def start(*arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "peaka_async.emulator",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def interruptible():
    """A background job of a shell ignores SIGINT, and so would all that it starts; a handler is not inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def banner_of(process):
    lines = []
    while not lines or not lines[-1].startswith("Stop with Ctrl-C"):
        lines.append((await asyncio.wait_for(process.stdout.readline(), 60)).decode())
        assert lines[-1], "the emulator ended before its banner did"
    return "".join(lines)


async def ended(process):
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


@NEEDS_SIGNALS
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("told", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_it_serves_until_it_is_told(start, told, status):
    """It prints its address, answers there, and ends at once without output, even with a connected client."""
    process = await start("--port", "0")
    banner = await banner_of(process)
    base_url = re.search(r"at (http://127\.0\.0\.1:\d+/api/v1)$", banner, re.MULTILINE)[1]
    key = re.search(r"Partner key +(\S+)", banner)[1]
    project = re.search(r"Project id +(\S+)", banner)[1]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        async with session.get(f"{base_url}/connections/{project}") as answer:
            listed = answer.status, {each["name"] for each in await answer.json()}
        process.send_signal(told)
        end = await ended(process)

    assert listed == (200, {"stripe", "hubspot", "postgres", "mongo", "google_ads"})
    assert end == (status, "", "")


@NEEDS_SIGNALS
async def test_the_curl_lines_work_as_printed(start, require_program):
    """Pasted into a shell, they list the connectors and create a connection with a consent page."""
    require_program("curl")
    shell = shutil.which("sh")
    process = await start("--port", "0")
    banner = await banner_of(process)
    pasted = banner.partition("Try it:\n")[2].partition("Open the url")[0].replace("curl", "curl -sS")
    run = await asyncio.create_subprocess_exec(shell, "-ec", pasted, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(run.communicate(), 60)
    process.terminate()
    await ended(process)

    assert run.returncode == 0, shlex.quote(pasted)
    assert b'"connectionType": "POSTGRES"' in out
    assert b"/oauth2/authorize?" in out


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--host", "0.0.0.0"), 2, "only on loopback"),  # noqa: S104 - the point of the test
        (("--port", "70000"), 2, "70000 is not a valid port"),
        (("--port", "x"), 2, "invalid"),
    ],
)
async def test_it_says_what_is_wrong(start, arguments, status, says):
    """A mistake on the command line is one message and an exit status, without a traceback."""
    code, out, err = await ended(await start(*arguments))

    assert (code, out, says in err, "Traceback" in err) == (status, "", True, False)


async def test_a_taken_port_is_said(start):
    """The error for a port in use is one message."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, out, err = await ended(await start("--port", str(taken.getsockname()[1])))

    assert (code, out, "in use" in err, "Traceback" in err) == (1, "", True, False)


@NEEDS_SIGNALS
async def test_all_options_reach_the_emulator(start, tmp_path):
    """Keys, project, strict answers, a state file and the control endpoint."""
    path = tmp_path / "state.json"
    process = await start(
        *("--port", "0", "--api-key", "pk-1", "--project-key", "pk-2", "--project", "shop"),
        *("--state", str(path), "--strict", "--control"),
    )
    banner = await banner_of(process)
    origin = re.search(r"at (http://127\.0\.0\.1:\d+)/api/v1$", banner, re.MULTILINE)[1]
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer pk-1"}) as session:
        async with session.get(f"{origin}/api/v1/organizations") as answer:
            strictly = await answer.json()
        async with session.post(f"{origin}/control/advance", json={"seconds": 5}) as answer:
            advanced = answer.status
        process.send_signal(signal.SIGTERM)
        await ended(process)

    assert "pk-2" in banner
    assert "shop" in banner
    assert (strictly["name"], advanced) == ("Emulated organization", 200)
    assert '"partnerKey":"pk-1"' in path.read_text().replace(" ", "")


async def test_a_seed_that_cannot_be_read_is_said(start, tmp_path):
    """The error is one message, with exit status 2."""
    code, out, err = await ended(await start("--port", "0", "--seed", str(tmp_path / "nope.json")))

    assert (code, out, "nope.json" in err, "Traceback" in err) == (2, "", True, False)
