"""What the API takes and gives, as attrs classes; no I/O."""

from peaka_async.models.connections import (
    Connection,
    ConnectionConfiguration,
    ConnectionConfigurationItem,
    ConnectionRequest,
    Credential,
    DatabaseCredential,
    FieldType,
    Oauth2Callback,
    OAuth2Credential,
    PersonalAccessTokenCredential,
    TokenCredential,
)

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
