"""Fixtures for your own tests: a local Peaka, and a client that calls it. pytest finds them by itself.

```python
from peaka_async import ConnectionRequest


async def test_a_connection_is_made(peaka_emulator, peaka_client):
    pending = await peaka_client.connections.create(
        peaka_emulator.project_id, ConnectionRequest("crm", "hubspot", connection_callback="https://app.example/done")
    )
    assert pending.url
```

They need pytest-asyncio; without it they are not defined.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

try:
    import pytest_asyncio
except ImportError:
    pytest_asyncio = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from peaka_async import PeakaClient
    from peaka_async.emulator import Emulator

if pytest_asyncio is not None:

    @pytest_asyncio.fixture
    async def peaka_emulator() -> AsyncIterator[Emulator]:
        """A local Peaka with an OAuth2 provider, for one test."""
        from peaka_async.emulator import Emulator  # noqa: PLC0415 - only tests that use it load it

        async with Emulator() as emulator:
            yield emulator

    @pytest_asyncio.fixture
    async def peaka_client(peaka_emulator: Emulator) -> AsyncIterator[PeakaClient]:
        """A client that calls the local Peaka with a Partner key."""
        from peaka_async import PeakaClient  # noqa: PLC0415 - only tests that use it load it

        async with PeakaClient(peaka_emulator.api_key, base_url=peaka_emulator.base_url) as peaka:
            yield peaka
