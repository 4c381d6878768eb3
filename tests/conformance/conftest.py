"""The published document of the API: its digest, and the whole document if it is there."""

from __future__ import annotations

import json

import pytest
from digest import digest, document_path, stored

# The project may not publish the document. Without it, its digest is compared.
collect_ignore = [] if document_path() else ["test_document.py"]


@pytest.fixture(scope="session")
def whole():
    """The document with its texts and examples."""
    return json.loads(document_path().read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def document(request):
    """The structure of the document: from the whole document if it is there, else the stored digest."""
    return digest(request.getfixturevalue("whole")) if document_path() else stored()
