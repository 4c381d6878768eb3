"""Celery tasks as coroutine functions, and one client for all tasks of a worker process.

```python
from celery import Celery

from peaka_async import PeakaClient
from peaka_async.integrations.celery import AsyncTask, close_with_worker

app = Celery("tasks", broker="redis://", task_cls=AsyncTask)
peaka = PeakaClient()  # created in the parent; each child process has its own connections
close_with_worker(peaka)


@app.task
async def list_connections(project_id: str) -> list[str]:
    return [str(connection.id) for connection in await peaka.connections.list(project_id)]
```

Each worker process runs its coroutines on one event loop, in a thread that starts with the first task. The pools
`prefork`, `threads` and `solo` are supported. gevent and eventlet are not: they replace parts that an event loop needs.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, final

from celery import signals

from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:

    class _Task:  # Celery has no types
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

else:
    from celery import Task as _Task

# Seconds that a cancelled call may take to close its connection.
_FAREWELL_SECONDS = 5.0


class Closeable(Protocol):
    """A `PeakaClient`, a `ConnectFlow`, or another object that is closed on the event loop."""

    async def aclose(self) -> None: ...


@final
class _Runner:
    """The event loop of one process, in a separate thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self.closing: list[Closeable] = []

    def run(self, work: Coroutine[Any, Any, object]) -> object:
        """Wait for the coroutine. If the wait is interrupted, as by a soft time limit, the coroutine is cancelled."""
        try:
            loop = self._started()
        except BaseException:
            work.close()
            raise
        ended, notes = threading.Event(), list[str]()

        async def watched() -> object:
            try:
                return await work
            except asyncio.CancelledError as error:
                notes.extend(getattr(error, "__notes__", ()))
                raise
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(watched(), loop)
        try:
            return future.result()
        except BaseException as interruption:
            if not future.done():
                future.cancel()
                ended.wait(_FAREWELL_SECONDS)
                for note in notes:
                    interruption.add_note(note)
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():  # a forked child starts its own
                _refuse_green_threads()
                self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(target=self._loop.run_forever, name="peaka-async", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Close the objects that were passed to `close_with_worker`, and end the thread."""
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None or self._pid != os.getpid():
            return
        for each in self.closing:
            asyncio.run_coroutine_threadsafe(each.aclose(), loop).result(_FAREWELL_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_FAREWELL_SECONDS)
        loop.close()


_runner = _Runner()


class AsyncTask(_Task):
    """A task that may be a coroutine function, for `Celery(task_cls=…)` or `@app.task(base=…)`.

    A soft time limit cancels the current call. If its request was sent, the `SoftTimeLimitExceeded` has a note that
    says so.

    Raises:
        ConfigurationError: the worker runs under gevent or eventlet.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        return _runner.run(result) if inspect.iscoroutine(result) else result


def close_with_worker(closeable: Closeable) -> None:
    """Close the object on the event loop when the worker process ends. The last object is closed first."""
    _runner.closing.insert(0, closeable)


def _refuse_green_threads() -> None:
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if (gevent is not None and gevent.is_module_patched("threading")) or (
        eventlet is not None and eventlet.is_monkey_patched("thread")
    ):
        msg = "gevent and eventlet replace parts of the event loop. Nothing was sent; use the pool prefork or threads."
        raise ConfigurationError(msg)


def _close(**_: object) -> None:
    _runner.close()


for _signal in (signals.worker_process_shutdown, signals.worker_shutdown):
    _signal.connect(_close, weak=False)
