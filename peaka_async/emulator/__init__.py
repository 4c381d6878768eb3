"""A local Peaka for demos and tests: API keys, connections, an OAuth2 provider, and faults by script.

```python
async with Emulator() as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka:
    ...
```

`python -m peaka_async.emulator --port 8930` serves it. It listens on loopback only.
"""

from peaka_async.emulator._connections import StoredConnection
from peaka_async.emulator._faults import Fault, Faults, Moment
from peaka_async.emulator._keys import Project
from peaka_async.emulator._provider import AuthorizationServer, Code, CodeRefused, Grant, Provider
from peaka_async.emulator._server import Emulator, Received

__all__ = [
    "AuthorizationServer",
    "Code",
    "CodeRefused",
    "Emulator",
    "Fault",
    "Faults",
    "Grant",
    "Moment",
    "Project",
    "Provider",
    "Received",
    "StoredConnection",
]
