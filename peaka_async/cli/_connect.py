"""`peaka connect`: from a connector's name to a working connection."""

from __future__ import annotations

import asyncio
from typing import Protocol, final

import attrs

from peaka_async import AuthorizationDenied, Connection, InvalidRedirect, PeakaClient, StateMismatch
from peaka_async.cli._loopback import Loopback, Visit
from peaka_async.oauth2 import ConnectFlow, ConnectRequest, OwnRedirect, PeakaApp, PendingFlow

# The user of this terminal: the person who starts a flow also completes it.
_USER = "terminal"


class Terminal(Protocol):
    """The person at the terminal."""

    def begun(self, flow: PendingFlow, /) -> None:
        """Handle a created connection, which waits for consent."""

    def show(self, url: str, once: str, /) -> None:
        """Open the consent page, by an address that works once, or by its own URL."""

    async def paste(self) -> str:
        """Return the URL that the browser ended at."""
        ...


@final
@attrs.frozen(kw_only=True)
class Plan:
    """The connection to create, and the way in which the browser returns.

    With your own OAuth2 app (`client_id`, `client_secret`), the provider redirects to this machine. Otherwise Peaka's
    app is used, and Peaka redirects to this machine. `paste` asks for the URL that the browser ended at, if the browser
    cannot reach a port of this machine.
    """

    project_id: str
    connector: str
    name: str
    client_id: str | None = None
    client_secret: str | None = attrs.field(default=None, repr=False)
    port: int = 0
    seconds: float = 300.0
    paste: bool = False


async def connect(peaka: PeakaClient, plan: Plan, terminal: Terminal) -> Connection:
    """Create the connection, send the person to the consent page, and complete it.

    Raises:
        AuthorizationDenied: the person or the provider refused.
        StateMismatch: the pasted URL belongs to another flow.
        WorkFailedError: Peaka could not complete the connection.
        TimeoutError: the browser did not come back in time.
        PeakaError: a call failed.
    """
    async with Loopback(plan.port) as loopback, ConnectFlow(peaka, seconds=plan.seconds) as flow:
        pending = await flow.start(_connect_request(plan, loopback.url), user_ref=_USER)
        terminal.begun(pending)
        url = str(pending.consent_url)
        # In a thread: the command of a browser may end only when it is closed, and the return comes before that.
        shown = asyncio.create_task(asyncio.to_thread(terminal.show, url, loopback.once(url)))
        if plan.paste:
            await shown
            return await flow.complete(await terminal.paste(), user_ref=_USER)
        returned = asyncio.create_task(_return_of(flow, loopback))
        try:
            async with asyncio.timeout(plan.seconds):
                await _until(returned, shown)
        finally:
            returned.cancel()
        return await _completed(flow, returned.result())


async def _completed(flow: ConnectFlow, visit: Visit) -> Connection:
    """Complete the flow, and show the result in the browser."""
    try:
        connection = await flow.complete(f"?{visit.query}", user_ref=_USER)
    except AuthorizationDenied:
        visit.show("Nothing was connected", "The access was not allowed. You can close this window.")
        raise
    except BaseException:
        visit.show("The connection failed", "Go back to the terminal to see why.")
        raise
    visit.show("Connected", "You can close this window and go back to the terminal.")
    return connection


async def _until(returned: asyncio.Task[Visit], shown: asyncio.Task[None]) -> None:
    """Wait for the return; if the page cannot be shown, raise at once."""
    await asyncio.wait({returned, shown}, return_when=asyncio.FIRST_COMPLETED)
    if not returned.done():
        await shown
        await asyncio.wait({returned})


async def _return_of(flow: ConnectFlow, loopback: Loopback) -> Visit:
    """The first return of the flow. All users of this machine can reach the port, so others are skipped."""
    while True:
        visit = await loopback.visit()
        try:
            await flow.find(f"?{visit.query}", user_ref=_USER)
        except (StateMismatch, InvalidRedirect):
            visit.show("This link cannot be used", "It does not belong to the flow that was started at the terminal.")
            continue
        return visit


def _connect_request(plan: Plan, return_url: str) -> ConnectRequest:
    via: PeakaApp | OwnRedirect = PeakaApp(return_url)
    if plan.client_id is not None:
        via = OwnRedirect(plan.client_id, plan.client_secret or "", return_url)
    return ConnectRequest(project_id=plan.project_id, connector=plan.connector, name=plan.name, via=via)
