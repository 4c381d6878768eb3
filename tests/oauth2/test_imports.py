"""What the package loads, and what it shows."""

from __future__ import annotations

import pickle
import subprocess
import sys

import peaka_async.oauth2

OPTIONAL = ["redis", "cryptography", "itsdangerous", "aiohttp.web", "starlette", "peaka_async.oauth2.aiohttp_web"]


def test_importing_loads_nothing_optional():
    """Redis, cryptography, itsdangerous and a web server are loaded by those who use them; aiohttp's own is its own."""
    code = (
        "import sys, aiohttp\n"
        "before = set(sys.modules)\n"
        "import peaka_async.oauth2\n"
        "import peaka_async.oauth2.asgi\n"
        f"print([name for name in {OPTIONAL} if name in sys.modules and name not in before])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert printed.stdout.strip() == "[]"


def test_public_names_are_sorted_and_exist():
    """What the package promises is there."""
    names = peaka_async.oauth2.__all__

    assert [name for name in names if not hasattr(peaka_async.oauth2, name)] == []
    assert names == sorted(set(names))


def test_classes_show_their_public_place():
    """Docs, tracebacks and pickles name the module that people import from."""
    made = [
        getattr(peaka_async.oauth2, name)
        for name in peaka_async.oauth2.__all__
        if name not in {"Settlement", "Variant"}
    ]

    assert {each.__module__ for each in made} == {"peaka_async.oauth2"}
    assert all(pickle.loads(pickle.dumps(each)) is each for each in made)  # noqa: S301 - its own
