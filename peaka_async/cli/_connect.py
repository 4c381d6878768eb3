"""`peaka connect`: from a connector's name to a working connection."""

from __future__ import annotations

import asyncio
from typing import Protocol, final

import attrs

from peaka_async import AuthorizationDenied, Connection, InvalidRedirect, PeakaClient, StateMismatch
from peaka_async.cli._loopback import Loopback, Visit
from peaka_async.oauth2 import ConnectFlow, ConnectRequest, OwnRedirect, PeakaApp, PendingFlow

# Who sits at this terminal: the one who began a flow is the one who ends it.
_USER = "terminal"


class Terminal(Protocol):
    """The person at the terminal."""

    def begun(self, flow: PendingFlow, /) -> None:
        """Learn that the connection was created and waits for its consent."""

    def show(self, url: str, once: str, /) -> None:
        """Be sent to the consent page: by an address that leads there once, or by its own."""

    async def paste(self) -> str:
        """Give the URL that the browser ended at."""
        ...


@final
@attrs.frozen(kw_only=True)
class Plan:
    """What to connect, and how the return comes back.

    With an own OAuth2 app (`client_id`, `client_secret`) the provider returns to this machine; without, Peaka's app is
    used, and Peaka returns to it. `paste` asks for the URL that the browser ended at, if no port can be reached.
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
        AuthorizationDenied: the person or the provider said no.
        StateMismatch: what was pasted belongs to another flow.
        WorkFailedError: Peaka could not complete it.
        TimeoutError: nothing came back in time.
        PeakaError: a call failed.
    """
    async with Loopback(plan.port) as loopback, ConnectFlow(peaka, seconds=plan.seconds) as flow:
        pending = await flow.start(_connect_request(plan, loopback.url), user_ref=_USER)
        terminal.begun(pending)
        url = str(pending.consent_url)
        # In a thread: a browser may come back only when it is closed, and the return has to be taken meanwhile.
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
    """Complete the flow, and let the browser show what became of it."""
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
    """Wait for the return; that the page could not be shown is known at once."""
    await asyncio.wait({returned, shown}, return_when=asyncio.FIRST_COMPLETED)
    if not returned.done():
        await shown
        await asyncio.wait({returned})


async def _return_of(flow: ConnectFlow, loopback: Loopback) -> Visit:
    """The first return that belongs to the flow: anybody on this machine can reach the port."""
    while True:
        visit = await loopback.visit()
        try:
            await flow.find(f"?{visit.query}", user_ref=_USER)
        except (StateMismatch, InvalidRedirect):
            visit.show("This link cannot be used", "It does not belong to what was begun at the terminal.")
            continue
        return visit


def _connect_request(plan: Plan, return_url: str) -> ConnectRequest:
    via: PeakaApp | OwnRedirect = PeakaApp(return_url)
    if plan.client_id is not None:
        via = OwnRedirect(plan.client_id, plan.client_secret or "", return_url)
    return ConnectRequest(project_id=plan.project_id, connector=plan.connector, name=plan.name, via=via)
