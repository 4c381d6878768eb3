"""FastAPI passes one client to its path operations."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from peaka_async import ConfigurationError, PeakaClient
from peaka_async.integrations.fastapi import PeakaDep, lifespan

OPEN = "<PeakaClient http://127.0.0.1:9>"
CLOSED = "<PeakaClient http://127.0.0.1:9 closed>"


@pytest.fixture
def made():
    return []


@pytest.fixture
def make(made):
    def make():
        made.append(PeakaClient("key", base_url="http://127.0.0.1:9"))
        return made[-1]

    return make


@asynccontextmanager
async def served(app):
    """Run the application on a real server, and give a session for its users."""

    @app.get("/")
    async def shown(peaka: PeakaDep) -> str:
        return repr(peaka)

    @app.exception_handler(ConfigurationError)
    async def told(_: Request, error: ConfigurationError) -> PlainTextResponse:
        return PlainTextResponse(str(error), 500)

    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session:
            yield session
        server.should_exit = True
        await task


async def test_a_path_operation_gets_the_client_of_its_application(make, made):
    """The client is created at startup, shared by requests, and closed at shutdown."""
    async with served(FastAPI(lifespan=lifespan(make))) as session:
        shown = [await (await session.get("/")).json() for _ in range(2)]

    assert shown == [OPEN] * 2
    assert [repr(each) for each in made] == [CLOSED]


async def test_it_is_entered_in_a_lifespan_of_the_application(make, made):
    """An application with its own lifespan can enter this one in it."""

    @asynccontextmanager
    async def own(app):
        async with lifespan(make)(app):
            yield

    async with served(FastAPI(lifespan=own)) as session:
        assert await (await session.get("/")).json() == OPEN
    assert [repr(each) for each in made] == [CLOSED]


async def test_an_application_without_it_says_what_to_give():
    """The request fails, and the error says which line is missing."""
    async with served(FastAPI()) as session:
        answer = await session.get("/")
        assert (answer.status, "lifespan" in await answer.text()) == (500, True)
