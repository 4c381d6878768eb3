"""Reading of a complete answer: to the declared value, or to an error. No I/O."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import responses
from typing import TypeVar, cast, final

import attrs

from peaka_async import _codec
from peaka_async._request import Request
from peaka_async._transport.redaction import Secrets
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

# Texts of 400s that mean that something does not exist.
_MEANS_NOT_FOUND = re.compile(r"\bthere is no \w+( \w+)? with\b|\bcache settings not found\b", re.IGNORECASE)
_NOT_FOUND_CODE = "cn004"

_TITLE_BEGIN = re.compile(r"<title\b", re.IGNORECASE)
_TITLE_END = re.compile(r"</title", re.IGNORECASE)
_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-requestid", "x-amz-cf-id", "x-b3-traceid")
_PRIVATE_HEADERS = frozenset({"set-cookie", "set-cookie2", "authorization", "proxy-authorization"})

_MAX_MESSAGE_CHARS = 1000
_MAX_NAME_CHARS = 200
_MAX_ID_CHARS = 200
# How much of an error's body is read, and how much is sent to another process.
_MAX_READ_BYTES = 256 * 1024
_MAX_KEPT_CHARS = 16 * 1024

_NO_SECRETS = Secrets()


@final
@attrs.define
class Answer:
    """A complete answer of the server."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def value_of(request: Request[T], answer: Answer, secrets: Callable[[], Secrets]) -> T:
    """The value of a 2xx answer; None if it has no body and the operation does not need one.

    Raises:
        DecodeError: the answer does not fit the operation's type. The error shows no secrets.
    """
    returns = request.returns
    if returns is bytes:
        return cast("T", answer.body)
    if not answer.body.strip() and (request.empty is not None or returns is object):
        return cast("T", request.empty)
    from_text = getattr(returns, "from_text", None)
    if from_text is not None:
        return cast("T", from_text(_text(answer)))
    try:
        return _codec.decode(answer.body, returns)
    except _codec.Mismatch as mismatch:
        sent = secrets()
        path, problem = sent.redact(mismatch.path, limit=_MAX_NAME_CHARS), mismatch.problem
    if answer.media_type == "text/html":
        problem = "the answer is an HTML page"
    msg = (
        f"HTTP {answer.status}: the call succeeded, but its answer cannot be read: at {path} {problem}. "
        "Do not repeat a call that creates something; the error has the body."
    )
    raise DecodeError(
        msg,
        operation=request.operation,
        status=answer.status,
        path=path,
        headers=shown_headers(answer, sent),
        body=answer.body,
    )


def error_of(request: Request[T], answer: Answer, secrets: Secrets) -> APIError:
    """The error for a 4xx or 5xx answer. It shows no secrets."""
    text = answer.body[:_MAX_READ_BYTES].decode("utf-8", "replace")
    fields = _described(answer, text)
    headers = shown_headers(answer, secrets)
    hint = retry_hint(headers)
    message = secrets.redact(fields.message, limit=_MAX_MESSAGE_CHARS)
    if answer.status == HTTPStatus.FORBIDDEN and request.partner_only:
        message += " (this operation needs a Partner key; a Project key is refused)"
    code = fields.error_code
    return _error_type(answer.status, fields)(
        message,
        operation=request.operation,
        status=answer.status,
        error=None if fields.error is None else secrets.redact(fields.error, limit=_MAX_NAME_CHARS),
        error_code=secrets.redact(code, limit=_MAX_NAME_CHARS) if isinstance(code, str) else code,
        headers=headers,
        body=answer.body,
        redacted_body=secrets.redact(text, limit=_MAX_KEPT_CHARS).encode(),
        retry_after=None if hint is None else hint.seconds,
    )


def request_id(headers: Mapping[str, str], error: BaseException | None) -> str | None:
    """The id of the request in the service's logs, from the answer's headers or from its error body."""
    for name in _REQUEST_ID_HEADERS:
        if name in headers:
            return headers[name][:_MAX_ID_CHARS]
    body = _object(error.redacted_body.decode()) if isinstance(error, APIError) else {}
    found = body.get("requestId") or body.get("traceId")
    return found[:_MAX_ID_CHARS] if isinstance(found, str) else None


@attrs.frozen
class _Fields:
    """The content of the service's different error bodies, in one form."""

    message: str
    error: str | None
    error_code: int | str | None


def _error_type(status: int, fields: _Fields) -> type[APIError]:
    if status == HTTPStatus.BAD_REQUEST and (
        fields.error_code == _NOT_FOUND_CODE or _MEANS_NOT_FOUND.search(fields.message[:_MAX_MESSAGE_CHARS])
    ):
        return NotFoundError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError
    return _BY_STATUS.get(status, APIError)


def _described(answer: Answer, text: str) -> _Fields:
    body = _object(text)
    error, code = body.get("error"), body.get("errorCode", body.get("code"))
    message = body.get("message") or body.get("reason") or _unstructured(answer, text, body)
    return _Fields(
        message=_printable(message if isinstance(message, str) else json.dumps(message)),
        error=_printable(error) if isinstance(error, str) else None,
        error_code=code if isinstance(code, int | str) and not isinstance(code, bool) else None,
    )


def _printable(text: str) -> str:
    """The text without lone surrogates, which logs and queues cannot encode."""
    return text.encode("utf-8", "replace").decode()


def _unstructured(answer: Answer, text: str, body: Mapping[str, object]) -> str:
    if answer.media_type == "text/html":
        title = _title(text)
        return f"an HTML page titled {title!r}" if title else "an HTML page"
    if text.strip() and not body:
        return text.strip().strip('"')
    return responses.get(answer.status, "no message")


def _title(page: str) -> str:
    """The title of an HTML page; empty if missing."""
    begin = _TITLE_BEGIN.search(page)
    start = -1 if begin is None else page.find(">", begin.end())
    end = None if start < 0 else _TITLE_END.search(page, start)
    return "" if end is None else html.unescape(page[start + 1 : end.start()]).strip()


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


def shown_headers(answer: Answer, secrets: Secrets = _NO_SECRETS) -> dict[str, str]:
    """The answer's headers without cookies and secrets; names are in lower case."""
    return {
        name.lower(): secrets.redact(value)
        for name, value in answer.headers.items()
        if name.lower() not in _PRIVATE_HEADERS
    }
