"""Compare the CPU time of `import peaka_async` and `import aiohttp`, in new interpreters that take turns.

python benchmarks/imports.py [--rounds N]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys


def cost(code: str) -> float:
    """The CPU time of an interpreter that runs the code, user and system, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    for name in ("aiohttp", "peaka_async"):
        cost(f"import {name}")
    taken = [(cost("pass"), cost("import aiohttp"), cost("import peaka_async")) for _ in range(rounds)]
    bare, theirs, ours = (statistics.median(column) for column in zip(*taken, strict=True))
    ratio = statistics.median((mine - base) / (yours - base) for base, yours, mine in taken)
    print(f"CPU of an import, medians of {rounds} rounds, without the {bare:.0f} ms of the interpreter")
    print(f"  aiohttp      {theirs - bare:6.0f} ms")
    print(f"  peaka_async  {ours - bare:6.0f} ms   {ratio:5.2f} × aiohttp")


if __name__ == "__main__":
    main()
