"""A web service that accepts returns, and a Celery worker that settles them. The code is in no queue, and posted once.

`nox -s example_celery` runs both, with a redis-server and a local Peaka. In production, the two commands run on
different machines that share a Redis and the environment.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from html import escape

from _local import run

if __name__ == "__main__":
    run(
        "uvicorn worker_celery:app --port {port}",
        "celery -A worker_celery:celery worker --concurrency 1 --loglevel info",
    )
    sys.exit()

from celery import Celery, Task
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from redis.asyncio import Redis

from peaka_async import Connection, OutcomeUnknownError, PeakaClient, PeakaError
from peaka_async.integrations.celery import AsyncTask, close_with_worker
from peaka_async.oauth2 import (
    ConnectFlow,
    ConnectRequest,
    OwnRedirect,
    PendingFlow,
    RedisStore,
    TryAgain,
    protect_access_logs,
)

REDIS_URL = os.environ["REDIS_URL"]
RETURN_URL = f"http://localhost:{os.environ['PORT']}/return"


async def save(flow: PendingFlow, connection: Connection) -> None:
    """Write to your service's database here. This may be called twice, so save by the connection's id."""
    print(f"saved: {connection.id} of tenant {flow.remember['tenant']}", flush=True)


redis = Redis.from_url(REDIS_URL)
store = RedisStore(redis, encryption_keys=[os.environ["ENCRYPTION_KEY"]])
flow = ConnectFlow(PeakaClient(), store=store, on_connected=save)


# ── The worker ──


celery = Celery("worker_celery", broker=REDIS_URL, task_cls=AsyncTask)
celery.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
close_with_worker(flow)


@celery.task(bind=True, max_retries=None, ignore_result=True)
async def settle(self: Task, flow_id: str) -> None:
    settlement = await flow.settle(flow_id)
    if isinstance(settlement, TryAgain):
        raise self.retry(countdown=settlement.seconds)
    print(f"{type(settlement).__name__}: {flow_id}", flush=True)


# ── The web service ──

protect_access_logs()  # otherwise uvicorn would log the return's query with the code

app = FastAPI(on_shutdown=[flow.aclose])
PAGE = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    "<title>{0}</title><h1>{0}</h1>{1}"
)
BUTTON = '<form method="post" action="/connect"><button>Connect</button></form>'


def user_of(request: Request) -> str:
    """The signed-in user, from your service's own sign-in."""
    return request.cookies.get("user", "")


@app.get("/")
async def home(request: Request) -> HTMLResponse:
    answer = HTMLResponse(PAGE.format("Your data", BUTTON))
    if not user_of(request):
        answer.set_cookie("user", secrets.token_urlsafe(), httponly=True, samesite="lax")
    return answer


@app.post("/connect")
async def connect(request: Request) -> RedirectResponse:
    own_app = OwnRedirect("client-id", "client-secret", RETURN_URL)
    wanted = ConnectRequest(
        project_id=os.environ["PEAKA_PROJECT_ID"],
        connector="hubspot",
        name="CRM",
        via=own_app,
        remember={"tenant": "acme"},
    )
    pending = await flow.start(wanted, user_ref=user_of(request))
    return RedirectResponse(str(pending.consent_url), 303)


@app.get("/return")
async def come_back(request: Request) -> Response:
    try:
        pending = await flow.accept(request.scope["query_string"], user_ref=user_of(request))
    except PeakaError as error:
        return HTMLResponse(PAGE.format("Not connected", escape(str(error))), 400)
    await asyncio.to_thread(settle.delay, pending.id)  # only the flow's id, not the code
    return RedirectResponse(f"/flows/{pending.id}", 303)


@app.get("/flows/{flow_id}")
async def show(flow_id: str, request: Request) -> HTMLResponse:
    try:
        connection = await flow.result(flow_id, user_ref=user_of(request))
    except OutcomeUnknownError:
        return HTMLResponse(PAGE.format("Connecting", '<meta http-equiv="refresh" content="1">'))
    except PeakaError as error:
        return HTMLResponse(PAGE.format("Not connected", escape(str(error))), 400)
    return HTMLResponse(PAGE.format("Connected", f'{escape(str(connection.name))} <a href="/">Back</a>'))
