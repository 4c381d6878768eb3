"""One client for all tasks of a taskiq worker, as a dependency.

```python
from typing import Annotated

from peaka_async import PeakaClient
from peaka_async.integrations.taskiq import PeakaDep, use
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker("redis://localhost")
use(broker, PeakaClient)


@broker.task
async def list_connections(project_id: str, peaka: PeakaDep) -> list[str]:
    return [str(connection.id) for connection in await peaka.connections.list(project_id)]
```
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from taskiq import AsyncBroker, Context, TaskiqDepends, TaskiqEvents, TaskiqState

from peaka_async.client import PeakaClient
from peaka_async.errors import ConfigurationError


def use(broker: AsyncBroker, make: Callable[[], PeakaClient]) -> None:
    """Create a client when a worker starts, and close it when the worker shuts down."""

    async def start(state: TaskiqState) -> None:
        state.peaka = make()

    async def stop(state: TaskiqState) -> None:
        await state.peaka.aclose()

    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, start)
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, stop)


def peaka_of(context: Annotated[Context, TaskiqDepends()]) -> PeakaClient:
    """The worker's client.

    Raises:
        ConfigurationError: the broker has no client.
    """
    peaka = getattr(context.state, "peaka", None)
    if not isinstance(peaka, PeakaClient):
        msg = "The broker has no client: call peaka_async.integrations.taskiq.use(broker, PeakaClient) at import."
        raise ConfigurationError(msg)
    return peaka


PeakaDep = Annotated[PeakaClient, TaskiqDepends(peaka_of)]
"""The type of a task's parameter that gets the worker's client."""
