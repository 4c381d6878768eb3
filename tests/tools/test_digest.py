"""The digest of the published document."""

from __future__ import annotations

import json

import pytest
from digest import as_text, digest, document_path, operations, stored

TEXT = "what Peaka wrote"
SCHEMA = {
    "type": "object",
    "description": TEXT,
    "required": ["id"],
    "properties": {"id": {"type": "string", "format": "uuid", "example": TEXT, "default": TEXT}, "of": {"enum": ["A"]}},
    "additionalProperties": {"oneOf": [{"$ref": "#/components/schemas/Other", "description": TEXT}]},
}
DOCUMENT = {
    "info": {"title": TEXT},
    "paths": {
        "/things/{id}": {
            "summary": TEXT,
            "put": {
                "operationId": "updateThing",
                "tags": ["Things"],
                "summary": TEXT,
                "description": TEXT,
                "deprecated": True,
                "x-mint": {"content": f"{TEXT} <img src='partner-api-key-badge.png'/>"},
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "example": TEXT}
                ],
                "requestBody": {"description": TEXT, "content": {"application/json": {"schema": SCHEMA}}},
                "responses": {"200": {"description": TEXT, "content": {"application/json": {"example": TEXT}}}},
            },
        }
    },
    "components": {"schemas": {"Thing": SCHEMA, "Other": {"type": "array", "items": {"type": "integer"}}}},
}
KEPT = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string", "format": "uuid"}, "of": {"enum": ["A"]}},
    "additionalProperties": {"oneOf": [{"$ref": "#/components/schemas/Other"}]},
}


def test_a_digest_is_structure_alone():
    """The digest has paths, parameters, schemas, enums and kinds of keys, and no texts."""
    made = digest(DOCUMENT)

    assert made["components"]["schemas"] == {"Thing": KEPT, "Other": {"type": "array", "items": {"type": "integer"}}}
    assert list(operations(made)) == [
        (
            "PUT",
            "/things/{id}",
            {
                "operationId": "updateThing",
                "tags": ["Things"],
                "keys": ["partner"],
                "deprecated": True,
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {"schema": KEPT}}},
                "responses": {"200": {"content": {"application/json": {"schema": {}}}}},
            },
        )
    ]
    assert TEXT not in as_text(made)


def test_what_is_written_can_be_read():
    """Each path and each schema is on one line, and the text can be read back as the digest."""
    text = as_text(digest(DOCUMENT))

    assert json.loads(text) == digest(DOCUMENT)
    assert len(text.splitlines()) == 6


def test_the_stored_digest_has_all_operations():
    """The command stores the digest that the tests compare with the code."""
    assert len({operation["operationId"] for _, _, operation in operations(stored())}) == 137


def test_a_document_that_is_not_there(monkeypatch, tmp_path):
    """A wrong path is an error, and not treated as a missing document."""
    monkeypatch.setenv("PEAKA_OPENAPI", str(tmp_path / "none.json"))

    with pytest.raises(FileNotFoundError, match="PEAKA_OPENAPI"):
        document_path()
