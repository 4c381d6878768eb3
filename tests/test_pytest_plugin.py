"""The plugin, in a project that has the package installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

USE = """
from peaka_async import ConnectionRequest, Oauth2Callback, OAuth2Credential

OWN_APP = OAuth2Credential(client_id="a", client_secret="b", redirect_url="https://app.example/return")

async def test_the_whole_flow(peaka_emulator, peaka_client):
    project = peaka_emulator.project_id
    request = ConnectionRequest("crm", "hubspot", OWN_APP)
    pending = await peaka_client.connections.create(project, request)
    callback = Oauth2Callback.from_redirect(await peaka_emulator.consent(pending.url))
    connection = await peaka_client.connections.oauth2_callback(project, callback)
    assert connection.id == pending.id

async def test_each_test_has_its_own(peaka_emulator):
    assert peaka_emulator.connections() == []
"""


@pytest.fixture
def run(tmp_path):
    def run(*options):
        (tmp_path / "test_use.py").write_text(USE)
        (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603

    return run


def installed():
    return [each.name for each in entry_points(group="pytest11") if each.value == "peaka_async.pytest_plugin"]


def test_its_fixtures_are_there(run):
    """The fixtures need no import and no configuration."""
    done = run() if installed() else run("-p", "peaka_async.pytest_plugin")

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_without_pytest_asyncio_it_is_silent():
    """A project without asynchronous tests is not affected."""
    program = "import sys; sys.modules['pytest_asyncio'] = None; import peaka_async.pytest_plugin as p; print(dir(p))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603

    assert "peaka_emulator" not in done.stdout
