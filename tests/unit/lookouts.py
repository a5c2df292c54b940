"""The part that takes signals, for tests: over a shop, with an incident to give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from dev.stack import three_stages
from promotion import configuration
from promotion.artifact_registry import artifact_registry
from promotion.inventory import RegistryInventory
from promotion.lookout import Lookout
from promotion.messages import Deployed
from promotion.registry.reference import Digest, Reference
from promotion.signals import Incident
from tests.topics import RecordedTopic
from tests.unit.promoting import NoNetwork, evidence_store, promoter
from tests.unit.shop import PUBLISHED, Shop

SIGNALS = "projects/p/subscriptions/signals"
INCIDENT = Incident(
    incident="0.abc",
    started_at=PUBLISHED + timedelta(hours=1),
    ended_at=None,
    subscription=SIGNALS,
    published_at=PUBLISHED + timedelta(hours=3),
    pipeline="shop",
    stage="fast-feedback",
    image="shop",
    policy="too slow",
)
CLOSED = replace(INCIDENT, ended_at=PUBLISHED + timedelta(hours=2))

Look = Callable[..., Lookout]


def taking_signals(shop: Shop) -> Look:
    """Makes the part that takes signals, for a promotion.yaml that names their subscription."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = f"{text}signals: {SIGNALS}\n"

    def look(again: RecordedTopic | None = None) -> Lookout:
        pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
        return Lookout(
            pipelines,
            shop.transport,
            evidence_store(pipelines),
            promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now),
            lambda deadline: RegistryInventory(
                shop.transport, artifact_registry({}, NoNetwork()), deadline
            ),
            again,
        )

    return look


def deploy(shop: Shop, digest: Digest, tag: str, hours: int) -> None:
    """Report that a digest runs in fast-feedback since so many hours."""
    image = Reference(shop.stage("fast-feedback").repository, tag)
    at = PUBLISHED + timedelta(hours=hours)
    promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now).deployed(
        Deployed(image, digest, at, at)
    )
