"""What an answer means: the declared value, or the error that says what went wrong. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import responses
from typing import TypeVar, cast, final
from urllib.parse import quote, unquote, unquote_plus

import attrs

from peaka_async import _codec
from peaka_async._request import Request
from peaka_async._transport.retry import retry_hint
from peaka_async.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)

T = TypeVar("T")

_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: BadRequestError,
    429: RateLimitError,
}

# The 400s by which the live service says that something does not exist.
_MEANS_NOT_FOUND = re.compile(r"\bthere is no \w+( \w+)? with\b|\bcache settings not found\b", re.IGNORECASE)
_NOT_FOUND_CODE = "cn004"

_TITLE = re.compile(r"<title[^>]*>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)
_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-requestid", "x-amz-cf-id", "x-b3-traceid")
_PRIVATE_HEADERS = frozenset({"set-cookie", "set-cookie2", "authorization", "proxy-authorization"})
_CONFIDENTIAL_KEYS = frozenset({"credential", "queryParameters"})

_MAX_MESSAGE_CHARS = 1000
_MAX_ID_CHARS = 200
_MIN_SECRET_CHARS = 3
_REDACTED = "[redacted]"


@final
@attrs.define
class Answer:
    """A complete answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def value_of(request: Request[T], answer: Answer) -> T:
    """The value that a 2xx answer carries.

    Raises:
        DecodeError: the answer is not what the operation declares.
    """
    returns = request.returns
    if returns is bytes:
        return cast("T", answer.body)
    from_text = getattr(returns, "from_text", None)
    if from_text is not None:
        return cast("T", from_text(_text(answer)))
    try:
        return _codec.decode(answer.body, returns)
    except _codec.Mismatch as mismatch:
        path, problem = mismatch.path, mismatch.problem
    if answer.media_type == "text/html":
        problem = "the answer is an HTML page"
    msg = (
        f"HTTP {answer.status}: the call succeeded, but its answer cannot be read: at {path} {problem}. "
        "Do not repeat a call that creates something; the body is on this error."
    )
    raise DecodeError(
        msg,
        operation=request.operation,
        status=answer.status,
        path=path,
        headers=shown_headers(answer),
        body=answer.body,
    )


def error_of(request: Request[T], answer: Answer, api_key: str) -> APIError:
    """The error that an answer of 4xx or 5xx is."""
    secrets = sorted({api_key, *confidential(request.body)}, key=len, reverse=True)
    body = answer.body.decode("utf-8", "replace")
    shown = redact(body, secrets)
    fields = _described(answer, shown)
    headers = shown_headers(answer, secrets)
    hint = retry_hint(headers)
    message = str(fields["message"])[:_MAX_MESSAGE_CHARS]
    if answer.status == HTTPStatus.FORBIDDEN and request.partner_only:
        message += " (this operation wants a Partner key; a Project key is refused)"
    return _error_type(answer.status, fields)(
        message,
        operation=request.operation,
        status=answer.status,
        error=cast("str | None", fields["error"]),
        error_code=cast("int | str | None", fields["error_code"]),
        headers=headers,
        body=answer.body,
        redacted_body=answer.body if shown == body else shown.encode(),
        retry_after=None if hint is None else hint.seconds,
    )


def request_id(headers: Mapping[str, str], error: BaseException | None) -> str | None:
    """The id by which the service's operators find a request in their logs, from the answer's headers or error body."""
    for name in _REQUEST_ID_HEADERS:
        if name in headers:
            return headers[name][:_MAX_ID_CHARS]
    body = _object(error.body.decode("utf-8", "replace")) if isinstance(error, APIError) else {}
    found = body.get("requestId") or body.get("traceId")
    return found[:_MAX_ID_CHARS] if isinstance(found, str) else None


def _error_type(status: int, fields: Mapping[str, object]) -> type[APIError]:
    if status == HTTPStatus.BAD_REQUEST and (
        fields["error_code"] == _NOT_FOUND_CODE or _MEANS_NOT_FOUND.search(str(fields["message"]))
    ):
        return NotFoundError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError
    return _BY_STATUS.get(status, APIError)


def _described(answer: Answer, text: str) -> dict[str, object]:
    """What the service's several error bodies say, in one form."""
    body = _object(text)
    error = body.get("error")
    code = body.get("errorCode", body.get("code"))
    message = body.get("message") or body.get("reason") or _unstructured(answer, text, body)
    return {
        "message": message if isinstance(message, str) else json.dumps(message),
        "error": error if isinstance(error, str) else None,
        "error_code": code if isinstance(code, int | str) and not isinstance(code, bool) else None,
    }


def _unstructured(answer: Answer, text: str, body: Mapping[str, object]) -> str:
    title = _TITLE.search(text) if answer.media_type == "text/html" else None
    if title is not None:
        return f"an HTML page titled {title[1]!r}"
    if answer.media_type == "text/html":
        return "an HTML page"
    if text.strip() and not body:
        return text.strip().strip('"')
    return responses.get(answer.status, "no message")


def _object(text: str) -> Mapping[str, object]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _text(answer: Answer) -> str:
    text = answer.body.decode("utf-8", "replace")
    if answer.media_type == "application/json" or text[:1] == '"':
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, str) else text
    return text


def shown_headers(answer: Answer, secrets: Sequence[str] = ()) -> dict[str, str]:
    """The answer's headers with names in lower case, without cookies and without the secrets."""
    return {
        name.lower(): redact(value, secrets)
        for name, value in answer.headers.items()
        if name.lower() not in _PRIVATE_HEADERS
    }


def redact(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets, in whichever form it may echo them."""
    for secret in secrets:
        if len(secret) < _MIN_SECRET_CHARS:
            continue
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, "")):
            text = text.replace(form, _REDACTED)
    return text


def confidential(body: object) -> Iterator[str]:
    """Every string of a request's body that nobody should read again.

    These are the fields that their models keep out of repr, and in a plain mapping the members named as those are.
    """
    if isinstance(body, Mapping):
        for key, value in body.items():
            yield from _leaves(value) if key in _CONFIDENTIAL_KEYS else confidential(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from confidential(value)
    else:
        for field in _fields_of(body):
            value = getattr(body, field.name)
            yield from confidential(value) if field.repr else _leaves(value)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        for pair in value.split("&") if "=" in value else ():
            _, _, part = pair.partition("=")
            yield from (part, unquote(part), unquote_plus(part))
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _leaves(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _leaves(member)
    else:
        for field in _fields_of(value):
            yield from _leaves(getattr(value, field.name))


def _fields_of(value: object) -> tuple[attrs.Attribute[object], ...]:
    kind = type(value)
    return attrs.fields(kind) if attrs.has(kind) else ()
