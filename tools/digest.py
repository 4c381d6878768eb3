"""Make a digest of the API's published document, without its texts: `python tools/digest.py DOCUMENT`.

The document belongs to Peaka, so the project keeps only its structure: paths, parameters, schemas, types, enums, and
the kinds of keys that may call an operation. The tests compare the digest with the code.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STORED = ROOT / "tests" / "fixtures" / "openapi-digest.json"
BESIDE = ROOT.parent / "shared" / "api" / "peaka-openapi.json"

VERBS = ("get", "post", "put", "patch", "delete")
PLAIN = ("$ref", "type", "format", "enum", "required", "nullable")
BADGES = {"partner": "partner-api-key-badge", "project": "project-api-key-badge"}

Json = Mapping[str, Any]


def document_path() -> Path | None:
    """The path of the whole document: PEAKA_OPENAPI, or a file beside the checkout; None if it is missing.

    Raises:
        FileNotFoundError: PEAKA_OPENAPI is not the path of a file.
    """
    if given := os.environ.get("PEAKA_OPENAPI"):
        if not Path(given).is_file():
            msg = f"PEAKA_OPENAPI is not the path of a file: {given}"
            raise FileNotFoundError(msg)
        return Path(given)
    return BESIDE if BESIDE.is_file() else None


def digest(document: Json) -> dict[str, Any]:
    """The document's structure, in the form of the document; the badges of `x-mint` become `keys`."""
    return {
        "paths": {
            path: {verb: _operation(operations[verb]) for verb in VERBS if verb in operations}
            for path, operations in document["paths"].items()
        },
        "components": {"schemas": {name: _schema(each) for name, each in document["components"]["schemas"].items()}},
    }


def operations(document: Json) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """All operations of a digest: the method in upper case, the path, and the description."""
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield verb.upper(), path, operation


def stored() -> dict[str, Any]:
    """The digest that the tests keep."""
    return json.loads(STORED.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _operation(operation: Json) -> dict[str, Any]:
    badges = operation.get("x-mint", {}).get("content", "")
    found: dict[str, Any] = {
        "operationId": operation["operationId"],
        "tags": operation["tags"],
        "keys": [kind for kind, badge in BADGES.items() if badge in badges],
    }
    if operation.get("deprecated"):
        found["deprecated"] = True
    if parameters := operation.get("parameters"):
        found["parameters"] = [_parameter(each) for each in parameters]
    if body := operation.get("requestBody"):
        found["requestBody"] = {"content": _content(body)}
    found["responses"] = {status: {"content": _content(each)} for status, each in operation["responses"].items()}
    return found


def _parameter(parameter: Json) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "required": parameter.get("required", False),
        "schema": _schema(parameter["schema"]),
    }


def _content(body: Json) -> dict[str, Any]:
    return {
        media_type: {"schema": _schema(each.get("schema", {}))} for media_type, each in body.get("content", {}).items()
    }


def _schema(schema: Json) -> dict[str, Any]:
    kept: dict[str, Any] = {name: schema[name] for name in PLAIN if name in schema}
    if "items" in schema:
        kept["items"] = _schema(schema["items"])
    if "properties" in schema:
        kept["properties"] = {name: _schema(each) for name, each in schema["properties"].items()}
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            kept[several] = [_schema(each) for each in schema[several]]
    more = schema.get("additionalProperties")
    if more is not None:
        kept["additionalProperties"] = _schema(more) if isinstance(more, Mapping) else more
    return kept


def as_text(digested: Json) -> str:
    """The digest as JSON, with one path or schema per line, so that a diff shows what changed."""
    paths = _lines(digested["paths"])
    schemas = _lines(digested["components"]["schemas"])
    return f'{{"paths": {{\n{paths}\n}}, "components": {{"schemas": {{\n{schemas}\n}}}}}}\n'


def _lines(members: Json) -> str:
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in members.items())


def main(path: Path) -> None:
    """Store the digest of this document."""
    document = json.loads(path.read_text(encoding="utf-8"))
    STORED.write_text(as_text(digest(document)), encoding="utf-8")
    print(f"{STORED.relative_to(ROOT)} has the structure of {path}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its argument
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
