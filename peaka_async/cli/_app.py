"""The commands. They print text for people with Rich, and JSON for scripts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar, final

import attrs
import typer
from rich.console import Console
from rich.table import Table

from peaka_async import ConfigurationError, Connection, PeakaClient, PeakaError
from peaka_async.cli._connect import Plan, connect
from peaka_async.cli._terminal import ask
from peaka_async.cli._text import cell, plain
from peaka_async.oauth2 import PendingFlow

T = TypeVar("T")

app = typer.Typer(
    name="peaka",
    help="Connect data sources to Peaka. The API key comes from PEAKA_API_KEY or from a prompt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
connections_app = typer.Typer(help="Show and delete connections.", no_args_is_help=True)
app.add_typer(connections_app, name="connections")

_INTERRUPTED = 130

_out, _err = Console(), Console(stderr=True)

Project = Annotated[
    str, typer.Option("--project", "-p", envvar="PEAKA_PROJECT_ID", help="The project's id.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def run() -> int:
    """Run the command line."""
    code = _code()
    if code == _INTERRUPTED:
        _say("Aborted.")
    return code


def _code() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except typer.BadParameter as error:
        _say(error.format_message(), style="red")
        return 2
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        _say(str(getattr(error, "message", error)), style="red")
        return int(code)


def _say(message: str, *, style: str | None = None) -> None:
    """Print a message for people. It may contain text of the server."""
    _err.print(plain(message), style=style, markup=False, highlight=False, soft_wrap=True)


def _client() -> PeakaClient:
    key = os.environ.get("PEAKA_API_KEY")
    if not key:
        if not sys.stdin.isatty():
            _fail("The API key is missing: set PEAKA_API_KEY.", code=2)
        key = typer.prompt("API key", hide_input=True, err=True)
    return PeakaClient(key)


def _fail(message: str, *, code: int = 1) -> None:
    _say(message, style="red")
    raise typer.Exit(code)


def _do(work: Callable[[PeakaClient], Awaitable[T]]) -> T:
    """Run the work with a client. An error is printed as a message, with an exit code."""
    message, code = "", 1
    try:
        # Before the event loop starts, because it would handle the first Ctrl-C itself.
        client = _client()

        async def main() -> T:
            async with client as peaka:
                return await work(peaka)

        return asyncio.run(main())
    except ConfigurationError as error:
        message, code = str(error), 2
    except PeakaError as error:
        message = str(error)
    except TimeoutError:
        message = "The browser did not come back in time."
    except EOFError:
        message = "The input ended before there was an answer."
    _fail(message, code=code)
    raise typer.Exit(code)


def _print(connection: Connection, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(attrs.asdict(connection)) + "\n")
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in attrs.asdict(connection).items():
        if value is not None:
            table.add_row(name, cell(value))
    _out.print(table)


@final
@attrs.define
class _Person:
    """The person at this terminal, and the flow that was started for them."""

    opens_browser: bool
    flow: PendingFlow | None = None

    def begun(self, flow: PendingFlow) -> None:
        self.flow = flow

    def show(self, url: str, once: str) -> None:
        opened = self.opens_browser and webbrowser.open(once)
        _say("Waiting for your consent in the browser." if opened else "Open this page and allow the access:")
        _say(url)

    async def paste(self) -> str:
        return await ask("The URL that the browser ended at")

    def say_what_is_left(self) -> None:
        if self.flow is None:
            return
        name = self.flow.connection_id
        _say(f"Connection {name} may wait for its consent. See it with `peaka connections get {name}`, or delete it.")


@app.command(name="connect")
def connect_command(
    connector: Annotated[str, typer.Argument(metavar="TYPE", help="The connector: hubspot, google_analytics, …")],
    project: Project,
    *,
    name: Annotated[str | None, typer.Option(help="The connection's name. Default: the connector's.")] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            envvar="PEAKA_CLIENT_ID",
            help="Use your own OAuth2 app. Its secret comes from PEAKA_CLIENT_SECRET or from a prompt.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port for the return; 0: a free port.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="How long to wait for the return, in seconds.")] = 300,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the consent page's URL only.")] = False,
    paste: Annotated[bool, typer.Option("--paste", help="Ask for the URL that the browser ended at.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open the consent page in the browser, take the return, and print the connection.

    With --paste the browser may run on another machine. It ends at a page that it cannot load; copy the URL of that
    page from the address bar.
    """
    secret = None
    if client_id is not None:
        secret = os.environ.get("PEAKA_CLIENT_SECRET") or typer.prompt("Client secret", hide_input=True, err=True)
    plan = Plan(
        project_id=project,
        connector=connector,
        name=name or connector,
        client_id=client_id,
        client_secret=secret,
        port=port,
        seconds=timeout,
        paste=paste,
    )

    person = _Person(opens_browser=not (no_browser or paste))
    try:
        connection = _do(lambda peaka: connect(peaka, plan, person))
    except (KeyboardInterrupt, typer.Exit):
        person.say_what_is_left()
        raise
    _print(connection, as_json=as_json)


@connections_app.command(name="list")
def list_command(project: Project, *, as_json: AsJson = False) -> None:
    """List the connections of a project."""
    found = _do(lambda peaka: peaka.connections.list(project))
    if as_json:
        sys.stdout.write(json.dumps([attrs.asdict(each) for each in found]) + "\n")
        return
    table = Table("id", "name", "type", "waits for consent")
    for each in found:
        table.add_row(cell(each.id), cell(each.name), cell(each.type), "yes" if each.url else "")
    _out.print(table)


@connections_app.command(name="get")
def get_command(
    connection: Annotated[str, typer.Argument(metavar="ID")], project: Project, *, as_json: AsJson = False
) -> None:
    """Show a connection."""
    _print(_do(lambda peaka: peaka.connections.get(project, connection)), as_json=as_json)


@connections_app.command(name="delete")
def delete_command(
    connection: Annotated[str, typer.Argument(metavar="ID")],
    project: Project,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a connection. Catalogs that use it lose their data source."""
    if not yes:
        typer.confirm(f"Delete connection {plain(connection)}?", abort=True, err=True)
    _do(lambda peaka: peaka.connections.delete(project, connection))
    _say(f"Deleted {connection}.")


@app.command()
def demo() -> None:
    """Complete a connection against a local Peaka, with one failure that is retried."""
    from peaka_async.cli._demo import main  # noqa: PLC0415 - it loads the emulator and the tracing SDK

    asyncio.run(main())


@app.command()
def emulator(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port to listen on; 0: a free port.")] = 8930,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    api_key: Annotated[str | None, typer.Option(metavar="KEY", help="The Partner key. Default: a new one.")] = None,
    project_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The project's key. Default: a new one.")
    ] = None,
    project: Annotated[str | None, typer.Option(metavar="ID", help="The project's id. Default: mtKDhe1U.")] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="FILE", help="The initial state. Default: a small company.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keep the state here; if it exists, it is the seed.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Follow the published document.")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Let another process set faults and time, and read requests.")
    ] = False,
) -> None:
    """Run a local Peaka with an OAuth2 provider, on loopback."""
    from peaka_async.emulator._command import Options, run  # noqa: PLC0415 - only here it is needed

    options = Options(
        port=port,
        host=host,
        api_key=api_key,
        project_key=project_key,
        project_id=project,
        seed=seed,
        state=state,
        strict=strict,
        control=control,
    )
    raise typer.Exit(run(options))
