"""The return of a browser: the raw query, byte for byte, and the parameters that are read."""

from __future__ import annotations

import hashlib
from typing import Self, final
from urllib.parse import parse_qsl

import attrs

from peaka_async.errors import InvalidRedirect
from peaka_async.models.connections import Oauth2Callback
from peaka_async.oauth2._connect_request import CALLBACK_PARAMETER

_AT_MOST_ONCE = ("code", "state", "error", "iss")
_AT_MOST_ONCE_IN_CALLBACK = (CALLBACK_PARAMETER, "connectionId", "status")

_MAX_PARAMETERS = 200


def flow_id_of(kind: str, handle: str) -> str:
    """The id of a flow for stores, cookies and logs. It is a digest, so that they do not contain the state."""
    return hashlib.sha256(f"{kind}:{handle}".encode()).hexdigest()[:40]


@final
@attrs.frozen(repr=False)
class Return:
    """A return, from the provider or from Peaka's callback."""

    callback: Oauth2Callback
    parameters: tuple[tuple[str, str], ...]
    callback_parameters: tuple[tuple[str, str], ...]
    """The query with every `?` read as `&`: Peaka's guide shows the callback as `?connectionId=…?status=…`."""

    @classmethod
    def read(cls, raw_query: str | bytes) -> Self:
        """Read a redirect's URL or raw query.

        Raises:
            InvalidRedirect: it is empty, too large or malformed, names no flow, or repeats `code`, `state`, `error`,
                `iss` or a parameter of the callback.
        """
        callback = Oauth2Callback.from_redirect(raw_query, forward_errors=True)
        parameters = _parameters(callback.query_parameters)
        split = callback.query_parameters.replace("?", "&")
        returned = cls(
            callback,
            parameters,
            parameters if split == callback.query_parameters else _parameters(split),
        )
        returned._check()
        return returned

    @property
    def raw(self) -> str:
        return self.callback.query_parameters

    @property
    def digest(self) -> str:
        """The digest that identifies a second delivery of the same return."""
        return hashlib.sha256(self.raw.encode()).hexdigest()

    @property
    def issuer(self) -> str | None:
        """The issuer that the redirect names (RFC 9207)."""
        return self.from_provider("iss")

    def flow_ids(self) -> list[str]:
        """The ids of the flows that this return may belong to, the more likely one first."""
        state, nonce = self.from_provider("state"), self.from_peaka(CALLBACK_PARAMETER)
        found = [flow_id_of("callback", nonce)] if nonce else []
        return [*found, flow_id_of("state", state)] if state else found

    def is_callback_of(self, flow_id: str) -> bool:
        """Whether it has the value that only Peaka gives to the browser that consented in this flow."""
        nonce = self.from_peaka(CALLBACK_PARAMETER)
        return nonce is not None and flow_id_of("callback", nonce) == flow_id

    def from_provider(self, name: str) -> str | None:
        """A parameter of the provider's redirect."""
        return next((value for key, value in self.parameters if key == name), None)

    def from_peaka(self, name: str) -> str | None:
        """A parameter of Peaka's callback."""
        return next((value for key, value in self.callback_parameters if key == name), None)

    def _check(self) -> None:
        if not self.flow_ids():
            raise _invalid("it has no state, and no parameter of a callback")
        for names, parameters in (
            (_AT_MOST_ONCE, self.parameters),
            (_AT_MOST_ONCE_IN_CALLBACK if self.from_peaka(CALLBACK_PARAMETER) else (), self.callback_parameters),
        ):
            for name in names:
                if sum(key == name for key, _ in parameters) > 1:
                    raise _invalid(f"it has more than one {name}")

    def __repr__(self) -> str:
        return f"Return(<{len(self.raw)} characters>)"


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS))
    except ValueError:
        # The original error is dropped, because it may show the query.
        pass
    raise _invalid(f"it has more than {_MAX_PARAMETERS} parameters")


def _invalid(problem: str) -> InvalidRedirect:
    msg = f"This return cannot complete a connection: {problem}. Nothing was sent."
    return InvalidRedirect(msg)
