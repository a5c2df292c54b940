"""The form of a person's request: what each action needs, may have, and does not take."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from promotion import decision
from promotion.decision import Decision
from promotion.errors import BadMessage

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
IMAGE = {"image": "registry.example/shop/fast-feedback/shop:1.0"}
WHY = {"reason": "looked at it"}


def parsed(**content: object) -> Decision:
    """A decision of that content."""
    return decision.parse(json.dumps(content).encode())


@pytest.mark.parametrize(
    "content",
    [
        {"action": "approve", **IMAGE, **WHY},
        {"action": "approve", **IMAGE, **WHY, "digest": "sha256:…", "expires_in": "2d"},
        {"action": "override", **IMAGE, **WHY, "gates": ["soak", "alerts"], "expires_in": "4h"},
        {"action": "hold", **IMAGE, **WHY},
        {"action": "hold", "pipeline": "shop", **WHY, "expires_at": "2026-02-01T00:00:00Z"},
        {"action": "hold", "pipeline": "shop", "stage": "prod", **WHY},
        {"action": "release", "pipeline": "shop", "stage": "prod", **WHY},
        {"action": "release", **IMAGE, **WHY},
        {"action": "revoke", **IMAGE, **WHY},
        {"action": "promote", **IMAGE},
        {"action": "promote", **IMAGE, **WHY, "to_stage": "prod"},
    ],
)
def test_what_can_be_decided(content: dict[str, object]) -> None:
    """Each of the six actions, with what it may have."""
    read = parsed(**content)
    assert read.action == content["action"]
    assert read.reason == content.get("reason", "")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"action": "approve", **IMAGE}, "approve needs reason"),
        ({"action": "approve", **IMAGE, "reason": " "}, "approve needs reason"),
        ({"action": "approve", **IMAGE, "reason": "x" * 1001}, "length <= 1000.*reason"),
        ({"action": "approve", **WHY}, "approve needs image"),
        ({"action": "approve", "pipeline": "shop", **WHY}, "approve needs image"),
        ({"action": "approve", **IMAGE, **WHY, "gates": ["soak"]}, "does not take gates"),
        ({"action": "approve", **IMAGE, **WHY, "to_stage": "prod"}, "does not take to_stage"),
        ({"action": "approve", **IMAGE, **WHY, "until": "x"}, "unknown field `until`"),
        ({"action": "override", **IMAGE, **WHY}, "override needs gates"),
        ({"action": "override", **IMAGE, **WHY, "gates": []}, "override needs gates"),
        ({"action": "override", **IMAGE, **WHY, "gates": ["digest"]}, "'digest'.*gates"),
        ({"action": "override", **IMAGE, **WHY, "gates": "soak"}, "array.*gates"),
        ({"action": "hold", **WHY}, "hold needs either an image or a pipeline"),
        ({"action": "hold", **IMAGE, "pipeline": "shop", **WHY}, "either an image or a pipeline"),
        ({"action": "hold", **IMAGE, "stage": "prod", **WHY}, "A stage goes with its pipeline"),
        ({"action": "hold", "stage": "prod", **WHY}, "either an image or a pipeline"),
        ({"action": "hold", "pipeline": "shop", "digest": "x", **WHY}, "goes with an image"),
        ({"action": "release", **IMAGE, **WHY, "expires_in": "4h"}, "does not take expires_in"),
        ({"action": "revoke", **IMAGE, **WHY, "expires_in": "4h"}, "does not take expires_in"),
        ({"action": "revoke", **IMAGE}, "revoke needs reason"),
        ({"action": "promote", **IMAGE, "expires_in": "4h"}, "does not take expires_in"),
        (
            {"action": "hold", **IMAGE, **WHY, "expires_in": "4h", "expires_at": str(NOW)},
            "not both",
        ),
        ({"action": "hold", **IMAGE, **WHY, "expires_at": "2026-01-31T12:00:00"}, "timezone"),
        ({"action": "delete", **IMAGE, **WHY}, "'delete'.*action"),
        ({**IMAGE, **WHY}, "missing required field `action`"),
        ({"action": ["approve"], **IMAGE, **WHY}, "action"),
        ({"action": "approve", "image": "x" * 1025, **WHY}, "length <= 1024.*image"),
    ],
)
def test_what_is_no_decision(content: dict[str, object], complaint: str) -> None:
    """The text names the field."""
    with pytest.raises(BadMessage, match=complaint):
        parsed(**content)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"approve"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object(body: bytes) -> None:
    """Whatever was sent, the text says that it is no decision."""
    with pytest.raises(BadMessage, match="Not a decision"):
        decision.parse(body)


def override(**expiry: object) -> Decision:
    """An override."""
    return parsed(action="override", **IMAGE, **WHY, gates=["soak"], **expiry)


def test_an_override_expires() -> None:
    """After a day if nothing is said, and after seven at most."""
    day = timedelta(days=1)
    assert override().expiry(NOW) == NOW + day
    assert override(expires_in="90s").expiry(NOW) == NOW + timedelta(seconds=90)
    assert override(expires_in="7d").expiry(NOW) == NOW + 7 * day
    assert override(expires_at="2026-02-01T13:00:00+01:00").expiry(NOW) == NOW + day
    for longer in (override(expires_in="169h"), override(expires_at="2026-02-07T12:00:01Z")):
        with pytest.raises(BadMessage, match="7 days at most"):
            longer.expiry(NOW)


def test_what_else_is_decided_holds_for_good_unless_it_expires() -> None:
    """However far away that is."""
    assert parsed(action="approve", **IMAGE, **WHY).expiry(NOW) is None
    assert parsed(action="revoke", **IMAGE, **WHY).expiry(NOW) is None
    hold = parsed(action="hold", **IMAGE, **WHY, expires_in="365d")
    assert hold.expiry(NOW) == NOW + timedelta(days=365)


@pytest.mark.parametrize(
    ("expiry", "complaint"),
    [
        ({"expires_at": "2026-01-31T12:00:00Z"}, "over already"),
        ({"expires_at": "0001-01-01T00:00:00+23:59"}, "cannot expire then: "),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "cannot expire then: "),
        ({"expires_in": "0h"}, "over already"),
        ({"expires_in": "soon"}, "cannot expire then: 'soon' is not a duration"),
        ({"expires_in": "-4h"}, "cannot expire then: '-4h' is not a duration"),
        ({"expires_in": "9999999d"}, "cannot expire then: "),
        ({"expires_in": "9" * 50 + "d"}, "cannot expire then: "),
    ],
)
def test_what_would_be_over_already_is_not_decided(expiry: dict[str, str], complaint: str) -> None:
    """Nor what expires at no time that there is."""
    with pytest.raises(BadMessage, match=complaint):
        parsed(action="hold", **IMAGE, **WHY, **expiry).expiry(NOW)
