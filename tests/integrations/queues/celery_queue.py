"""Celery: with `acks_late`, the message is delivered again if its worker dies."""

from __future__ import annotations

import sys

from celery import Celery
from job import BROKER, RESULTS, AgainError, make_flow, settle_or_raise

from peaka_async.integrations.celery import AsyncTask, close_with_worker

app = Celery("celery_queue", broker=BROKER, backend=RESULTS, task_cls=AsyncTask)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 2} if BROKER.startswith("redis") else {},
)
flow = make_flow()
close_with_worker(flow)


@app.task(bind=True, max_retries=None)
async def settle_flow(self, flow_id: str) -> str:
    try:
        return await settle_or_raise(flow_id, flow)
    except AgainError as again:
        raise self.retry(countdown=again.seconds, exc=again) from None


if __name__ == "__main__":
    app.send_task("celery_queue.settle_flow", [sys.argv[1]])
