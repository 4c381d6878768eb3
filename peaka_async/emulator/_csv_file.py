"""CSV files for imports: reading of values by the types of their columns, and sample files."""

from __future__ import annotations

import csv
import email.policy
import io
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from email.parser import BytesParser

from peaka_async.emulator._operation import Refusal, wrong_request
from peaka_async.emulator._state import Column

_WHOLE = re.compile(r"[+-]?[0-9]+")
_LARGEST = 2**63
_SAMPLES: Mapping[str, Callable[[int], str]] = {
    "varchar": "text {}".format,
    "bigint": str,
    "boolean": lambda number: "true" if number % 2 else "false",
    "decimal": "{}.50".format,
    "timestamp": "2024-01-0{} 10:30:00".format,
    "time": "10:30:0{}".format,
    "date": "2024-01-0{}".format,
    "uuid": "00000000-0000-4000-8000-00000000000{}".format,
}
SAMPLE_ROWS = 5


def parts_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a form by their names.

    Raises:
        Refusal: the body is not a form.
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    if message.get_content_type() != "multipart/form-data" or not message.is_multipart():
        raise Refusal(415, error="Unsupported Media Type", message="multipart/form-data is expected")
    found = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found[name] = content
    return found


def rows_of(file: bytes) -> list[list[str]]:
    """The lines of a CSV file.

    Raises:
        Refusal: the file is not text in UTF-8.
    """
    try:
        return [row for row in csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise wrong_request(f"The file is not CSV in UTF-8: {error}") from None


def value_of(text: str, column: Column) -> str | None:
    """The stored form of a value; an empty value is NULL.

    Raises:
        Refusal: the value is not valid for the column's type.
    """
    if text == "" and not column.type.startswith("varchar"):
        return None
    try:
        return _READERS[column.type.partition("(")[0]](text)
    except (ValueError, InvalidOperation, KeyError):
        raise wrong_request(f"Value '{text}' of column '{column.name}' is not of type {column.type}") from None


def sample_of(columns: list[Column]) -> str:
    """A header and rows of the columns' types; empty lines if there are no columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if columns:
        writer.writerow([each.name for each in columns])
    for number in range(1, SAMPLE_ROWS + 1):
        writer.writerow([_SAMPLES[each.type.partition("(")[0]](number) for each in columns])
    return out.getvalue()


def _whole(text: str) -> str:
    if not _WHOLE.fullmatch(text) or not -_LARGEST <= int(text) < _LARGEST:
        raise ValueError
    return str(int(text))


def _decimal(text: str) -> str:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError
    return f"{number:f}"


def _boolean(text: str) -> str:
    return {"true": "true", "false": "false"}[text.lower()]


_READERS: Mapping[str, Callable[[str], str]] = {
    "varchar": str,
    "bigint": _whole,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": lambda text: date.fromisoformat(text).isoformat(),
    "time": lambda text: time.fromisoformat(text).isoformat(),
    "timestamp": lambda text: datetime.fromisoformat(text.replace("Z", "")).isoformat(" "),
    "uuid": lambda text: str(uuid.UUID(text)),
}
