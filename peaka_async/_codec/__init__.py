"""Conversion between attrs classes and JSON, with the API's names. Only this folder uses cattrs."""

from peaka_async._codec.converter import decode, encode
from peaka_async._codec.hooks import MILLIS
from peaka_async._codec.mismatch import Mismatch

__all__ = ["MILLIS", "Mismatch", "decode", "encode"]
