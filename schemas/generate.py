"""Generates the JSON Schemas from the types that read the real thing; ``make schemas`` calls it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from promotion.messages import PlainResult
from promotion.written import PipelinesWritten

FOLDER = Path(__file__).parent

_TYPES: Mapping[str, type] = {
    "promotion.schema.json": PipelinesWritten,
    "test-result.schema.json": PlainResult,
}


def schemas() -> dict[str, str]:
    """The text of each schema file, by its name."""
    return {name: _text(kind) for name, kind in _TYPES.items()}


def _text(kind: type) -> str:
    schema = msgspec.json.schema(kind)
    named = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_readable(schema)}
    return json.dumps(named, indent=2, ensure_ascii=False) + "\n"


def _readable(schema: Any) -> Any:
    """The schema with the names that the types have inside the code taken out."""
    if isinstance(schema, dict):
        return {
            key.removesuffix("Written"): _readable(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    if isinstance(schema, list):
        return [_readable(item) for item in schema]
    return schema.removesuffix("Written") if isinstance(schema, str) else schema


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
