"""One client for a FastAPI application: a lifespan that opens and closes it, and a dependency.

```python
from fastapi import FastAPI

from peaka_async import Connection, PeakaClient
from peaka_async.integrations.fastapi import PeakaDep, lifespan

app = FastAPI(lifespan=lifespan(PeakaClient))


@app.get("/connections/{project_id}")
async def connections(project_id: str, peaka: PeakaDep) -> list[Connection]:
    return await peaka.connections.list(project_id)
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection

from peaka_async.client import PeakaClient
from peaka_async.errors import ConfigurationError


def lifespan(make: Callable[[], PeakaClient]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan for `FastAPI(lifespan=…)`, which creates the client at startup and closes it at shutdown.

    If the application has its own lifespan, enter this one in it: `async with lifespan(PeakaClient)(app): …`.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        async with make() as peaka:
            app.state.peaka = peaka
            yield

    return living


def peaka_of(connection: HTTPConnection) -> PeakaClient:
    """The application's client.

    Raises:
        ConfigurationError: the application has no client.
    """
    peaka = getattr(connection.app.state, "peaka", None)
    if not isinstance(peaka, PeakaClient):
        msg = "The application has no client: pass the lifespan of peaka_async.integrations.fastapi to FastAPI."
        raise ConfigurationError(msg)
    return peaka


PeakaDep = Annotated[PeakaClient, Depends(peaka_of)]
"""The type of a path operation's parameter that gets the application's client."""
