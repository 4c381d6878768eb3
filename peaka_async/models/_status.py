"""States of work, in all spellings that the service uses."""

from __future__ import annotations

import enum
from typing import Self


class Status(enum.StrEnum):
    """A state whose name is accepted in any case, with `-` or `_`, and as CANCELED or CANCELLED."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        name = value.upper().replace("-", "_")
        found = cls.__members__.get(name)
        if found is None and name in {"CANCELED", "CANCELLED"}:
            found = cls.__members__.get("CANCELLED") or cls.__members__.get("CANCELED")
        return found
