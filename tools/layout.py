"""The layout of the code, read from the code: import contracts, docstrings of modules, and the files of a call."""

from __future__ import annotations

import ast
import asyncio
import sys
import tomllib
from pathlib import Path
from types import FrameType

import peaka_async
from peaka_async import ConnectionRequest, Oauth2Callback, OAuth2Credential, PeakaClient
from peaka_async.emulator import Emulator

ROOT = Path(__file__).parents[1]
PACKAGE = Path(peaka_async.__file__).parent
OWN_APP = OAuth2Credential(client_id="app", client_secret="secret", redirect_url="https://app.example/return")  # noqa: S106


def layers(name: str) -> list[list[str]]:
    """The layers of a contract, the highest first; modules of one layer do not import each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["name"] == name]
    return [
        [module.strip().removeprefix("peaka_async.") for module in layer.replace(":", "|").split("|")]
        for layer in contract["layers"]
    ]


def modules(folder: str) -> list[tuple[str, str]]:
    """The modules of a folder, each with the first line of its docstring."""
    found = []
    for path in sorted((PACKAGE / folder).glob("*.py")):
        says = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        if path.name != "__init__.py" and says:
            found.append((path.name, says))
    return found


class Watch:
    """Records the project's files that a call enters on its way down to the socket, and after it."""

    def __init__(self) -> None:
        self.down: list[str] = []
        self.asked: dict[str, dict[str, None]] = {}
        self.back: dict[str, None] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") in {"send", "sendmsg"} and not self.down:
            self.down = _files(frame)
        elif event == "call" and (name := _file(frame)):
            caller = _files(frame)[-2:-1]
            if self.down and name not in self.down:
                self.back[name] = None
            elif not self.down and caller and caller[0] != name:
                self.asked.setdefault(caller[0], {})[name] = None


def _file(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(PACKAGE) or path.is_relative_to(PACKAGE / "emulator"):
        return None
    return path.relative_to(PACKAGE).as_posix()


def _files(frame: FrameType | None) -> list[str]:
    """The project's files on the stack, the caller's first; a file that calls itself is listed once."""
    stack: list[str] = []
    while frame is not None:
        name = _file(frame)
        if name and name not in stack[-1:]:
            stack.append(name)
        frame = frame.f_back
    return stack[::-1]


async def watched() -> Watch:
    """Complete a connection at a local Peaka, over a socket that is already open."""
    watch = Watch()
    async with Emulator() as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka:
        pending = await peaka.connections.create(emulator.project_id, ConnectionRequest("crm", "hubspot", OWN_APP))
        callback = Oauth2Callback.from_redirect(await emulator.consent(str(pending.url)))
        sys.setprofile(watch)
        try:
            await peaka.connections.oauth2_callback(emulator.project_id, callback)
        finally:
            sys.setprofile(None)
    return watch


def way() -> list[list[str]]:
    """The files of a call as a table: the files on the way down, the files that they use, and those on the way back."""
    watch = asyncio.run(watched())
    rows = [["On the way", "It asks"]]
    for name in watch.down:
        asked = [each for each in watch.asked.get(name, {}) if each not in watch.down]
        rows.append([f"↓ {name}", ", ".join(asked)])
    rows.append(["↓ the socket ↑", ""])
    rows.append(["↑ the same files, in reverse", ", ".join(watch.back)])
    return rows
