"""Reading and writing of JSON: strict when read, checked before it is written. It uses orjson if installed."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from types import NoneType
from typing import cast

from peaka_async._codec.mismatch import Mismatch, kind_of

_MAX_DEPTH = 200
_PLAIN = (str, int, NoneType)  # bool is an int


def parse(data: bytes) -> object:
    loads = _load()
    try:
        return loads(data)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(data, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problem = f"the body is not JSON: invalid at character {error.pos}"
    except (ValueError, RecursionError):
        problem = "the body is not JSON"
    raise Mismatch("$", problem)


def _no_constant(name: str) -> object:
    raise ValueError(name)


@functools.cache
def _load() -> Callable[[bytes], object]:
    try:
        import orjson  # noqa: PLC0415 - optional, and loaded at the first use
    except ImportError:
        return functools.partial(json.loads, parse_constant=_no_constant)
    return cast("Callable[[bytes], object]", orjson.loads)


@functools.cache
def dumper() -> Callable[[object], bytes]:
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def slow(tree: object) -> bytes:
        return encoder.encode(tree).encode()

    try:
        import orjson  # noqa: PLC0415 - optional, and loaded at the first use
    except ImportError:
        return slow

    def fast(tree: object) -> bytes:
        try:
            return orjson.dumps(tree)
        except TypeError:
            # orjson does not support integers of more than 64 bits; the standard library does.
            return slow(tree)

    return fast


def check(tree: object, path: str, depth: int) -> None:
    """Refuse values that JSON libraries would refuse or silently change."""
    if isinstance(tree, _PLAIN):
        return
    if isinstance(tree, float):
        if not math.isfinite(tree):
            raise Mismatch(path, "NaN and Infinity have no JSON form")
    elif depth > _MAX_DEPTH:
        raise Mismatch("$", "the value is nested too deeply, or contains itself")
    elif isinstance(tree, dict):
        for key, member in tree.items():
            if not isinstance(key, str):
                raise Mismatch(path, f"a member's name must be a string, not {kind_of(key)}")
            check(member, f"{path}.{key}", depth + 1)
    elif isinstance(tree, list | tuple):
        for index, item in enumerate(tree):
            check(item, f"{path}[{index}]", depth + 1)
    else:
        raise Mismatch(path, f"{type(tree).__name__} has no JSON form")
