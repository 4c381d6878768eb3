"""`python -m peaka_async.emulator`: serve the emulator."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from peaka_async.emulator._server import serve
from peaka_async.errors import ConfigurationError

_DEFAULT_PORT = 8930


async def _until_told(port: int, host: str) -> None:
    task = asyncio.ensure_future(serve(port, host))
    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in its event loop.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m peaka_async.emulator", description="A local Peaka, on loopback.")
    parser.add_argument("--port", type=int, default=_DEFAULT_PORT, help="where to listen (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        asyncio.run(_until_told(arguments.port, arguments.host))
    except KeyboardInterrupt:
        return 130
    except (ConfigurationError, OSError) as error:
        print(f"The emulator cannot start: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
