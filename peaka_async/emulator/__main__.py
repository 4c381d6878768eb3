"""`python -m peaka_async.emulator`: serve the emulator."""

from __future__ import annotations

import argparse

from peaka_async.emulator._command import DEFAULT_PORT, Options, run

_MAX_PORT = 65_535


def main() -> int:
    """Serve until told to stop.

    Returns:
        0 after SIGTERM, 130 after Ctrl-C, 1 if the port is taken, 2 if an option is wrong.
    """
    return run(Options(**vars(_parser().parse_args())))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m peaka_async.emulator", description="A local Peaka, on loopback.")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="where to listen; 0 takes a free port (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--api-key", metavar="KEY", help="the Partner key; a new one if left out")
    parser.add_argument("--project-key", metavar="KEY", help="the project's key; a new one if left out")
    parser.add_argument("--project", metavar="ID", dest="project_id", help="the project's id; mtKDhe1U if left out")
    parser.add_argument("--seed", metavar="FILE", help="what it begins with; a small company if left out")
    parser.add_argument("--state", metavar="FILE", help="keeps what it holds; if the file exists it is the seed")
    parser.add_argument("--strict", action="store_true", help="answer as the published document says")
    parser.add_argument(
        "--control", action="store_true", help="let another process set faults and time, and read the ledger"
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _MAX_PORT:
        msg = f"{port} is no port"
        raise argparse.ArgumentTypeError(msg)
    return port


if __name__ == "__main__":
    raise SystemExit(main())
