"""The whole life of an image: from its build to prod, with all that may come between, and after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dev import images
from dev.pubsub import PubSub
from dev.services import Service
from dev.stack import signed
from promotion.evidence.act import Kind
from promotion.registry.transport import Transport
from tests.integration.world import RESULTS, SIGNALS, VERSION, World

FRIDAY_NOON = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
PIPELINE = """\
pipelines:
  shop:
    results: {results}
    stages:
      fast-feedback:
        registry: {registry}/shop
        promotes_to: extended-test
        gate: {{suites: [functional, nft]}}
      extended-test:
        registry: {registry}/shop
        promotes_to: prod
        gate:
          suites: [extended]
          soak: 4h
          alerts: none
          approvals: 1
          freeze: [{{from: "fri 16:00", to: "mon 08:00", timezone: Europe/London, reason: weekend}}]
      prod: {{registry: {registry}/shop}}
signals: {signals}
"""


@pytest.fixture
def world(
    emulator: Service,
    registry: Service,
    transport: Transport,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A deployment, on a Friday at noon; the shop's registry is shared, its paths are not."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
    signing = signed(tmp_path).replace("{", "{{").replace("}", "}}")
    text = PIPELINE.replace("{registry}/shop", f"{{registry}}/{name}") + signing
    with PubSub(emulator.host, name) as pubsub:
        yield World(pubsub, registry.host, transport, text, FRIDAY_NOON)


def incident(state: str, started_at: datetime, ended_at: datetime | None = None) -> dict[str, Any]:
    """What Cloud Monitoring says of an incident of the shop in extended-test."""
    return {
        "version": "1.2",
        "incident": {
            "incident_id": "0.abc",
            "state": state,
            "started_at": int(started_at.timestamp()),
            "ended_at": int(ended_at.timestamp()) if ended_at else None,
            "policy_name": "too slow",
            "policy_user_labels": {"pipeline": "shop", "stage": "extended-test", "image": "shop"},
        },
    }


def test_from_the_build_to_prod_and_back(world: World) -> None:
    """Suites, soak, an alert in it, an approval, a weekend, prod; then a late failure."""
    built = images.push_image(world.stage("fast-feedback"), [b"built"], tag=VERSION).digest

    assert world.result("fast-feedback", "functional") == []
    assert world.result("fast-feedback", "nft") == ["promoted extended-test"]
    assert world.digest("extended-test") == built

    deployment = {"image": world.image("extended-test"), "digest": built}
    deployed_at = world.now
    assert world.publish(RESULTS, {**deployment, "deployed_at": deployed_at.isoformat()}) == []
    assert world.result("extended-test", "extended") == []

    world.passes(hours=1)
    opened_at = world.now
    assert world.publish(SIGNALS, incident("open", opened_at)) == []
    world.passes(hours=1)
    assert world.publish(SIGNALS, incident("closed", opened_at, world.now)) == []

    world.passes(hours=2)  # Friday 16:00, in which the soak has stood still for an hour
    assert world.decide(Kind.APPROVE, "extended-test", "ann@example.com") == []
    world.passes(hours=1)  # the soak is over, and the weekend has begun
    assert world.evaluate() == []
    assert world.digest("prod") is None

    world.now = datetime(2026, 2, 2, 7, 59, tzinfo=UTC)
    assert world.evaluate() == []
    world.passes(minutes=1)
    assert world.evaluate() == ["promoted prod"]
    assert world.digest("prod") == built
    assert world.evaluate() == []

    world.passes(hours=1)
    assert world.result("fast-feedback", "functional", "failure") == ["revoked extended-test"]
    assert world.dead_letters() == []


def test_who_may_not_say_so_has_no_effect(world: World) -> None:
    """Decisions sent through results or signals, and alerts sent through results, are put aside."""
    digest = images.push_image(world.stage("fast-feedback"), [b"built"], tag=VERSION).digest
    world.result("fast-feedback", "functional")
    approval = {
        "action": "approve",
        "image": world.image("fast-feedback"),
        "digest": digest,
        "reason": "trust me",
        "author": "mallory@example.com",
    }
    for topic in (RESULTS, SIGNALS):
        assert world.publish(topic, approval) == []
        assert len(world.dead_letters()) == 1
    assert world.publish(RESULTS, incident("open", world.now)) == []
    (reason,) = world.dead_letters()
    assert "Signals count only if they come through" in reason
    result = {"image": world.image("fast-feedback"), "digest": digest, "suite": "nft"}
    assert world.publish(SIGNALS, {**result, "outcome": "success"}) == []
    (reason,) = world.dead_letters()
    assert "count only if they come through" in reason
    assert world.result("fast-feedback", "nft") == ["promoted extended-test"]


def test_a_revocation_holds_for_good(world: World) -> None:
    """What a person has revoked is told of, and goes nowhere, whatever else succeeds."""
    images.push_image(world.stage("fast-feedback"), [b"built"], tag=VERSION)
    world.result("fast-feedback", "functional")
    assert world.decide(Kind.REVOKE, "fast-feedback", "ann@example.com") != []
    assert not any(each.startswith("promoted") for each in world.result("fast-feedback", "nft"))
    assert world.digest("extended-test") is None
