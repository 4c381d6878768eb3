"""The client's arguments and environment variables. Invalid ones are refused before anything is sent."""

from __future__ import annotations

import os
import re
import ssl as ssl_module
from urllib.parse import urlsplit

import attrs

from peaka_async._request import LOOPBACK
from peaka_async._transport.credential import KeySource, checked_key
from peaka_async._transport.retry import RetryPolicy
from peaka_async.errors import ConfigurationError

ZONES: dict[str, str] = {
    "us": "https://partner.peaka.studio/api/v1",
    "eu": "https://partner.eu.peaka.studio/api/v1",
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_METHOD = re.compile("[A-Z]+")
_METHODS = "GET, HEAD, POST, PUT or DELETE"


@attrs.frozen
class Address:
    """The API's address: `https://host:port` and the path prefix."""

    origin: str
    prefix: str
    host: str
    port: int

    @property
    def base(self) -> str:
        """The address that paths are appended to."""
        return self.origin + self.prefix


def address(zone: object, base_url: object, *, allow_http: bool) -> Address:
    """The API's address from the arguments, else from the environment, else that of the zone `us`."""
    if zone is not None and base_url is not None:
        raise _invalid("zone and base_url cannot be used together: pass one of them")
    named = "base_url"
    if zone is None and base_url is None:
        environment = ((name, os.environ.get(name)) for name in ("PEAKA_BASE_URL", "PARTNER_API_BASE_URL"))
        named, base_url = next(((name, url) for name, url in environment if url), (named, None))
        zone = os.environ.get("PEAKA_ZONE") or "us"
    if base_url is None:
        if not isinstance(zone, str) or zone not in ZONES:
            raise _invalid(f"zone (or PEAKA_ZONE) must be one of {', '.join(ZONES)}")
        base_url = ZONES[zone]
    return _parsed(named, base_url, allow_http=allow_http)


def _parsed(named: str, base_url: object, *, allow_http: bool) -> Address:
    problem = None
    try:
        url = urlsplit(base_url if isinstance(base_url, str) else "")
        port = url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or not port:
        problem = "must be an http:// or https:// URL with a host"
    elif url.query or url.fragment or "@" in url.netloc:
        problem = "must hold no query, fragment or credential"
    elif url.scheme == "http" and url.hostname not in LOOPBACK and not allow_http:
        problem = "is plain http://, which would send the key unencrypted; use https://, or allow_http=True"
    if problem is not None:
        raise _invalid(f"{named} {problem}")
    host = f"[{url.hostname}]" if ":" in str(url.hostname) else str(url.hostname)
    authority = host if port == _DEFAULT_PORTS[url.scheme] else f"{host}:{port}"
    return Address(f"{url.scheme}://{authority}", url.path.rstrip("/"), str(url.hostname), port)


def credential(api_key: KeySource | None) -> KeySource:
    """The key, or the callable that returns one; the key from the environment if it is missing."""
    if api_key is None:
        api_key = os.environ.get("PEAKA_API_KEY")
        if not api_key:
            msg = "The API key is missing: pass api_key to PeakaClient, or set PEAKA_API_KEY."
            raise ConfigurationError(msg)
    return api_key if callable(api_key) else checked_key(api_key)


def project(project_id: object) -> str | None:
    """The project's id; the id from the environment if it is missing; None if both are missing."""
    if project_id is None:
        return os.environ.get("PEAKA_PROJECT_ID") or None
    if isinstance(project_id, str) and project_id.strip():
        return project_id
    raise _invalid("project_id must be a str that is not empty")


def policy(retry: object) -> RetryPolicy:
    """The retry policy, or the default one."""
    if retry is None:
        return RetryPolicy()
    if isinstance(retry, RetryPolicy):
        return retry
    raise _invalid(f"retry must be a RetryPolicy, such as RetryPolicy(attempts=1), not {type(retry).__name__}")


def check_count(name: str, value: object) -> None:
    """Refuse a value that is not a whole number above 0."""
    if type(value) is not int or value < 1:
        raise _invalid(f"{name} must be a whole number, 1 or more")


def check_flag(name: str, value: object) -> None:
    """Refuse a value that is not True or False: a text such as "no" would count as True."""
    if not isinstance(value, bool):
        raise _invalid(f"{name} must be True or False")


def check_tls(ssl: object) -> None:
    """Refuse a value that is not a TLS context."""
    if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
        raise _invalid("ssl must be an ssl.SSLContext")


def check_limiter(limiter: object) -> None:
    """Refuse a value that is not a limiter."""
    if limiter is not None and not all(callable(getattr(limiter, name, None)) for name in ("acquire", "throttled")):
        raise _invalid("limiter must have the async methods acquire(request) and throttled(request, seconds)")


def check_callable(name: str, value: object) -> None:
    """Refuse a value that cannot be called."""
    if value is not None and not callable(value):
        raise _invalid(f"{name} must be a callable")


def checked_method(method: object, path: object) -> str:
    """Return the method in upper case. Refuse a method or path that would turn the request into another one."""
    name = method.upper() if isinstance(method, str) else ""
    if not _METHOD.fullmatch(name):
        problem = f"method must be an HTTP method: {_METHODS}"
    elif not _is_path(path):
        problem = "path must begin with a slash, be percent-encoded and hold no query: use query= for that"
    elif any(segment.lower().replace("%2e", ".") in {".", ".."} for segment in str(path).split("/")):
        problem = "path must not hold a dot segment"
    else:
        return name
    msg = f"request: {problem}. Nothing was sent."
    raise ConfigurationError(msg, operation="request")


def _is_path(path: object) -> bool:
    return (
        isinstance(path, str)
        and path.startswith("/")
        and path.isascii()
        and path.isprintable()
        and not any(character in path for character in "?# {}\\")
    )


def _invalid(problem: str) -> ConfigurationError:
    return ConfigurationError(f"{problem}. Nothing was sent.")
