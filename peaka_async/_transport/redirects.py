"""Redirects: they are followed only for repeatable reads, and only within the API's origin and path."""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

from peaka_async._request import Safety
from peaka_async._transport.answer import Answer
from peaka_async._transport.call import Call
from peaka_async.errors import RedirectBlockedError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5

_DEFAULT_PORTS = {"http": 80, "https": 443}
_READS = frozenset({"GET", "HEAD"})


def follow(call: Call, answer: Answer, base: str) -> None:
    """Set the redirect's target as the next target of the call.

    `base` is the API's address with its path prefix. The target of a request to another host is its whole URL.

    Raises:
        RedirectBlockedError: the redirect is not followed.
    """
    request = call.request
    requested = call.target if request.elsewhere else base + call.target
    location = _location(requested, answer)
    if location is None:
        raise _refusal(answer, "its target is missing or invalid", None)
    place = call.secrets().redact(location._replace(query="", fragment="", netloc=_host(location)).geturl())
    problem = _problem(call, location, urlsplit(requested), "" if request.elsewhere else urlsplit(base).path)
    if problem is not None:
        raise _refusal(answer, problem, place)
    call.hops += 1
    path = location._replace(scheme="", netloc="", fragment="").geturl()
    call.target = urljoin(requested, path) if request.elsewhere else path.removeprefix(urlsplit(base).path)


def _problem(call: Call, location: SplitResult, requested: SplitResult, prefix: str) -> str | None:
    """The reason why the redirect is not followed; None if it is followed."""
    request = call.request
    if request.method not in _READS or request.safety is Safety.ONCE or request.body is not None:
        return "only reads that can be repeated follow redirects"
    if _origin(location) != _origin(requested):
        return "it leads to another origin"
    if not location.path.startswith(f"{prefix}/"):
        return "it leads outside of base_url's path"
    if call.hops >= MAX_REDIRECTS:
        return f"there were {MAX_REDIRECTS} before it"
    return None


def _location(requested: str, answer: Answer) -> SplitResult | None:
    """The target of the redirect, with a valid port; None if it is missing or invalid."""
    named = answer.headers.get("Location", "")
    if not named or not named.isascii() or not named.isprintable() or " " in named or "\\" in named:
        return None
    try:
        location = urlsplit(urljoin(requested, named))
        is_address = bool(location.hostname) and location.port != 0
    except ValueError:
        return None
    return location if is_address else None


def _origin(url: SplitResult) -> tuple[str, str | None, int | None, bool]:
    """Scheme, host, port, and whether the URL holds a login, which no request has."""
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme), "@" in url.netloc


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _refusal(answer: Answer, why: str, place: str | None) -> RedirectBlockedError:
    msg = f"HTTP {answer.status} points to {place or 'nowhere'} and was not followed: {why}. Check base_url and zone."
    return RedirectBlockedError(msg, status=answer.status, location=place)
