"""A local Peaka for demos and tests: all operations over one state, an OAuth2 provider, and scripted faults.

```python
async with Emulator() as emulator, PeakaClient(emulator.api_key, base_url=emulator.base_url) as peaka:
    ...
```

`python -m peaka_async.emulator --port 8930` serves it. It listens on loopback only.
"""

from peaka_async.emulator._faults import Fault, Faults, Moment
from peaka_async.emulator._operation import Project
from peaka_async.emulator._provider import AuthorizationServer, Code, CodeRefused, Grant, Provider
from peaka_async.emulator._seed import seed
from peaka_async.emulator._server import Emulator, Received
from peaka_async.emulator._state import State, StoredConnection
from peaka_async.emulator._world import Oddity, Pace

__all__ = [
    "AuthorizationServer",
    "Code",
    "CodeRefused",
    "Emulator",
    "Fault",
    "Faults",
    "Grant",
    "Moment",
    "Oddity",
    "Pace",
    "Project",
    "Provider",
    "Received",
    "State",
    "StoredConnection",
    "seed",
]
