"""Prompts at the terminal that Ctrl-C ends at once."""

from __future__ import annotations

import asyncio
import os
import sys

_PIECE = 4096


async def ask(question: str) -> str:
    """Ask for a line.

    A thread that waits in `input` cannot be stopped, so the event loop itself waits for the line if possible.

    Raises:
        EOFError: the input ended.
    """
    sys.stderr.write(f"{question}: ")
    sys.stderr.flush()
    line = b""
    while not line.endswith(b"\n"):
        await _readable(sys.stdin.fileno())
        piece = os.read(sys.stdin.fileno(), _PIECE)
        if not piece:
            break
        line += piece
    if not line:
        raise EOFError
    return line.decode(errors="replace").strip()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except (NotImplementedError, PermissionError):
        return  # a file, which is always readable, or Windows, where Ctrl-C ends a read
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
