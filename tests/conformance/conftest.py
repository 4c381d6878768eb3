"""The published document of the API: data that the project does not contain."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[3] / "shared" / "api" / "peaka-openapi.json"


def document_path():
    """Where the document is: PEAKA_OPENAPI, or beside the checkout."""
    return Path(os.environ.get("PEAKA_OPENAPI") or BESIDE)


@pytest.fixture(scope="session")
def document():
    path = document_path()
    if not path.exists():
        if os.environ.get("PEAKA_OPENAPI"):
            pytest.fail(f"PEAKA_OPENAPI names no file: {path}")
        pytest.skip("the published document is not beside the checkout; name it in PEAKA_OPENAPI")
    return json.loads(path.read_text())
