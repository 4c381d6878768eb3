"""`python -m peaka_async.emulator`: serve the emulator."""

from __future__ import annotations

import argparse

from peaka_async.emulator._command import DEFAULT_PORT, Options, run

_MAX_PORT = 65_535


def main() -> int:
    """Run the emulator until a signal stops it.

    Returns:
        0 after SIGTERM, 130 after Ctrl-C, 1 if the port is in use, 2 if an option is invalid.
    """
    return run(Options(**vars(_parser().parse_args())))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m peaka_async.emulator", description="A local Peaka, on loopback.")
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="the port; 0 selects a free port (default: %(default)s)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--api-key", metavar="KEY", help="the Partner key (default: a new one)")
    parser.add_argument("--project-key", metavar="KEY", help="the project's key (default: a new one)")
    parser.add_argument("--project", metavar="ID", dest="project_id", help="the project's id (default: mtKDhe1U)")
    parser.add_argument("--seed", metavar="FILE", help="the initial state (default: the data of a small company)")
    parser.add_argument(
        "--state", metavar="FILE", help="keep the state here; if the file exists, it is the initial state"
    )
    parser.add_argument("--strict", action="store_true", help="follow the published document, not the live service")
    parser.add_argument(
        "--control", action="store_true", help="let another process set faults and time, and read the received requests"
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _MAX_PORT:
        msg = f"{port} is not a valid port"
        raise argparse.ArgumentTypeError(msg)
    return port


if __name__ == "__main__":
    raise SystemExit(main())
