"""The published document of the API: its digest, and the whole if it is there."""

from __future__ import annotations

import json

import pytest
from digest import digest, document_path, stored

# The document is not the project's to publish: without it, its digest is what is compared.
collect_ignore = [] if document_path() else ["test_document.py"]


@pytest.fixture(scope="session")
def whole():
    """The document with its texts and examples."""
    return json.loads(document_path().read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def document(request):
    """The structure of the document: of the whole one if it is there, else as the tests keep it."""
    return digest(request.getfixturevalue("whole")) if document_path() else stored()
