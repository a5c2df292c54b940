"""A registry whose lists of what is attached lag behind what was written, or behind each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from promotion import configuration, control_log, effects
from promotion.errors import EvidenceMissing
from promotion.events import PROMOTED
from promotion.evidence.act import Act, Kind
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Descriptor
from promotion.registry.reference import Digest, Repository
from tests.unit.promoting import evidence_store
from tests.unit.shop import PUBLISHED, Shop, kinds


def state_of_stage(shop: Shop, kind: Kind, minutes: int = 0) -> RepositoryClient:
    """Decide about fast-feedback as a whole; where that is stated."""
    stage = Repository(shop.near.host, "shop/fast-feedback")
    act = Act(
        kind=kind,
        pipeline="shop",
        stage="fast-feedback",
        subject=str(stage),
        author="ann@acme.example",
        reason="INC-7",
        decided_at=PUBLISHED + timedelta(minutes=minutes),
    )
    place = RepositoryClient(control_log.repository_of(stage), shop.transport)
    store = evidence_store(configuration.parse("promotion.yaml", shop.promotion_yaml))
    control_log.state(place, act, store)
    return place


@pytest.mark.parametrize("about", ["shop", "promotion-control"])
def test_a_list_that_shows_less_than_before_is_not_decided_upon(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    """What is new may be missing as well: the message comes again, and finds all that there is."""
    digest = shop.push().digest
    state_of_stage(shop, Kind.HOLD)
    state_of_stage(shop, Kind.RELEASE, minutes=1)
    listed = RepositoryClient.referrers
    record = effects.Effects.record

    def lagging(repository: RepositoryClient, subject: Digest) -> list[Descriptor] | None:
        found = listed(repository, subject)
        behind = repository.repository.path == f"shop/fast-feedback/{about}"
        return found[:-1] if found and behind else found

    def recorded(self: effects.Effects, *arguments: Any) -> object:
        patch.setattr(RepositoryClient, "referrers", lagging)
        return record(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(effects.Effects, "record", recorded)
        with pytest.raises(EvidenceMissing):
            shop.handle(shop.result(digest))
    assert shop.stage("extended-test").resolve("1.0") is None
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]


def test_what_is_stated_of_a_stage_is_kept_by_a_tag_though_it_is_not_listed_yet(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rule about what is untagged removes a hold."""
    with monkeypatch.context() as patch:
        patch.setattr(RepositoryClient, "referrers", lambda *_: [])
        place = state_of_stage(shop, Kind.HOLD)
    assert len(place.tags()) == 2, "the stage's own, and one for what is stated of it"
