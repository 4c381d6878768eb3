"""Connect requests: what to connect for a customer, and which variant of the flow to use."""

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
"""The query parameter that the flow adds to Peaka's callback. It identifies the flow, and shows a forged return."""

# A path that every browser resolves to the same origin: no second slash, backslash or control character.
# It is sent unchanged, so it must already be percent-encoded.
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


def _check_issuer(request: ConnectRequest, _: object, value: str | None) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value:
        msg = "issuer must be the provider's issuer identifier, a str that is not empty."
        raise ConfigurationError(msg)
    if isinstance(request.via, PeakaApp | OwnApp):
        msg = "issuer cannot be checked with PeakaApp and OwnApp: the provider's redirect goes to Peaka."
        raise ConfigurationError(msg)


def is_local_path(value: str) -> bool:
    """Whether a URL is a path on the same origin. Use it to check a `next` parameter that came from outside."""
    return _LOCAL_PATH.fullmatch(value) is not None


@final
@attrs.frozen
class PeakaApp:
    """Peaka's own OAuth2 app: Peaka takes the provider's redirect, and then sends the browser to `callback`.

    Peaka completes the connection before your service can check whose browser gave the consent. The connection is
    accepted only for the user who started the flow. But an attacker who can make Peaka answer a flow twice could get a
    connection with a victim's consent. `OwnRedirect` and `ForwardedRedirect` check the browser first.
    """

    callback: str = attrs.field(validator=_check_url)


@final
@attrs.frozen
class OwnApp:
    """Your OAuth2 app with Peaka's callback URL: Peaka takes the redirect, and sends the browser to `callback`.

    As with `PeakaApp`, the browser is checked only after Peaka has completed the connection.
    """

    client_id: str = attrs.field(repr=False, validator=_check_text)
    client_secret: str = attrs.field(repr=False, validator=_check_text)
    callback: str = attrs.field(validator=_check_url)


@final
@attrs.frozen
class ForwardedRedirect:
    """Your OAuth2 app and redirect URL. The redirect is forwarded to Peaka, which sends the browser to `callback`.

    The handler `forward`, or `ConnectFlow.forward`, serves `redirect_url`.
    """

    client_id: str = attrs.field(repr=False, validator=_check_text)
    client_secret: str = attrs.field(repr=False, validator=_check_text)
    redirect_url: str = attrs.field(validator=_check_url)
    callback: str = attrs.field(validator=_check_url)


@final
@attrs.frozen
class OwnRedirect:
    """Your OAuth2 app and redirect URL. `ConnectFlow.complete` posts the query of the redirect to Peaka."""

    client_id: str = attrs.field(repr=False, validator=_check_text)
    client_secret: str = attrs.field(repr=False, validator=_check_text)
    redirect_url: str = attrs.field(validator=_check_url)


Variant = PeakaApp | OwnApp | ForwardedRedirect | OwnRedirect
"""The OAuth2 app, and the way in which the browser comes back."""


@final
@attrs.frozen(kw_only=True)
class ConnectRequest:
    """The connection that a customer asks for.

    Attributes:
        project_id: the project that gets the connection.
        connector: the connector's type, such as `hubspot`.
        name: the connection's name.
        via: the OAuth2 app, and the way in which the browser comes back.
        issuer: the provider's issuer identifier, if its redirects carry `iss`
            ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)). A redirect without it, or with another one, is
            refused.
        remember: data that the application needs at the return, such as the tenant. It stays on the server.
        return_to: the path in the application to go to at the end. It stays on the server.

    Raises:
        ConfigurationError: a field is empty, `return_to` is not a path of the same origin, or `issuer` is given with a
            variant whose redirect goes to Peaka.
    """

    project_id: str = attrs.field(validator=_check_text)
    connector: str = attrs.field(validator=_check_text)
    name: str = attrs.field(validator=_check_text)
    via: Variant
    issuer: str | None = attrs.field(default=None, validator=_check_issuer)
    remember: Mapping[str, str] = attrs.field(default=_NOTHING, repr=False)
    return_to: str | None = attrs.field(default=None, validator=_check_path)

    @property
    def return_url(self) -> str:
        """The URL that the browser comes back to at the end."""
        return self.via.redirect_url if isinstance(self.via, OwnRedirect) else self.via.callback

    @property
    def forward_url(self) -> str | None:
        """The URL that forwards the provider's redirect; None if it is not forwarded."""
        return self.via.redirect_url if isinstance(self.via, ForwardedRedirect) else None


def connection_request(request: ConnectRequest, nonce: str) -> ConnectionRequest:
    """The request that creates the connection. A callback has the nonce, which only the browser gets, from Peaka."""
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
