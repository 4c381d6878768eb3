"""Fuzzing: does any input make what reads strangers' bytes fail, or slow?

    python tools/fuzz.py 100000           that many executions
    python tools/fuzz.py 10000000 DIR     and keep the inputs that reach new code in DIR

atheris finds its inputs by the code that they reach. An input that fails is kept as `crash-…`; make a plain test of it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"

sys.path.insert(0, str(ROOT / "tests" / "fuzz"))

with atheris.instrument_imports(include=["peaka_async"]):
    import targets


def main(arguments: list[str]) -> None:
    """Run until the executions are done, or one of them fails."""
    runs = arguments[0] if arguments else "100000"
    found = arguments[1] if len(arguments) > 1 else tempfile.mkdtemp(prefix="peaka-fuzz-")
    options = [f"-atheris_runs={runs}", f"-max_len={targets.MAX_BYTES}", "-len_control=50", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, found, str(CORPUS)], targets.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
