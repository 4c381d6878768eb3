"""Compare `oauth2_callback` with the same call by hand with aiohttp: a short form of `suite.py`, to run after a change.

python benchmarks/call.py [--in-flight N ...] [--rounds N] [--loop asyncio|uvloop] [--tls]
"""

from __future__ import annotations

import argparse

from peers import BARE, OURS, PEERS
from suite import LOOPS, static_server, sweep, with_steady_memory

# With two clients there is time for long rounds: short rounds vary by a third on a shared machine.
LEAST_CALLS = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 50, 1000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument("--tls", action="store_true", help="over TLS, for which nginx must be installed")
    arguments = parser.parse_args()
    with_steady_memory()
    peers = {name: PEERS[name] for name in (BARE, OURS)}
    with static_server() as (_, plain, tls):
        base = tls if arguments.tls and tls is not None else plain
        sweep(peers, base, arguments.loop, arguments.rounds, tuple(arguments.in_flight), least=LEAST_CALLS)


if __name__ == "__main__":
    main()
