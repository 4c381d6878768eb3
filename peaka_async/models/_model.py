"""What all models have in common: they are data under the names of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from peaka_async import _codec
from peaka_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema
    from pydantic_core.core_schema import SerializationInfo


class Model:
    """A value that the API takes or gives.

    It is an attrs class, and JSON data on request. pydantic and FastAPI take it (`Annotated[Connection, Body()]`), give
    it and describe it in OpenAPI. kombu, and so Celery, writes it as `to_dict` does. msgspec writes attrs classes by
    itself, with their confidential fields and without the API's names: give it `to_dict()`.
    """

    __slots__ = ()

    def to_dict(self, *, confidential: bool = False) -> dict[str, Any]:
        """The fields that are set as JSON data, under the API's names; `from_dict` makes the same value of it.

        Args:
            confidential: also those that the repr leaves out, such as credentials, keys and links that open
                something. A queue or a log that gets them has to be as safe as the keys.
        """
        return _codec.to_data(self, confidential=confidential)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that JSON data describes; unknown members are ignored, as in answers of the API.

        Raises:
            ConfigurationError: a member that is needed is missing, or has another type.
        """
        try:
            return _codec.from_data(data, cls)
        except _codec.Mismatch as mismatch:
            problem = str(mismatch)
        msg = f"this is no {cls.__name__}: {problem}."
        raise ConfigurationError(msg)

    def __json__(self) -> dict[str, Any]:
        """What kombu writes."""
        return self.to_dict()

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 - who asks for it has it

        return core_schema.no_info_plain_validator_function(
            cls._validated,
            ref=f"{cls.__module__}.{cls.__qualname__}",
            serialization=core_schema.plain_serializer_function_ser_schema(cls._serialized, info_arg=True),
            metadata={"pydantic_js_functions": [lambda *_: _codec.json_schema(cls)]},
        )

    @classmethod
    def _validated(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        msg = f"this is no {cls.__name__}, and no object with its members"
        raise ValueError(msg)

    def _serialized(self, info: SerializationInfo) -> dict[str, Any]:
        asked = isinstance(info.context, Mapping) and bool(info.context.get("confidential"))
        return self.to_dict(confidential=asked)
