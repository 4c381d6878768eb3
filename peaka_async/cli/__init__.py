"""The `peaka` command (extra: cli)."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command. It exits with 0, 1 if something failed, 2 if an argument is invalid, or 130 after Ctrl-C."""
    try:
        from peaka_async.cli._app import run  # noqa: PLC0415 - what it needs is optional
    except ModuleNotFoundError as error:
        sys.stderr.write(f"peaka: {error.name} is not installed: pip install 'peaka-async[cli]'\n")
        return 1
    return run()
