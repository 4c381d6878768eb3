"""The cookie that identifies the browser that started a flow."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from peaka_async.errors import ConfigurationError
from peaka_async.oauth2._incoming import Incoming
from peaka_async.oauth2._pending import PendingFlow

if TYPE_CHECKING:
    from itsdangerous import Signer

_MIN_SECRET_CHARS = 16

# Servers limit the size of a request's head.
_MAX_COOKIES = 10


@final
class FlowCookies:
    """One cookie for each flow, so that flows in several tabs do not interfere.

    It is random, and bound to the flow, to the flow's target, and to the application's session.

    Raises:
        ConfigurationError: a secret is too short, or the package itsdangerous is missing.
    """

    def __init__(self, secret: str | Sequence[str], *, insecure: bool) -> None:
        self._signer = _signer([secret] if isinstance(secret, str) else list(secret))
        self._prefix = "peaka-connect-" if insecure else "__Host-peaka-connect-"
        self._flags = "HttpOnly; SameSite=Lax" if insecure else "Secure; HttpOnly; SameSite=Lax"

    def given(
        self, incoming: Incoming, flow: PendingFlow, *, session: str | None, seconds: float
    ) -> list[tuple[str, str]]:
        """The headers that set a flow's cookie, and remove the cookies of the oldest flows if there are many."""
        nonce = secrets.token_urlsafe(16)
        value = self._signer.sign(f"{nonce}~{_bound(nonce, flow, session)}").decode()
        known = [name.decode() for name, _ in incoming.cookies() if self._is_ours(name)]
        surplus = max(0, len(known) + 1 - _MAX_COOKIES)
        return [
            *(self._header(name, "", 0) for name in known[:surplus]),
            self._header(self._name(flow), value, seconds),
        ]

    def removed(self, flow: PendingFlow) -> tuple[str, str]:
        """The header that removes a flow's cookie."""
        return self._header(self._name(flow), "", 0)

    def shown(self, incoming: Incoming, flow: PendingFlow, *, session: str | None) -> bool:
        """Whether the browser has the flow's cookie."""
        name = self._name(flow).encode()
        return any(self._is_of(value, flow, session) for found, value in incoming.cookies() if found == name)

    def _is_ours(self, name: bytes) -> bool:
        return re.fullmatch(rb"%s[0-9a-f]{16}" % self._prefix.encode(), name) is not None

    def _is_of(self, value: bytes, flow: PendingFlow, session: str | None) -> bool:
        if not value.isascii() or not self._signer.validate(value):  # constant time
            return False
        nonce, _, bound = self._signer.unsign(value).decode().partition("~")
        return hmac.compare_digest(bound, _bound(nonce, flow, session))

    def _header(self, name: str, value: str, seconds: float) -> tuple[str, str]:
        return "Set-Cookie", f"{name}={value}; Max-Age={round(seconds)}; Path=/; {self._flags}"

    def _name(self, flow: PendingFlow) -> str:
        return f"{self._prefix}{flow.id[:16]}"


def _bound(nonce: str, flow: PendingFlow, session: str | None) -> str:
    """A digest of the flow's target: someone who can write to the store cannot change the target."""
    parts = [flow.id, flow.project_id, flow.connector, flow.connection_id, flow.return_url, flow.forward_url, session]
    return hmac.new(nonce.encode(), repr(parts).encode(), hashlib.sha256).hexdigest()[:40]


def _signer(secrets: list[str]) -> Signer:
    if not secrets or any(len(secret) < _MIN_SECRET_CHARS for secret in secrets):
        msg = f"secret must be random and have {_MIN_SECRET_CHARS} characters or more, as of secrets.token_urlsafe()."
        raise ConfigurationError(msg)
    try:
        from itsdangerous import Signer  # noqa: PLC0415 - optional
    except ImportError as error:
        msg = "The web handlers need the package itsdangerous: install peaka-async[web]."
        raise ConfigurationError(msg) from error
    # The newest secret is the first one here, and the last one for itsdangerous.
    return Signer(secrets[::-1], salt="peaka_async.oauth2", key_derivation="hmac", digest_method=hashlib.sha256)
