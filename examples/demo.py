"""Complete an OAuth2 connection against a local Peaka, with one failure on the way that is retried safely.

Run it with `nox -s demo`, or with `peaka demo` if the extra `cli` is installed.
"""

import asyncio

from peaka_async.cli._demo import main

asyncio.run(main())
