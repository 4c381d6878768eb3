"""Redaction: the secrets of a request are found, and removed from its answer."""

from __future__ import annotations

import functools
import html
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import final
from urllib.parse import unquote, urlsplit

import attrs

from peaka_async import _codec

REDACTED = "[redacted]"

# A shorter value is in too many texts by chance.
_MIN_CHARS = 3
# Of a longer value each part of this length is searched for, because servers cut the values that they quote.
_PART_CHARS = 16
# More than the length of `_PART_CHARS` characters with any escapes.
_OVERLAP_CHARS = 1024
# Values are escaped when they are put into other values. More levels than this do not occur.
_MAX_LEVELS = 8

# Names of mapping members whose values are confidential, in lower case and without `-` and `_`.
_CONFIDENTIAL = re.compile("credential|queryparameters|secret|password|passphrase|token|apikey|privatekey|accesskey")

_ESCAPE = re.compile(
    r"\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[\da-fA-F]{4}|\\."  # JSON
    r"|%[0-7][\da-fA-F]|%[cCdD][\da-fA-F]%[89abAB][\da-fA-F]"  # URLs: UTF-8 in one byte to four
    r"|%[eE][\da-fA-F](?:%[89abAB][\da-fA-F]){2}|%[fF][\da-fA-F](?:%[89abAB][\da-fA-F]){3}|\+"
    r"|&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,31});",  # HTML
    re.ASCII | re.DOTALL,
)
_JSON_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@final
class Secrets:
    """The secrets that a call sent."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = [*values]

    @functools.cached_property
    def _by_length(self) -> dict[int, set[str]]:
        """The values, unchanged and with decoded escapes, by the length of the part that is compared."""
        found: dict[int, set[str]] = {}
        for value in self._values:
            for form in _levels(_Decoded(value)):
                if len(form) >= _MIN_CHARS:
                    found.setdefault(min(len(form), _PART_CHARS), set()).add(form)
        return found

    def redact(self, text: str, *, limit: int | None = None) -> str:
        """Remove the secrets from a text, in any form in which it repeats them, and cut it after `limit` characters.

        Escapes of JSON, URLs and HTML, in any mixture, are decoded on both sides before the comparison. The time grows
        linearly with the text and with the secrets.
        """
        whole = text if limit is None else text[: limit + _OVERLAP_CHARS]
        found: list[tuple[int, int]] = []
        if self._by_length:
            decoded = _Decoded(whole)
            for level in _levels(decoded):
                found += [decoded.source(*span) for span in _occurrences(level, self._by_length)]
        return _without(whole[:limit], sorted(found))


def confidential(value: object) -> Iterator[str]:
    """The confidential strings of a request's body.

    These are the fields that models leave out of their repr, and mapping members with confidential names.
    """
    if isinstance(value, Mapping):
        for name, member in value.items():
            is_secret = _CONFIDENTIAL.search(str(name).lower().replace("_", "").replace("-", ""))
            yield from _leaves(member) if is_secret else confidential(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from confidential(member)
    else:
        for field in _fields_of(value):
            member = getattr(value, field.name)
            yield from _leaves(member) if _codec.is_confidential(field) else confidential(member)


def confidential_in_url(url: str) -> Iterator[str]:
    """The confidential parts of a link: everything except its place, because anyone can use a presigned link."""
    parts = urlsplit(url)
    yield parts.query
    yield from _values(parts.query)
    yield from filter(None, (parts.username, parts.password))


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        yield from _values(value)
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _leaves(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _leaves(member)
    else:
        for field in _fields_of(value):
            yield from _leaves(getattr(value, field.name))


def _values(query: str) -> Iterator[str]:
    """The values of a text that looks like a query."""
    for pair in query.split("&") if "=" in query else ():
        yield pair.partition("=")[2]


def _fields_of(value: object) -> tuple[attrs.Attribute[object], ...]:
    kind = type(value)
    return attrs.fields(kind) if attrs.has(kind) else ()


def _without(text: str, found: list[tuple[int, int]]) -> str:
    kept, done = "", 0
    for start, stop in found:
        if start >= len(text):
            break
        if start > done or not kept:
            kept += text[done:start] + REDACTED
        done = max(done, stop)
    return kept + text[done:]


def _occurrences(text: str, by_length: Mapping[int, set[str]]) -> Iterator[tuple[int, int]]:
    """The places of the values in the text, or of parts of long values; adjacent places are merged."""
    for length, values in by_length.items():
        windows = range(len(text) - length + 1)
        if length < _PART_CHARS or not windows:
            there = values
        else:
            # A secret can be larger than the stored part of the answer. Only its parts that are in the answer are kept.
            there = {text[at : at + length] for at in windows}.intersection(
                value[at : at + length] for value in values for at in range(len(value) - length + 1)
            )
        start = stop = 0
        for at in windows if there else ():
            if text[at : at + length] not in there:
                continue
            if at > stop or not stop:
                if stop:
                    yield start, stop
                start = at
            stop = at + length
        if stop:
            yield start, stop


def _levels(decoded: _Decoded) -> Iterator[str]:
    """The text as it is, and after each level of decoding: a secret may stand before what looks like an escape."""
    yield decoded.text
    while decoded.decode():
        yield decoded.text


@final
class _Decoded:
    """A text whose escapes are decoded level by level, and for each part its place in the original text."""

    __slots__ = ("_maps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._maps: list[tuple[list[int], list[tuple[int, int]]]] = []

    def decode(self) -> bool:
        """Decode one level; False if there is nothing to decode."""
        if len(self._maps) == _MAX_LEVELS or _ESCAPE.search(self.text) is None:
            return False
        text, pieces = self.text, []
        starts, sources = [0], [(0, 0)]
        done = length = 0
        for found in _ESCAPE.finditer(text):
            plain = _plain(found[0])
            start, end = found.span()
            pieces += [text[done:start], plain]
            length += start - done
            # A decoded escape has the place of its whole source; the text after it is unchanged.
            starts += [length, length + len(plain)]
            sources += [(start, end), (end, 0)]
            length, done = length + len(plain), end
        self.text = "".join([*pieces, text[done:]])
        if self.text == text:
            return False
        self._maps.append((starts, sources))
        return True

    def source(self, start: int, stop: int) -> tuple[int, int]:
        """The place in the original text of the characters from `start` to `stop`."""
        for starts, sources in reversed(self._maps):
            first, last = bisect_right(starts, start) - 1, bisect_right(starts, stop - 1) - 1
            (begin, is_escape), (place, end) = sources[first], sources[last]
            start = begin if is_escape else begin + start - starts[first]
            stop = end or place + stop - starts[last]
        return start, stop


@functools.lru_cache(maxsize=1024)
def _plain(escape: str) -> str:
    """The text that an escape represents."""
    if escape[0] == "%":
        return unquote(escape, errors="replace")
    if escape[:2] == "&#":
        number = int(escape[3:-1], 16) if escape[2] in "xX" else int(escape[2:-1])
        return chr(number) if number <= sys.maxunicode else escape
    if escape[0] == "&":
        return html.unescape(escape)
    if escape == "+":
        return " "
    if len(escape) > len("\\n"):
        return bytes.fromhex(escape.replace("\\u", "")).decode("utf-16-be", "replace")
    return _JSON_SHORT.get(escape[1], escape[1])
