"""The connectors of the emulator, with the confidential fields of their credentials."""

from __future__ import annotations

from typing import final

import attrs


@final
@attrs.frozen
class Field:
    """One property of a connector's credential."""

    name: str
    description: str
    type: str = "text"
    required: bool = attrs.field(default=True, kw_only=True)
    confidential: bool = attrs.field(default=False, kw_only=True)

    def to_json(self) -> dict[str, object]:
        return {
            "fieldName": self.name,
            "fieldType": self.type,
            "required": self.required,
            "description": self.description,
        }


@final
@attrs.frozen
class Connector:
    """A type of connection."""

    type: str
    label: str
    category: str
    authorization: str
    fields: tuple[Field, ...]

    @property
    def needs_redirect(self) -> bool:
        return self.authorization == "oauth2"

    def public(self, credential: dict[str, object]) -> dict[str, object]:
        """The parts of a credential that may be shown: the fields that are known not to be confidential."""
        shown = {field.name for field in self.fields if not field.confidential}
        return {name: value for name, value in credential.items() if name in shown}

    @property
    def required(self) -> list[str]:
        return [field.name for field in self.fields if field.required]

    def to_json(self) -> dict[str, object]:
        slug = self.label.lower().replace(" ", "-")
        return {
            "connectionType": self.type,
            "connectionTypeLabel": self.label,
            "name": self.label,
            "authorizationType": self.authorization,
            "credentialSchemaType": f"{self.type.lower()}_credential_schema",
            "redirectRequired": self.needs_redirect,
            "category": self.category,
            "configuration": [field.to_json() for field in self.fields],
            "documentationUrl": f"https://docs.peaka.com/integrations/{slug}",
        }


_OWN_APP = (
    Field("clientId", "Client ID of your own app", required=False),
    Field("clientSecret", "Client secret of your own app", required=False, confidential=True),
    Field("redirectUrl", "Redirect URL of your own app", required=False),
    Field("accessToken", "Access token", required=False, confidential=True),
    Field("refreshToken", "Refresh token", required=False, confidential=True),
)
_DATABASE = (
    Field("url", "URL"),
    Field("port", "Port", "number"),
    Field("user", "User"),
    Field("password", "Password", confidential=True),
    Field("databaseName", "Database Name"),
    Field("useSsl", "Use SSL", "boolean"),
)


def _secret(name: str, description: str) -> Field:
    return Field(name, description, confidential=True)


CATALOGUE: dict[str, Connector] = {
    connector.type: connector
    for connector in (
        Connector("stripe", "Stripe", "Payment", "bearer_token", (_secret("token", "Secret key"),)),
        Connector(
            "airtable",
            "Airtable",
            "Productivity",
            "bearer_token",
            (_secret("personalAccessToken", "Personal access token"),),
        ),
        Connector("hubspot", "HubSpot", "CRM", "oauth2", _OWN_APP),
        Connector(
            "hubspot_access_token",
            "HubSpot (with Access Token)",
            "CRM",
            "bearer_token",
            (_secret("accessToken", "Private app access token"),),
        ),
        Connector("salesforce", "Salesforce", "CRM", "oauth2", _OWN_APP),
        Connector("google_analytics", "Google Analytics", "Marketing", "oauth2", _OWN_APP),
        Connector("google_sheets", "Google Sheets", "Productivity", "oauth2", _OWN_APP),
        Connector("slack", "Slack", "Communication", "oauth2", _OWN_APP),
        Connector(
            "shopify",
            "Shopify",
            "E-Commerce",
            "api_key",
            (Field("shop", "Shop name"), _secret("accessToken", "Admin API access token")),
        ),
        Connector("POSTGRES", "PostgreSQL", "Database", "custom", _DATABASE),
        Connector("google_ads", "Google Ads", "Marketing", "oauth2", _OWN_APP),
        Connector("MONGODB", "MongoDB", "Database", "custom", _DATABASE),
        Connector("MYSQL", "MySQL", "Database", "custom", _DATABASE),
    )
}
