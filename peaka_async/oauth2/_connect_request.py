"""What is to be connected, and by which variant of the flow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import final
from urllib.parse import urlsplit

import attrs

from peaka_async.errors import ConfigurationError
from peaka_async.models.connections import ConnectionRequest, OAuth2Credential

CALLBACK_PARAMETER = "peaka_flow"
"""The query parameter of the connectionCallback by which a return is found and shown to be no forgery."""

# What a browser takes for a path of this origin: no second slash, backslash or control character that it reads as one.
# It is sent as it is, so what a URL has to percent-encode must be encoded already.
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")

_NOTHING: Mapping[str, str] = MappingProxyType({})


def _check_url(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.fragment
    except (ValueError, TypeError, AttributeError):
        fits = False
    if not fits or not value.isascii() or not value.isprintable() or " " in value:
        msg = f"{attribute.name} must be an absolute http or https URL without a fragment."
        raise ConfigurationError(msg)


def _check_text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not value:
        msg = f"{attribute.name} must be a str that is not empty."
        raise ConfigurationError(msg)


def _check_path(_: object, __: object, value: str | None) -> None:
    if value is not None and not (isinstance(value, str) and is_local_path(value)):
        msg = "return_to must be a path of the same origin, percent-encoded, such as /settings?tab=data."
        raise ConfigurationError(msg)


def is_local_path(value: str) -> bool:
    """Whether a browser that is sent there stays on the same origin: for a `next` that came from outside."""
    return _LOCAL_PATH.fullmatch(value) is not None


@final
@attrs.frozen
class PeakaApp:
    """Peaka's own OAuth2 app: Peaka takes the provider's redirect, and then sends the browser to `callback`.

    Peaka completes the connection before it is known whose browser consented. It is adopted only for the user who began
    the flow; but who can make Peaka answer a flow twice could adopt another's consent. `OwnRedirect` and
    `ForwardedRedirect` check the browser first.
    """

    callback: str = attrs.field(validator=_check_url)


@final
@attrs.frozen
class OwnApp:
    """Your OAuth2 app with Peaka's callback URL: Peaka takes the redirect, and sends the browser to `callback`.

    The browser is checked after Peaka has completed the connection, as with `PeakaApp`.
    """

    client_id: str = attrs.field(repr=False, validator=_check_text)
    client_secret: str = attrs.field(repr=False, validator=_check_text)
    callback: str = attrs.field(validator=_check_url)


@final
@attrs.frozen
class ForwardedRedirect:
    """Your OAuth2 app and redirect URL, which forwards to Peaka; Peaka then sends the browser to `callback`.

    What answers at `redirect_url` is the handler `forward`, or `ConnectFlow.forward`.
    """

    client_id: str = attrs.field(repr=False, validator=_check_text)
    client_secret: str = attrs.field(repr=False, validator=_check_text)
    redirect_url: str = attrs.field(validator=_check_url)
    callback: str = attrs.field(validator=_check_url)


@final
@attrs.frozen
class OwnRedirect:
    """Your OAuth2 app and redirect URL, handled fully: `ConnectFlow.complete` posts what came back to Peaka."""

    client_id: str = attrs.field(repr=False, validator=_check_text)
    client_secret: str = attrs.field(repr=False, validator=_check_text)
    redirect_url: str = attrs.field(validator=_check_url)


Variant = PeakaApp | OwnApp | ForwardedRedirect | OwnRedirect
"""How the consent comes back."""


@final
@attrs.frozen(kw_only=True)
class ConnectRequest:
    """A connection that somebody wants.

    `remember` is what the application wants to know again at the return, such as the tenant; `return_to` is the path
    of the application to go to after it. Both are kept on the server and never travel through the browser.

    Raises:
        ConfigurationError: a field is empty, or `return_to` is no path of the same origin.
    """

    project_id: str = attrs.field(validator=_check_text)
    connector: str = attrs.field(validator=_check_text)
    name: str = attrs.field(validator=_check_text)
    via: Variant
    remember: Mapping[str, str] = attrs.field(default=_NOTHING, repr=False)
    return_to: str | None = attrs.field(default=None, validator=_check_path)


def connection_request(request: ConnectRequest, nonce: str) -> ConnectionRequest:
    """What creates the connection; a callback carries the nonce, which only a browser that Peaka sends back learns."""
    via = request.via
    credential = None
    if not isinstance(via, PeakaApp):
        credential = OAuth2Credential(
            client_id=via.client_id,
            client_secret=via.client_secret,
            redirect_url=None if isinstance(via, OwnApp) else via.redirect_url,
        )
    callback = None
    if not isinstance(via, OwnRedirect):
        mark = "&" if urlsplit(via.callback).query else "?"
        callback = f"{via.callback.rstrip('?&')}{mark}{CALLBACK_PARAMETER}={nonce}"
    return ConnectionRequest(request.name, request.connector, credential, callback)
