"""Print the method, the models and the test of an operation: `python tools/scaffold.py OPERATION_ID [DOCUMENT]`.

The code is made from the document. Add better names, facts that callers need, and differences of the live service by
hand.
"""

from __future__ import annotations

import json
import keyword
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from digest import Json, digest, document_path, operations, stored

from peaka_async._request import Safety, camel

PAGES = "https://docs.peaka.com/api-reference"
JSON = "application/json"
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
SAFETY = {"GET": Safety.SAFE, "PUT": Safety.IDEMPOTENT, "DELETE": Safety.IDEMPOTENT}
# Tags that do not name their group.
GROUPS = {"AgentV2": "agent", "Embedded Peaka Api": "embedded", "Projects (Deprecated)": "deprecated_projects"}
SINGULAR_GROUPS = {"agent", "cache", "embedded", "metadata", "sql"}
VERBS = {"read": "get"}
# Words in the names of models that are not part of the name of the thing that is sent.
NOT_NOUNS = {"Request", "Dto", "V2", "Create", "Update", "Rename"}


class NotDescribedError(Exception):
    """The operation sends or answers data that has to be described by hand."""


def snake(name: str) -> str:
    """`listMaterializedQueries` → `list_materialized_queries`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def plural(noun: str) -> str:
    """`query` → `queries`."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun if noun.endswith("s") and not noun.endswith("us") else f"{noun}{'es' if noun.endswith('us') else 's'}"


def group_of(tag: str) -> str:
    """The name of the group for a tag of the document."""
    last = tag.rpartition(" -- ")[2]
    if last in GROUPS:
        return GROUPS[last]
    group = "_".join(last.lower().split())
    return group if group in SINGULAR_GROUPS else plural(group)


def class_of(group: str) -> str:
    """The name of a group's class."""
    return "".join(word.title() for word in ("caches" if group == "cache" else group).split("_"))


def method_of(operation_id: str, group: str) -> str:
    """The method's name: the operation's name without the group's noun; the other noun of a list is plural.

    The whole noun is removed if it is there. Its last word is removed if the operation has no other noun.
    """
    verb, _, rest = snake(operation_id.partition("_")[0]).partition("_")
    singular = group[:-3] + "y" if group.endswith("ies") else group.removesuffix("s")
    object_ = "_".join(word for word in re.sub(rf"(?:^|_)(?:{group}|{singular})(?=_|$)", "", rest).split("_") if word)
    if object_ in {group.rpartition("_")[2], singular.rpartition("_")[2]}:
        object_ = ""
    if verb == "list" and object_:
        object_ = plural(object_)
    return "_".join(filter(None, (VERBS.get(verb, verb), object_)))


@attrs.frozen
class Operation:
    """One operation of a digest, with the names of the code."""

    verb: str
    route: str
    described: Json
    document: Json

    @property
    def group(self) -> str:
        return group_of(self.described["tags"][0])

    @property
    def method(self) -> str:
        return method_of(self.described["operationId"], self.group)

    @property
    def template(self) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: "{" + snake(found[1]) + "}", self.route)

    @property
    def path(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.template)

    @property
    def query(self) -> dict[str, tuple[str, bool]]:
        """The query parameters, each with its type and whether it is required; required ones come first."""
        found = {
            snake(each["name"]): (type_of(each["schema"], self.document), each["required"])
            for each in self.described.get("parameters", [])
            if each["in"] == "query"
        }
        return dict(sorted(found.items(), key=lambda one: not one[1][1]))

    @property
    def body_schema(self) -> Json | None:
        content = self.described.get("requestBody", {}).get("content", {})
        if content and JSON not in content:
            self._not_described(f"sends {', '.join(content)}")
        return content[JSON]["schema"] if content else None

    @property
    def answer_schema(self) -> Json | None:
        """The schema of the successful answer; None if it has no body."""
        (answer,) = [each for status, each in self.described["responses"].items() if status.startswith("2")]
        content = answer["content"]
        if "text/event-stream" in content:
            self._not_described("answers a stream of events")
        return next(
            (
                {"type": "bytes"} if "/" in kind and kind != JSON and "*" not in kind else each["schema"]
                for kind, each in content.items()
            ),
            None,
        )

    @property
    def body(self) -> tuple[str, str] | None:
        """The name and type of the argument that is sent as JSON."""
        if self.body_schema is None:
            return None
        hint = type_of(self.body_schema, self.document)
        words = [word for word in re.findall("[A-Z][a-z0-9]*", hint) if word not in NOT_NOUNS]
        name = words[-1].lower() if words else "body"
        return (plural(name) if hint.startswith("list[") else name), hint

    @property
    def returns(self) -> str:
        if self.answer_schema is None:
            return "NoneType"
        hint = type_of(self.answer_schema, self.document)
        # For several lists the document gives the type of one item; the service answers an array.
        is_one_item = "$ref" in self.answer_schema and self.method.partition("_")[0] == "list"
        return f"list[{hint}]" if is_one_item else hint

    @property
    def safety(self) -> Safety:
        return SAFETY.get(self.verb, Safety.ONCE)

    @property
    def models(self) -> list[str]:
        """The schemas that the operation uses, directly or through other schemas."""
        found: dict[str, None] = {}
        for schema in (self.body_schema, self.answer_schema):
            _collect(schema, self.document, found)
        return list(found)

    def _not_described(self, what: str) -> None:
        msg = f"{self.described['operationId']} {what}; see how `internal_tables` and `agent` do that."
        raise NotDescribedError(msg)


def found(operation_id: str, document: Json) -> Operation:
    """The operation of a digest.

    Raises:
        LookupError: the document has no such operation.
    """
    for verb, route, described in operations(document):
        if described["operationId"] == operation_id:
            return Operation(verb, route, described, document)
    msg = f"the document has no operation {operation_id}"
    raise LookupError(msg)


def schemas_of(document: Json) -> Json:
    """The schemas of a document, by their names."""
    return document["components"]["schemas"]  # type: ignore[no-any-return]


def type_of(schema: Json, document: Json) -> str:
    """The type of a value, as an annotation."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name if _is_model(schemas_of(document)[name]) else type_of(schemas_of(document)[name], document)
    if "oneOf" in schema:
        return " | ".join(type_of(each, document) for each in schema["oneOf"])
    kind = schema.get("type")
    if kind == "array":
        return f"list[{type_of(schema['items'], document)}]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    if kind == "object":
        return "dict[str, object]"
    return "bytes" if kind == "bytes" else PLAIN.get(kind or "", "object")


def _is_model(schema: Json) -> bool:
    return "properties" in schema


def _collect(schema: Any, document: Json, found: dict[str, None]) -> None:  # noqa: ANN401 - any part of a document
    if isinstance(schema, dict):
        name = schema.get("$ref", "").rpartition("/")[2]
        if name and name not in found and _is_model(schemas_of(document)[name]):
            found[name] = None
            _collect(schemas_of(document)[name], document, found)
        for each in schema.values():
            _collect(each, document, found)
    elif isinstance(schema, list):
        for each in schema:
            _collect(each, document, found)


def method(operation: Operation, summary: str = "") -> str:
    """The method of the group's class."""
    says = summary or operation.described["operationId"]
    lines = [
        *(['@deprecated("Use `….…`.")'] if operation.described.get("deprecated") else []),
        f"async def {operation.method}({', '.join(_parameters(operation))}) -> {_shown_returns(operation)}:",
        f'    """{says}.',
        "",
        f"    [API page]({page(operation, says)})",
        '    """',
        f"    return await self._send(Request({', '.join(_arguments(operation))}))",
    ]
    return "\n".join(lines) + "\n"


def page(operation: Operation, summary: str) -> str:
    """The operation's page in the API's documentation."""
    tag = operation.described["tags"][0].rpartition(" -- ")[2].removesuffix(" (Deprecated)")
    return f"{PAGES}/{_kebab(tag)}/{_kebab(summary)}"


def _kebab(text: str) -> str:
    return "-".join(re.findall("[a-z0-9]+", text.lower()))


def _parameters(operation: Operation) -> Iterator[str]:
    yield "self"
    for name in operation.path:
        yield f"{name}: str"
    if operation.body:
        yield "{}: {}".format(*operation.body)
    if operation.query:
        yield "*"
    for name, (hint, required) in operation.query.items():
        yield f"{name}: {hint}" if required else f"{name}: {hint} | None = None"


def _shown_returns(operation: Operation) -> str:
    """Rename the type `list` in a class that has a method of that name."""
    return "None" if operation.returns == "NoneType" else operation.returns.replace("list[", "List[")


def _arguments(operation: Operation) -> Iterator[str]:
    yield f'"{operation.group}.{operation.method}"'
    yield f'"{operation.verb}"'
    yield f'"{operation.template}"'
    if operation.path:
        yield f"path={_mapping(operation.path)}"
    if operation.query:
        yield f"query={_mapping(list(operation.query))}"
    if operation.body:
        yield f"body={operation.body[0]}"
    yield f"returns={operation.returns}"
    yield f"safety={operation.safety}"
    if operation.described["keys"] == ["partner"]:
        yield "partner_only=True"


def _mapping(names: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": {name}' for name in names) + "}"


def model(name: str, document: Json) -> str:
    """The classes of a schema: its enums, and the model. Required fields come first."""
    schema = schemas_of(document)[name]
    needed = set(schema.get("required", []))
    properties = sorted(schema["properties"].items(), key=lambda one: one[0] not in needed)
    enums, fields = [], []
    for wire_name, each in properties:
        inner = each.get("items", each)
        hint = type_of(each, document)
        if "enum" in inner:
            enum = f"{name}{wire_name[0].upper()}{wire_name[1:]}"
            enums.append(_enum(enum, inner["enum"]))
            hint = hint.replace("str", f"{enum} | str")
        fields.append(_field(wire_name, hint, needed=wire_name in needed))
    decorator = "@attrs.frozen" if needed else "@attrs.frozen(kw_only=True)"
    return "\n\n".join([*enums, "\n".join([decorator, f"class {name}:", f'    """{name}."""', "", *fields])]) + "\n"


def _enum(name: str, values: Sequence[str]) -> str:
    members = [f"    {re.sub(r'[^A-Z0-9]+', '_', value.upper())} = {json.dumps(value)}" for value in values]
    return "\n".join([f"class {name}(enum.StrEnum):", f'    """{name}."""', "", *members, ""])


def _field(wire_name: str, hint: str, *, needed: bool) -> str:
    name = f"{snake(wire_name)}{'_' if keyword.iskeyword(wire_name) else ''}"
    if camel(name) == wire_name:
        return f"    {name}: {hint}" if needed else f"    {name}: {hint} | None = None"
    hint, default = (hint, "") if needed else (f"{hint} | None", "default=None, ")
    return f'    {name}: {hint} = attrs.field({default}metadata={{"json": "{wire_name}"}})'


def row_of_test(operation: Operation) -> str:
    """The row for `tests/endpoints/test_GROUP.py`: the call, and the request that it must make."""
    given = [f'"{name}"' for name in operation.path]
    arguments = ", ".join([*given, *([operation.body[0].upper()] if operation.body else [])])
    target = re.sub(r"\{(\w+)\}", r"\1", operation.template)
    row = [
        f'"{operation.group}.{operation.method}"',
        f"({arguments}{',' if arguments and ',' not in arguments else ''})",
    ]
    row += [f'"{operation.verb}"', f'"{target}"']
    row += [f"body={operation.body[0].upper()}"] if operation.body else []
    row += [f"returns={operation.returns}"] if operation.returns != "NoneType" else []
    row += [
        f"safety={operation.safety}",
        *(["partner_only=True"] if operation.described["keys"] == ["partner"] else []),
    ]
    return f"Call({', '.join(row)}),\n"


def formatted(source: str) -> str:
    """Format code with `ruff format`."""
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "116", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout  # noqa: S603


def summary_of(operation: Operation, whole: Json) -> str:
    """The document's summary of the operation; empty in a digest."""
    return str(whole["paths"][operation.route][operation.verb.lower()].get("summary", "")).rstrip(".")


def scaffold(operation_id: str, path: Path | None) -> str:
    """The method, the models and the test, each with the file that it belongs to."""
    whole = json.loads(path.read_text(encoding="utf-8")) if path else stored()
    document = digest(whole) if path else whole
    operation = found(operation_id, document)
    parts = [
        f"# peaka_async/endpoints/{operation.group}.py, class {class_of(operation.group)}",
        formatted(method(operation, summary_of(operation, whole))),
        f"# peaka_async/models/{operation.group}.py, and the names in peaka_async/models/__init__.py",
        *(formatted(model(name, document)) for name in operation.models),
        f"# tests/endpoints/test_{operation.group}.py",
        row_of_test(operation),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    try:
        print(scaffold(sys.argv[1], Path(sys.argv[2]) if sys.argv[2:] else document_path()))
    except (LookupError, NotDescribedError) as error:
        sys.exit(str(error))
