"""The JSON Schemas in the repository are those of the types."""

from __future__ import annotations

from schemas.generate import FOLDER, schemas


def test_the_schemas_are_current() -> None:
    """A change of the types that forgets `make schemas` is noticed."""
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert kept == schemas()
