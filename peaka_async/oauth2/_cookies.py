"""The cookie by which the browser that began a flow is known again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from peaka_async.errors import ConfigurationError
from peaka_async.oauth2._incoming import Incoming

if TYPE_CHECKING:
    from itsdangerous import Signer

_MIN_SECRET_CHARS = 16

# Servers limit the size of a request's head.
_MAX_COOKIES = 10


@final
class FlowCookies:
    """One cookie for each flow, so that flows in several tabs do not meet.

    Raises:
        ConfigurationError: a secret is too short, or the package itsdangerous is missing.
    """

    def __init__(self, secret: str | Sequence[str], *, insecure: bool) -> None:
        self._signer = _signer([secret] if isinstance(secret, str) else list(secret))
        self._prefix = "peaka-connect-" if insecure else "__Host-peaka-connect-"
        self._flags = "HttpOnly; SameSite=Lax" if insecure else "Secure; HttpOnly; SameSite=Lax"

    def headers(self, incoming: Incoming, flow_id: str, *, seconds: float) -> list[tuple[str, str]]:
        """The headers that set a flow's cookie, and take those of the oldest flows away where there are many."""
        value = self._signer.sign(flow_id).decode()
        known = [name for name, _ in incoming.cookies() if name.startswith(self._prefix)]
        surplus = max(0, len(known) + 1 - _MAX_COOKIES)
        return [
            *(self._header(name, "", 0) for name in known[:surplus]),
            self._header(self._name(flow_id), value, seconds),
        ]

    def shown(self, incoming: Incoming, flow_id: str) -> bool:
        """Whether the browser has the flow's cookie."""
        return any(self._is_of(value, flow_id) for name, value in incoming.cookies() if name == self._name(flow_id))

    def _is_of(self, value: str, flow_id: str) -> bool:
        if not value.isascii() or not self._signer.validate(value):  # constant time
            return False
        return hmac.compare_digest(self._signer.unsign(value), flow_id.encode())

    def _header(self, name: str, value: str, seconds: float) -> tuple[str, str]:
        return "Set-Cookie", f"{name}={value}; Max-Age={round(seconds)}; Path=/; {self._flags}"

    def _name(self, flow_id: str) -> str:
        return f"{self._prefix}{flow_id[:16]}"


def _signer(secrets: list[str]) -> Signer:
    if not secrets or any(len(secret) < _MIN_SECRET_CHARS for secret in secrets):
        msg = f"secret must be random and have {_MIN_SECRET_CHARS} characters or more, as of secrets.token_urlsafe()."
        raise ConfigurationError(msg)
    try:
        from itsdangerous import Signer  # noqa: PLC0415 - optional
    except ImportError as error:
        msg = "The web handlers need the package itsdangerous: install peaka-async[web]."
        raise ConfigurationError(msg) from error
    # The newest secret comes first here, and last there.
    return Signer(secrets[::-1], salt="peaka_async.oauth2", key_derivation="hmac", digest_method=hashlib.sha256)
