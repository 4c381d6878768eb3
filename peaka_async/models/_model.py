"""The base class of models: conversion to and from JSON data, with the API's names."""

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
    """A request or an answer of the API, or a part of one.

    Models are attrs classes that can be converted to JSON data. pydantic and FastAPI read them (as
    `Annotated[Connection, Body()]`), write them and describe them in OpenAPI. kombu, and so Celery, writes them like
    `to_dict`. msgspec writes attrs classes with their confidential fields and without the API's names, so pass it
    `to_dict()`.
    """

    __slots__ = ()

    def to_dict(self, *, confidential: bool = False) -> dict[str, Any]:
        """Return the fields that are not None as JSON data, with the API's names. `from_dict` makes an equal value.

        Args:
            confidential: whether to include fields that the repr leaves out, such as credentials, keys and links that
                give access. A queue or a log that gets them must be as safe as the keys.
        """
        return _codec.to_data(self, confidential=confidential)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a value from JSON data. Unknown members are ignored, as in answers of the API.

        Raises:
            ConfigurationError: a required member is missing, or a member has the wrong type.
        """
        try:
            return _codec.from_data(data, cls)
        except _codec.Mismatch as mismatch:
            problem = str(mismatch)
        msg = f"the data is not a valid {cls.__name__}: {problem}."
        raise ConfigurationError(msg)

    def __json__(self) -> dict[str, Any]:
        """Return the data that kombu writes."""
        return self.to_dict()

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 - only pydantic calls this

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
        msg = f"the value is not a {cls.__name__}, and not an object with its members"
        raise ValueError(msg)

    def _serialized(self, info: SerializationInfo) -> dict[str, Any]:
        asked = isinstance(info.context, Mapping) and bool(info.context.get("confidential"))
        return self.to_dict(confidential=asked)
