"""The parts of the examples that do not use the SDK: settings, the local Peaka, pages."""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import secrets
from collections.abc import AsyncIterator, Mapping

import attrs

from peaka_async import Connection, PeakaClient
from peaka_async.emulator import Emulator
from peaka_async.oauth2 import ConnectFlow, ConnectRequest, FlowStore, MemoryStore, OwnRedirect, PendingFlow, RedisStore

CONNECTORS = {"hubspot": "HubSpot", "google_analytics": "Google Analytics"}


@attrs.frozen
class Settings:
    """The address of the service, and its secrets."""

    port: int
    redis_url: str | None
    secret: str = attrs.field(repr=False)

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @classmethod
    def read(cls, title: str, *, port: int) -> Settings:
        """Read the settings from the command line and the environment."""
        parser = argparse.ArgumentParser(description=title)
        parser.add_argument("--port", type=int, default=port, help="the port to listen on (default: %(default)s)")
        parser.add_argument("--redis", metavar="URL", help="keep pending flows in this Redis")
        given = parser.parse_args()
        return cls(given.port, given.redis, os.environ.get("SESSION_SECRET") or secrets.token_urlsafe())


class Service:
    """A product whose customers connect their data. It keeps their connections in memory."""

    def __init__(self, settings: Settings, peaka: PeakaClient, project_id: str, store: FlowStore) -> None:
        self.settings = settings
        self.project_id = project_id
        self.flow = ConnectFlow(peaka, store=store, on_connected=self._store)
        self.connections: dict[str, dict[str, Connection]] = {}

    async def _store(self, flow: PendingFlow, connection: Connection) -> None:
        # The flow knows the user who started it. This can be called twice, so the connection is stored by its id.
        self.connections.setdefault(flow.remember["user"], {})[str(connection.id)] = connection

    def connect_request(self, connector: str, user: str) -> ConnectRequest | None:
        """The connect request for a click on the button; None if there is no such connector."""
        if connector not in CONNECTORS:
            return None
        return ConnectRequest(
            project_id=self.project_id,
            connector=connector,
            name=f"{CONNECTORS[connector]} of {user}",
            via=OwnRedirect(
                client_id=os.environ.get("OAUTH_CLIENT_ID", "example-app"),
                client_secret=os.environ.get("OAUTH_CLIENT_SECRET", "example-secret"),
                redirect_url=f"{self.settings.origin}/connect/return",
            ),
            remember={"user": user},
            return_to="/",
        )

    def home(self, user: str | None) -> str:
        """The home page, for the signed-in user."""
        if user is None:
            return page("Sign in", SIGN_IN)
        mine = self.connections.get(user, {}).values()
        rows = "".join(f"<li><strong>{html.escape(each.name or '')}</strong> is connected</li>" for each in mine)
        buttons = "".join(
            f'<form method="post" action="/connect/begin?connector={connector}"><button>Connect {name}</button></form>'
            for connector, name in CONNECTORS.items()
        )
        return page(
            f"Hello {user}",
            f"<ul>{rows or '<li>Nothing is connected yet</li>'}</ul>{buttons}"
            '<form method="post" action="/sign-out"><button class="quiet">Sign out</button></form>',
        )


@contextlib.asynccontextmanager
async def service_of(settings: Settings) -> AsyncIterator[Service]:
    """Make the service. It uses Peaka, or a local Peaka if PEAKA_API_KEY is missing."""
    async with contextlib.AsyncExitStack() as stack:
        environment: Mapping[str, str] = os.environ
        if "PEAKA_API_KEY" not in environment:
            emulator = await stack.enter_async_context(Emulator())
            environment = {
                "PEAKA_API_KEY": emulator.api_key,
                "PEAKA_BASE_URL": emulator.base_url,
                "PEAKA_PROJECT_ID": emulator.project_id,
            }
            print(f"Using a local Peaka at {emulator.base_url}")
        peaka = await stack.enter_async_context(
            PeakaClient(environment["PEAKA_API_KEY"], base_url=environment.get("PEAKA_BASE_URL"))
        )
        store: FlowStore = MemoryStore()
        if settings.redis_url is not None:
            from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - optional

            redis = Redis.from_pool(BlockingConnectionPool.from_url(settings.redis_url))
            stack.push_async_callback(redis.aclose)
            store = RedisStore(redis)
        service = Service(settings, peaka, environment["PEAKA_PROJECT_ID"], store)
        await stack.enter_async_context(service.flow)
        print(f"Open {settings.origin} in a browser. Stop with Ctrl-C.", flush=True)
        yield service


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a page of another site sent the request; all current browsers say so in a header."""
    return headers.get("Sec-Fetch-Site") not in {None, "same-origin", "none"}


SIGN_IN = (
    '<p>Any name will do: this is an example.</p><form method="post" action="/sign-in">'
    '<input name="user" aria-label="Name" placeholder="Name" required autofocus><button>Sign in</button></form>'
)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; background: #f3f4f6; color: #111827; margin: 0; padding: 1rem; }
main { max-width: 26rem; margin: 10vh auto; background: #fff; padding: 2rem; border-radius: 12px; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; } ul { padding-left: 1.2rem; } form { margin: .75rem 0; }
button { font: inherit; padding: .6rem 1.4rem; border-radius: 8px; border: 0; background: #1d4ed8; color: #fff; }
button.quiet { background: none; color: #1d4ed8; padding-left: 0; }
input { font: inherit; padding: .55rem; margin-right: .5rem; border: 1px solid #9ca3af; border-radius: 8px; }"""


def page(title: str, body: str) -> str:
    """Make a page of the example."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>"
    )
