"""The worker of the tests. Its environment and the arguments of its tasks control it."""

from __future__ import annotations

import asyncio
import os

from celery import Celery

from peaka_async import ConnectionRequest, PeakaClient
from peaka_async.integrations.celery import AsyncTask, close_with_worker

app = Celery("celery_app", broker=os.environ["BROKER"], backend=os.environ["RESULTS"], task_cls=AsyncTask)
app.conf.update(
    worker_prefetch_multiplier=1, task_track_started=True, worker_cancel_long_running_tasks_on_connection_loss=True
)
peaka = PeakaClient()


class Farewell:
    """Tells the test that the client was closed."""

    async def aclose(self) -> None:
        await peaka.aclose()
        with open(os.environ["FAREWELL"], "a") as file:  # noqa: ASYNC230, PTH123 - one line at the very end
            file.write(f"{os.getpid()} {peaka!r}\n")


close_with_worker(Farewell())


@app.task
async def names(project_id: str) -> list[object]:
    found = await asyncio.gather(*(peaka.connections.list(project_id) for _ in range(3)))
    return [os.getpid(), id(asyncio.get_running_loop()), [each.name for each in found[0]]]


@app.task(soft_time_limit=1)
async def create(project_id: str) -> str:
    made = await peaka.connections.create(project_id, ConnectionRequest("crm", "stripe", {"token": "t"}))
    return str(made.id)


@app.task
def plain(number: int) -> int:
    return number + 1
