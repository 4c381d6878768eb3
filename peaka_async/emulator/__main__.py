"""`python -m peaka_async.emulator`: serve the emulator."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from peaka_async.emulator._server import Emulator
from peaka_async.errors import ConfigurationError

_DEFAULT_PORT = 8930
_MAX_PORT = 65_535

_BANNER = """\
Peaka emulator at {base_url}
  Partner key  {api_key}
  Project key  {project_key}
  Project id   {project_id}

Try it:
  export PEAKA_BASE_URL={base_url} PEAKA_API_KEY={api_key}
  curl -H "Authorization: Bearer $PEAKA_API_KEY" $PEAKA_BASE_URL/connections/config
  curl -H "Authorization: Bearer $PEAKA_API_KEY" -H "Content-Type: application/json" \\
    -d '{{"name": "crm", "type": "hubspot", "credential": {{"clientId": "my-app", "clientSecret": "my-secret", \
"redirectUrl": "http://127.0.0.1:8000/return"}}}}' \\
    $PEAKA_BASE_URL/connections/{project_id}
Open the url of its answer in a browser, allow it, and post the query that you are sent back with:
  curl -H "Authorization: Bearer $PEAKA_API_KEY" -H "Content-Type: application/json" \\
    -d '{{"queryParameters": "code=...&state=..."}}' $PEAKA_BASE_URL/connections/{project_id}/oauth2

Ctrl-C ends it."""


def main() -> int:
    """Serve until told to stop.

    Returns:
        0 after SIGTERM, 130 after Ctrl-C, 1 where the port is taken, 2 where the host is not loopback.
    """
    arguments = _parser().parse_args()
    try:
        asyncio.run(_serve(arguments.port, arguments.host))
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(error, 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m peaka_async.emulator", description="A local Peaka, on loopback.")
    parser.add_argument(
        "--port", type=_port, default=_DEFAULT_PORT, help="where to listen; 0 takes a free port (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _MAX_PORT:
        msg = f"{port} is no port"
        raise argparse.ArgumentTypeError(msg)
    return port


async def _serve(port: int, host: str) -> None:
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in its event loop.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with Emulator(port=port, host=host) as emulator:
        banner = _BANNER.format(
            base_url=emulator.base_url,
            api_key=emulator.api_key,
            project_key=emulator.project_key,
            project_id=emulator.project_id,
        )
        print(banner, flush=True)  # noqa: T201 - the command's own output
        await stopped.wait()


def _fail(error: Exception, status: int) -> int:
    print(f"The emulator cannot start: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
    return status


if __name__ == "__main__":
    raise SystemExit(main())
