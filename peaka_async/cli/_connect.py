"""`peaka connect`: from a connector's name to a working connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, final
from urllib.parse import parse_qs, urlsplit

import attrs

from peaka_async import (
    Connection,
    ConnectionRequest,
    Oauth2Callback,
    OAuth2Credential,
    PeakaClient,
    StateMismatch,
    WorkFailedError,
)
from peaka_async.cli._loopback import Loopback


class Show(Protocol):
    """Sends a person to a URL."""

    def __call__(self, url: str, /) -> None: ...


@final
@attrs.frozen(kw_only=True)
class Plan:
    """What to connect, and how the return comes back.

    With an own OAuth2 app (`client_id`, `client_secret`) the provider returns to this machine; without, Peaka's app is
    used, and Peaka returns to it. `paste` asks for the URL that the browser ended at, where no port can be reached.
    """

    project_id: str
    connector: str
    name: str
    client_id: str | None = None
    client_secret: str | None = attrs.field(default=None, repr=False)
    port: int = 0
    seconds: float = 300.0
    paste: Callable[[], str] | None = attrs.field(default=None, repr=False)


async def connect(peaka: PeakaClient, plan: Plan, show: Show) -> Connection:
    """Create the connection, send the person to the consent page, and complete it.

    Raises:
        AuthorizationDenied: the person or the provider said no.
        StateMismatch: what came back belongs to another flow.
        WorkFailedError: Peaka could not complete it.
        TimeoutError: nothing came back in time.
        PeakaError: a call failed.
    """
    async with Loopback(plan.port) as loopback:
        pending = await peaka.connections.create_connection(plan.project_id, _request(plan, loopback.url))
        if not pending.url:
            return pending
        # In a thread: a browser may come back only when it is closed, and the return has to be taken meanwhile.
        shown = asyncio.create_task(asyncio.to_thread(show, pending.url))
        if plan.paste is not None:
            await shown
            query = urlsplit(await asyncio.to_thread(plan.paste)).query
        else:
            async with asyncio.timeout(plan.seconds):
                query = await loopback.query()
            await shown
    if plan.client_id is None:
        return await _returned_by_peaka(peaka, plan, pending, query)
    return await _returned_by_provider(peaka, plan, pending, query)


def _request(plan: Plan, return_url: str) -> ConnectionRequest:
    if plan.client_id is None:
        return ConnectionRequest(plan.name, plan.connector, connection_callback=return_url)
    credential = OAuth2Credential(client_id=plan.client_id, client_secret=plan.client_secret, redirect_url=return_url)
    return ConnectionRequest(plan.name, plan.connector, credential)


async def _returned_by_peaka(peaka: PeakaClient, plan: Plan, pending: Connection, query: str) -> Connection:
    """Peaka has completed it, or not; it prints the second parameter with `?` once."""
    returned = parse_qs(query.replace("?", "&"))
    if returned.get("connectionId") != [pending.id]:
        msg = "what came back belongs to another connection. Nothing was changed; begin again."
        raise StateMismatch(msg, operation="connect")
    if returned.get("status") != ["success"]:
        msg = "Peaka could not complete the connection: the consent was refused, or the provider failed."
        raise WorkFailedError(msg, operation="connect")
    return await peaka.connections.get_connection(plan.project_id, str(pending.id))


async def _returned_by_provider(peaka: PeakaClient, plan: Plan, pending: Connection, query: str) -> Connection:
    """The code is this machine's to post, once, and only if it belongs to this flow."""
    callback = Oauth2Callback.from_redirect(query)
    wanted = parse_qs(urlsplit(pending.url or "").query).get("state")
    if wanted is not None and [callback.state] != wanted:
        msg = "what came back belongs to another flow: its state differs. Nothing was sent; begin again."
        raise StateMismatch(msg, operation="connect")
    return await peaka.connections.oauth2_callback(plan.project_id, callback)
