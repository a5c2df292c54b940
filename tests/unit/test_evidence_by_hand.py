"""The statement that an image was promoted by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promotion.evidence import kinds, statement
from promotion.evidence.by_hand import PREDICATE_TYPE, Author, PromotionByHand
from promotion.evidence.statement import NotAStatement
from promotion.registry.reference import Digest, Reference
from tests.unit.attesting import AT

DIGEST = Digest(f"sha256:{'a' * 64}")
PROMOTION = PromotionByHand(
    pipeline="shop",
    from_stage="fast-feedback",
    to_stage="extended-test",
    source=Reference.parse("registry.example/shop/fast-feedback/shop:1.4.2"),
    destination=Reference.parse("registry.example/shop/extended-test/shop:1.4.2"),
    author=Author("ann@acme.example", "google-credentials"),
    decided_at=AT,
)


def test_it_says_who_and_that_no_gate_was_asked() -> None:
    """All that it says stands in its predicate; its subject is the image where it went."""
    assert json.loads(kinds.write(PROMOTION, DIGEST)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "registry.example/shop/extended-test/shop", "digest": {"sha256": "a" * 64}}
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "pipeline": "shop",
            "from": {
                "stage": "fast-feedback",
                "image": "registry.example/shop/fast-feedback/shop:1.4.2",
            },
            "to": {
                "stage": "extended-test",
                "image": "registry.example/shop/extended-test/shop:1.4.2",
            },
            "author": {"name": "ann@acme.example", "knownFrom": "google-credentials"},
            "decidedAt": "2026-01-31T12:00:00Z",
            "gated": False,
        },
    }


def test_it_is_read_as_it_was_written() -> None:
    """Nothing is lost."""
    assert kinds.read(statement.read(kinds.write(PROMOTION, DIGEST), DIGEST)) == PROMOTION
    assert kinds.moment(PROMOTION) == AT


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("predicate", "gated"), True, "says that a gate was asked"),
        (("predicate", "author", "knownFrom"), "hearsay", "not well formed"),
        (("predicate", "to", "image"), "shop:1", "does not name its images"),
        (("subject", 0, "name"), "registry.example/other", "its subject is not the image"),
        (("predicate", "decidedAt"), "2026-01-31T12:00:00", "not well formed"),
    ],
)
def test_what_says_something_else_is_none(
    path: tuple[str | int, ...], value: object, reason: str
) -> None:
    """The reason is told."""
    content: Any = json.loads(kinds.write(PROMOTION, DIGEST))
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(NotAStatement, match=reason):
        kinds.read(statement.read(json.dumps(content).encode(), DIGEST))
