"""Conversion between attrs classes and JSON, with the API's names. Only this folder uses cattrs."""

from peaka_async._codec.converter import decode, encode, from_data, to_data
from peaka_async._codec.hooks import MILLIS
from peaka_async._codec.mismatch import Mismatch
from peaka_async._codec.objects import BULKY, is_confidential
from peaka_async._codec.schema import json_schema

__all__ = [
    "BULKY",
    "MILLIS",
    "Mismatch",
    "decode",
    "encode",
    "from_data",
    "is_confidential",
    "json_schema",
    "to_data",
]
