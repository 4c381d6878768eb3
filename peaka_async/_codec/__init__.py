"""attrs ↔ JSON, by the names that the API uses; the only folder with cattrs."""

from peaka_async._codec.converter import decode, encode
from peaka_async._codec.hooks import MILLIS
from peaka_async._codec.mismatch import Mismatch

__all__ = ["MILLIS", "Mismatch", "decode", "encode"]
