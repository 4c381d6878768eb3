"""Every recipe of docs/how-to/task-workers.md runs unchanged, in its own framework."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from peaka_async import ConnectionRequest, PeakaClient

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "task-workers.md"
RECIPES = dict(re.findall(r"### ([^\n]+)\n.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
MAX_LINES = 12


@pytest.fixture(autouse=True)
async def connected(peaka, emulator, project_id, monkeypatch):
    """A project with a connection, and the environment variables for the local Peaka."""
    monkeypatch.setenv("PEAKA_API_KEY", emulator.api_key)
    monkeypatch.setenv("PEAKA_BASE_URL", emulator.base_url)
    await peaka.connections.create(project_id, ConnectionRequest("crm", "stripe", {"token": "t"}))


def recipe(name, made_by=None, **names):
    """Run a recipe with the names that it needs, and return the names that it defines."""
    space = {
        "__name__": __name__,
        "PeakaClient": made_by or PeakaClient,
        "asynccontextmanager": asynccontextmanager,
        **names,
    }
    exec(compile(RECIPES[name], f"{PAGE.name}: {name}", "exec", dont_inherit=True), space)  # noqa: S102 - our own page
    return space


def tracked(clients):
    @functools.wraps(PeakaClient)
    def make(*arguments, **options):
        clients.append(PeakaClient(*arguments, **options))
        return clients[-1]

    return make


def closed(clients):
    return [repr(client).endswith("closed>") for client in clients]


@asynccontextmanager
async def served(app, *, lifespan="on"):
    """Run an ASGI application on a real server, and give a session for its users."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan=lifespan))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session:
            yield session
        server.should_exit = True
        await task


def test_recipes_are_short():
    """A recipe is short, and each has a test here."""
    assert {name: text.count("\n") for name, text in RECIPES.items() if text.count("\n") > MAX_LINES} == {}
    tests = PAGE.parent.parent.parent / "tests" / "integrations"
    named = "".join(path.read_text() for path in tests.glob("test_*.py"))
    assert [name for name in RECIPES if f'"{name}"' not in named] == []


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")  # arq's own
async def test_arq(redis_port, project_id):
    from arq import Worker, create_pool, func  # noqa: PLC0415 - this test's own framework
    from arq.connections import RedisSettings  # noqa: PLC0415

    clients = []
    space = recipe("arq", tracked(clients))
    found = []

    async def names(context, project_id):
        found.extend(each.name for each in await context["peaka"].connections.list(project_id))

    settings = RedisSettings(port=redis_port)
    pool = await create_pool(settings)
    await pool.enqueue_job("names", project_id)
    worker = Worker(
        functions=[func(names, name="names")],
        redis_settings=settings,
        on_startup=space["startup"],
        on_shutdown=space["shutdown"],
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
    )
    await worker.main()
    await worker.close()
    await pool.aclose()

    assert (found, closed(clients)) == (["crm"], [True])


async def test_saq(redis_port, project_id):
    from saq import Queue, Worker  # noqa: PLC0415

    clients = []
    space = recipe("SAQ", tracked(clients))

    async def names(context, *, project_id):
        return [each.name for each in await context["peaka"].connections.list(project_id)]

    queue = Queue.from_url(f"redis://127.0.0.1:{redis_port}")
    await queue.connect()
    worker = Worker(queue, functions=[("names", names)], startup=space["startup"], shutdown=space["shutdown"])
    running = asyncio.create_task(worker.start())
    try:
        assert await queue.apply("names", project_id=project_id, timeout=20) == ["crm"]
    finally:
        await worker.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await queue.disconnect()

    assert closed(clients) == [True]


async def test_dramatiq(project_id):
    import dramatiq  # noqa: PLC0415
    from dramatiq.asyncio import get_event_loop_thread  # noqa: PLC0415
    from dramatiq.brokers.stub import StubBroker  # noqa: PLC0415
    from dramatiq.middleware.asyncio import AsyncIO  # noqa: PLC0415

    broker, clients, found = StubBroker(), [], []
    around = {"Middleware": dramatiq.Middleware, "get_event_loop_thread": get_event_loop_thread, "AsyncIO": AsyncIO}
    peaka = recipe("dramatiq", tracked(clients), broker=broker, **around)["peaka"]

    async def names(project_id):
        found.extend(each.name for each in await peaka.connections.list(project_id))

    actor = dramatiq.actor(names, broker=broker)
    worker = dramatiq.Worker(broker, worker_timeout=100)
    worker.start()
    try:
        actor.send(project_id)
        await asyncio.to_thread(broker.join, "default", fail_fast=True, timeout=20_000)
        await asyncio.to_thread(worker.join)
    finally:
        await asyncio.to_thread(worker.stop)
        broker.close()

    assert (found, closed(clients)) == (["crm"], [True])


async def test_faststream(nats_url, project_id):
    from faststream import Context, FastStream  # noqa: PLC0415
    from faststream.nats import NatsBroker  # noqa: PLC0415

    clients, found, done = [], [], asyncio.Event()
    broker = NatsBroker(nats_url)

    @broker.subscriber("names")
    async def names(project_id: str, peaka=Context()):  # noqa: B008 - FastStream's idiom
        found.extend(each.name for each in await peaka.connections.list(project_id))
        done.set()

    app = recipe("FastStream", tracked(clients), FastStream=FastStream, broker=broker)["app"]
    running = asyncio.create_task(app.run())
    while not clients or not broker.running:
        await asyncio.sleep(0.01)
    async with NatsBroker(nats_url) as sending:
        await sending.publish(project_id, "names")
    async with asyncio.timeout(20):
        await done.wait()
    app.exit()
    await running

    assert (found, closed(clients)) == (["crm"], [True])


async def test_temporal(project_id):
    from temporalio import activity  # noqa: PLC0415
    from temporalio.testing import ActivityEnvironment  # noqa: PLC0415

    clients = []
    space = recipe("Temporal", tracked(clients), activity=activity)
    assert await ActivityEnvironment().run(space["names"], project_id) == ["crm"]
    await clients[0].aclose()


async def test_apscheduler(peaka, project_id):
    from apscheduler.events import EVENT_JOB_EXECUTED  # noqa: PLC0415
    from apscheduler.schedulers.asyncio import AsyncIOScheduler  # noqa: PLC0415

    space = recipe("APScheduler", AsyncIOScheduler=AsyncIOScheduler, peaka=peaka, project_id=project_id)
    scheduler, done = space["scheduler"], asyncio.get_running_loop().create_future()
    scheduler.add_listener(lambda event: done.done() or done.set_result(event.retval), EVENT_JOB_EXECUTED)
    scheduler.start()
    scheduler.get_jobs()[0].modify(next_run_time=datetime.now(scheduler.timezone))
    async with asyncio.timeout(20):
        assert [each.name for each in await done] == ["crm"]
    scheduler.shutdown(wait=False)


async def test_aiohttp(project_id):
    from aiohttp import web  # noqa: PLC0415
    from aiohttp.test_utils import TestClient, TestServer  # noqa: PLC0415

    clients, app = [], web.Application()

    async def names(request):
        found = await request.app[space["PEAKA"]].connections.list(request.match_info["project"])
        return web.json_response([each.name for each in found])

    app.router.add_get("/names/{project}", names)
    space = recipe("aiohttp", tracked(clients), app=app, web=web)
    async with TestClient(TestServer(app)) as browser:
        assert await (await browser.get(f"/names/{project_id}")).json() == ["crm"]
    assert closed(clients) == [True]


async def test_starlette(project_id):
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.responses import JSONResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def names(request):
        found = await request.state.peaka.connections.list(request.path_params["project"])
        return JSONResponse([each.name for each in found])

    clients = []
    space = recipe("Starlette", tracked(clients), Starlette=Starlette, routes=[Route("/names/{project}", names)])
    async with served(space["app"]) as browser:
        assert await (await browser.get(f"/names/{project_id}")).json() == ["crm"]
    assert closed(clients) == [True]


async def test_litestar(project_id):
    from litestar import Litestar, Request, get  # noqa: PLC0415
    from litestar.params import FromPath  # noqa: PLC0415

    async def names(project: FromPath[str], request: Request) -> list[str]:
        return [each.name for each in await request.app.state.peaka.connections.list(project)]

    names.__annotations__ = {"project": FromPath[str], "request": Request, "return": list[str]}
    clients = []
    space = recipe("Litestar", tracked(clients), Litestar=Litestar, route_handlers=[get("/names/{project:str}")(names)])
    async with served(space["app"]) as browser:
        assert await (await browser.get(f"/names/{project_id}")).json() == ["crm"]
    assert closed(clients) == [True]


async def test_quart(project_id):
    from quart import Quart  # noqa: PLC0415

    clients, app = [], Quart("recipes")
    recipe("Quart", tracked(clients), app=app)

    @app.get("/names/<project>")
    async def names(project):
        return [each.name for each in await app.peaka.connections.list(project)]

    async with served(app) as browser:
        assert await (await browser.get(f"/names/{project_id}")).json() == ["crm"]
    assert closed(clients) == [True]


async def test_sanic(project_id):
    from sanic import Sanic, json  # noqa: PLC0415

    clients, app = [], Sanic("recipes")
    recipe("Sanic", tracked(clients), app=app)

    @app.get("/names/<project>")
    async def names(request, project):
        return json([each.name for each in await request.app.ctx.peaka.connections.list(project)])

    async with served(app) as browser:
        assert await (await browser.get(f"/names/{project_id}")).json() == ["crm"]
    assert closed(clients) == [True]


async def test_django(project_id):
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.core.asgi import get_asgi_application  # noqa: PLC0415
    from django.http import JsonResponse  # noqa: PLC0415
    from django.urls import path  # noqa: PLC0415

    clients = []
    space = recipe("Django, over ASGI", tracked(clients), JsonResponse=JsonResponse)
    urls = [path("names/<project_id>", space["names"])]
    if not settings.configured:
        settings.configure(ROOT_URLCONF=tuple(urls), ALLOWED_HOSTS=["*"], DEBUG=False)
        django.setup()
    async with served(get_asgi_application(), lifespan="off") as browser:
        assert await (await browser.get(f"/names/{project_id}")).json() == {"names": ["crm"]}
    await clients[0].aclose()


RUN_ELSEWHERE = ("Celery", "taskiq", "FastAPI")


@pytest.mark.parametrize("name", RUN_ELSEWHERE)
def test_the_integrations_stand_as_their_tests_use_them(name, monkeypatch):
    """The recipes of the three integrations load; test_celery, test_taskiq and test_fastapi run the rest."""
    from fastapi import FastAPI  # noqa: PLC0415
    from taskiq import InMemoryBroker  # noqa: PLC0415

    space = recipe(name, broker=InMemoryBroker(), FastAPI=FastAPI)
    assert "peaka_async.integrations." + name.lower() in RECIPES[name]
    assert space.get("app") or space.get("names")
