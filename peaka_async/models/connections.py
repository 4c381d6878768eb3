"""Connections: authenticated links to a customer's data sources."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Self
from urllib.parse import parse_qsl

import attrs

from peaka_async.errors import AuthorizationDenied, ConfigurationError, InvalidRedirect
from peaka_async.models._model import Model

__all__ = [
    "Connection",
    "ConnectionConfiguration",
    "ConnectionConfigurationItem",
    "ConnectionRequest",
    "Credential",
    "DatabaseCredential",
    "FieldType",
    "OAuth2Credential",
    "Oauth2Callback",
    "PersonalAccessTokenCredential",
    "TokenCredential",
]

_MAX_REDIRECT_BYTES = 64 * 1024

# An absolute URL, or the path and query ("/callback?…") that servers provide; anything else is a bare query.
_IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/|/")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class FieldType(enum.StrEnum):
    """The type of a connector's configuration field."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"


@attrs.frozen
class Connection(Model):
    """A connection of a project.

    If the connection still needs an OAuth2 flow, `url` is the consent page; send the customer's browser to it.
    """

    id: str
    name: str | None = None
    type: str | None = None
    url: str | None = None


@attrs.frozen
class TokenCredential(Model):
    """A connector's token, such as Stripe's."""

    token: str = attrs.field(repr=False)


@attrs.frozen
class PersonalAccessTokenCredential(Model):
    """A personal access token, such as Airtable's."""

    personal_access_token: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class OAuth2Credential(Model):
    """The partner's own OAuth2 app, with its tokens if the partner already has them.

    `redirect_url` is the partner's redirect URL, for the flow that ends in `oauth2_callback`.
    """

    client_id: str | None = attrs.field(default=None, repr=False)
    client_secret: str | None = attrs.field(default=None, repr=False)
    access_token: str | None = attrs.field(default=None, repr=False)
    refresh_token: str | None = attrs.field(default=None, repr=False)
    redirect_url: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class DatabaseCredential(Model):
    """The address and login of a database, such as PostgreSQL."""

    url: str | None = attrs.field(default=None, repr=False)
    port: int | None = attrs.field(default=None, repr=False)
    user: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    database_name: str | None = attrs.field(default=None, repr=False)
    use_ssl: bool | None = attrs.field(default=None, repr=False)


Credential = (
    TokenCredential | PersonalAccessTokenCredential | OAuth2Credential | DatabaseCredential | Mapping[str, object]
)
"""The credential of a connector: one of the documented classes, or a mapping that is sent unchanged."""


@attrs.frozen
class ConnectionRequest(Model):
    """A connection to create, or the changes to a connection.

    `connection_callback` is the URL that Peaka sends the browser to after the consent, for flows in which Peaka itself
    handles the provider's redirect.
    """

    name: str | None = None
    type: str | None = None
    credential: Credential | None = attrs.field(default=None, repr=False)
    connection_callback: str | None = None


@attrs.frozen
class ConnectionConfigurationItem(Model):
    """A field of a connector's credential."""

    field_name: str | None = None
    field_type: FieldType | str | None = None
    required: bool | None = None
    description: str | None = None


@attrs.frozen
class ConnectionConfiguration(Model):
    """A connector, with the fields of its credential.

    `redirect_required` is true if a connection needs an OAuth2 flow.
    """

    connection_type: str | None = None
    connection_type_label: str | None = None
    name: str | None = None
    authorization_type: str | None = None
    credential_schema_type: str | None = None
    redirect_required: bool | None = None
    category: str | None = None
    configuration: list[ConnectionConfigurationItem] | None = None
    documentation_url: str | None = None


def _check_query(_: object, __: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not value:
        msg = "Oauth2Callback: query_parameters must be the redirect's raw query, a non-empty str."
        raise ConfigurationError(msg)


@attrs.frozen(repr=False)
class Oauth2Callback(Model):
    """The query string of the provider's redirect. It is posted byte for byte.

    Make it with `from_redirect`, or pass the raw query without its `?` as `query_parameters`.
    """

    query_parameters: str = attrs.field(repr=False, validator=_check_query)

    @classmethod
    def from_redirect(
        cls,
        redirect: str | bytes,
        *,
        forward_errors: bool = False,
        max_bytes: int = _MAX_REDIRECT_BYTES,
    ) -> Self:
        """Make a callback from the provider's redirect.

        Args:
            redirect: the full URL, its path and query, or the raw query with or without `?`. The query is kept byte
                for byte, so pass the framework's raw form: `scope["query_string"]` in ASGI,
                `request.rel_url.raw_query_string` in aiohttp. A fragment is dropped.
            forward_errors: accept a redirect that carries `error=…` too, to report the error to Peaka.
            max_bytes: the largest accepted redirect, in bytes.

        Raises:
            AuthorizationDenied: the redirect carries `error=…`: the customer or the provider refused.
            InvalidRedirect: the query is empty, or the redirect is too large or malformed.
        """
        if len(redirect) > max_bytes:
            raise _invalid(f"it is longer than {max_bytes} bytes")
        text = _decoded(redirect)
        if text is None:
            raise _invalid("it is not UTF-8")
        if len(text.encode()) > max_bytes:
            raise _invalid(f"it is longer than {max_bytes} bytes")
        if _CONTROL.search(text):
            raise _invalid("it holds a control character")
        before, _, _ = text.partition("#")
        if _IS_URL.match(before):
            _, _, query = before.partition("?")
        else:
            query = before.removeprefix("?")
        if not query:
            raise _invalid("it has no query")
        callback = cls(query)
        if not forward_errors:
            callback._raise_denial()
        return callback

    @property
    def code(self) -> str | None:
        """The authorization code, decoded; None if missing."""
        return self._parameter("code")

    @property
    def state(self) -> str | None:
        """The state, decoded; None if missing."""
        return self._parameter("state")

    def _parameter(self, name: str) -> str | None:
        for key, value in parse_qsl(self.query_parameters, keep_blank_values=True):
            if key == name:
                return value
        return None

    def _raise_denial(self) -> None:
        error = self._parameter("error")
        if error is None:
            return
        description = self._parameter("error_description")
        msg = (
            f"The authorization was refused: {error}"
            f"{f' ({description})' if description else ''}. Nothing was sent; start the flow again."
        )
        raise AuthorizationDenied(msg, error=error, description=description, uri=self._parameter("error_uri"))

    def __repr__(self) -> str:
        return f"Oauth2Callback(<{len(self.query_parameters)} characters>)"


def _decoded(redirect: str | bytes) -> str | None:
    """The redirect as text; None if it is not valid UTF-8."""
    try:
        return redirect.encode().decode() if isinstance(redirect, str) else bytes(redirect).decode()
    except UnicodeError:
        # The original error holds the whole redirect, so it is not passed on.
        return None


def _invalid(problem: str) -> InvalidRedirect:
    return InvalidRedirect(f"The redirect cannot complete a connection: {problem}. Nothing was sent.")
