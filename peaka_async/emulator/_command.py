"""The command that runs the emulator."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import final

import attrs

from peaka_async.emulator import _control
from peaka_async.emulator._server import Emulator
from peaka_async.errors import ConfigurationError

DEFAULT_PORT = 8930

_BANNER = """\
Peaka emulator at {base_url}
  Partner key  {api_key}
  Project key  {project_key}
  Project id   {project_id}
  Shown at     {origin}/

Try it:
  export PEAKA_BASE_URL={base_url} PEAKA_API_KEY={api_key}
  curl -H "Authorization: Bearer $PEAKA_API_KEY" $PEAKA_BASE_URL/connections/config
  curl -H "Authorization: Bearer $PEAKA_API_KEY" -H "Content-Type: application/json" \\
    -d '{{"name": "crm", "type": "hubspot", "credential": {{"clientId": "my-app", "clientSecret": "my-secret", \
"redirectUrl": "http://127.0.0.1:8000/return"}}}}' \\
    $PEAKA_BASE_URL/connections/{project_id}
Open the url of the answer in a browser, allow the access, and post the query of the URL that you are sent back to:
  curl -H "Authorization: Bearer $PEAKA_API_KEY" -H "Content-Type: application/json" \\
    -d '{{"queryParameters": "code=...&state=..."}}' $PEAKA_BASE_URL/connections/{project_id}/oauth2
{control}
Stop with Ctrl-C."""

_CONTROL = """
Set faults and time, and read the received requests, from another process:
  curl -H "Content-Type: application/json" -d '{{"seconds": 60}}' {origin}{path}/advance
"""


@final
@attrs.frozen(kw_only=True)
class Options:
    """The options of the command.

    Attributes:
        port: the port to listen on; 0 selects a free port.
        host: a loopback address.
        api_key: the Partner key; a new one if None.
        project_key: the project's key; a new one if None.
        project_id: the project's id; `mtKDhe1U` if None.
        seed: a file with the initial state.
        state: a file in which the state is kept.
        strict: whether answers follow the published document.
        control: whether another process may set faults and time, and read the received requests.
    """

    port: int = DEFAULT_PORT
    host: str = "127.0.0.1"
    api_key: str | None = attrs.field(default=None, repr=False)
    project_key: str | None = attrs.field(default=None, repr=False)
    project_id: str | None = None
    seed: str | None = None
    state: str | None = None
    strict: bool = False
    control: bool = False


def run(options: Options) -> int:
    """Run the emulator until a signal stops it.

    Returns:
        0 after SIGTERM, 130 after Ctrl-C, 1 if the port is in use, 2 if an option is invalid.
    """
    try:
        asyncio.run(_serve(options))
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(error, 1)
    return 0


async def _serve(options: Options) -> None:
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in its event loop.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    emulator = Emulator(
        port=options.port,
        host=options.host,
        api_key=options.api_key,
        project_key=options.project_key,
        project_id=options.project_id,
        seed=options.seed,
        state_file=options.state,
        strict=options.strict,
        control=options.control,
    )
    async with emulator:
        print(_banner(emulator, options), flush=True)  # noqa: T201 - the command's own output
        await stopped.wait()


def _banner(emulator: Emulator, options: Options) -> str:
    control = _CONTROL.format(origin=emulator.origin, path=_control.PATH) if options.control else ""
    return _BANNER.format(
        base_url=emulator.base_url,
        origin=emulator.origin,
        api_key=emulator.api_key,
        project_key=emulator.project_key,
        project_id=emulator.project_id,
        control=control,
    )


def _fail(error: Exception, status: int) -> int:
    print(f"The emulator cannot start: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
    return status
