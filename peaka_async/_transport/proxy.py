"""The proxy for a server, from an argument or from the environment."""

from __future__ import annotations

import contextlib
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from peaka_async.errors import ConfigurationError


def checked_proxy(proxy: str, source: str = "proxy") -> URL:
    """Check a proxy's URL; `source` names the argument or variable for errors.

    Raises:
        ConfigurationError: it is not the URL of an HTTP proxy.
    """
    with contextlib.suppress(TypeError, ValueError):
        url = URL(proxy)
        if url.scheme in {"http", "https"} and url.host and url.port:
            return url
    # The URL can hold a password, so it is not shown.
    msg = f"{source} must be the URL of an HTTP proxy, such as http://proxy.example:3128. Nothing was sent."
    raise ConfigurationError(msg)


def environment_proxy(url: URL) -> URL | None:
    """The proxy for a URL from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY and others).

    aiohttp's own option for this also reads .netrc, and would send a password from it instead of the API key.

    Raises:
        ConfigurationError: the variable is not the URL of an HTTP proxy.
    """
    found = getproxies().get(url.scheme)
    if not found or (url.host is not None and proxy_bypass(url.host)):
        return None
    return checked_proxy(found, f"the environment's {url.scheme.upper()}_PROXY")
