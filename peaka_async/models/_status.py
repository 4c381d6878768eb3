"""States of work, in all the spellings that the service gives them."""

from __future__ import annotations

import enum
from typing import Self


class Status(enum.StrEnum):
    """A state that is found by its name in any case, with `-` for `_`, and with one `L` or two in CANCELLED."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        name = value.upper().replace("-", "_")
        found = cls.__members__.get(name)
        if found is None and name in {"CANCELED", "CANCELLED"}:
            found = cls.__members__.get("CANCELLED") or cls.__members__.get("CANCELED")
        return found
