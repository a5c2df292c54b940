"""JSON and plain values into types, each of which is made ready by one thread at a time.

msgspec works a type out when it is first used. Another thread that uses it meanwhile finds half of
it and brings the process down, so here no type is used before it is ready.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")

_lock = threading.Lock()
_decoders: dict[tuple[object, bool], msgspec.json.Decoder[Any]] = {}


def decode(content: bytes | str, kind: type[Kind], strict: bool = True) -> Kind:
    """Read JSON as a type.

    Args:
        content: The JSON.
        kind: What it is to be.
        strict: Whether a number, say, must not be written as a string.

    Raises:
        msgspec.DecodeError: It is no JSON.
        msgspec.ValidationError: It is none of that type.
        RecursionError: It is nested too deeply.
    """
    read: Kind = _decoder(kind, strict).decode(content)
    return read


def convert(value: object, kind: type[Kind]) -> Kind:
    """Read a plain value, such as YAML or JSON that was read already, as a type.

    Raises:
        msgspec.ValidationError: It is none of that type.
    """
    _decoder(kind, strict=True)
    return msgspec.convert(value, kind)


def _decoder(kind: object, strict: bool) -> msgspec.json.Decoder[Any]:
    ready = _decoders.get((kind, strict))
    if ready is None:
        with _lock:
            ready = _decoders.get((kind, strict)) or msgspec.json.Decoder(kind, strict=strict)
            _decoders[kind, strict] = ready
    return ready
