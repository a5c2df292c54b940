"""An image that is in its next stage: promoted, whatever is found of it later, and never denied."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from promotion import configuration, effects
from promotion import promoter as promoter_module
from promotion.errors import Contended, PublishFailed, RegistryUnavailable
from promotion.events import DENIED, PROMOTED, REVOKED, Event
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.evidence.by_hand import Author, PromotionByHand
from promotion.judgement import Judgement, judge
from promotion.marks import Marks
from promotion.messages import Outcome
from promotion.registry import client, tagging
from promotion.registry import copy as engine
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference
from promotion.registry.report import Copied
from tests.topics import RecordedTopic
from tests.unit.attached import refer
from tests.unit.attesting import flood
from tests.unit.promoting import evidence_store, promoter
from tests.unit.shop import PUBLISHED, Shop, kinds
from tests.unit.test_evidence_ignored import remove

LATER = PUBLISHED + timedelta(hours=1)

Happen = Callable[[Shop, Manifest, pytest.MonkeyPatch], None]


def flood_source(shop: Shop, image: Manifest, _: pytest.MonkeyPatch) -> None:
    """Attach more statements than are read, where it was tested."""
    flood(shop.stage("fast-feedback"), image)


def flood_destination(shop: Shop, image: Manifest, _: pytest.MonkeyPatch) -> None:
    """Attach more statements than are read, where it has come to."""
    flood(shop.stage("extended-test"), image)


def refer_to_source(shop: Shop, image: Manifest, patch: pytest.MonkeyPatch) -> None:
    """Let more refer to it, where it was tested, than is ever listed."""
    for number in range(10):
        refer(shop.stage("fast-feedback"), image, b"%d" % number)
    patch.setattr(client, "MOST_REFERRERS", 9)


def refer_to_destination(shop: Shop, image: Manifest, patch: pytest.MonkeyPatch) -> None:
    """Let more refer to it, where it has come to, than is ever listed."""
    for number in range(10):
        refer(shop.stage("extended-test"), image, b"%d" % number)
    patch.setattr(client, "MOST_REFERRERS", 9)


def move_tag(shop: Shop, _: Manifest, __: pytest.MonkeyPatch) -> None:
    """Let its version name another image, where it was tested."""
    shop.push(content=b"moved")


def forbid_ref(shop: Shop, _: Manifest, __: pytest.MonkeyPatch) -> None:
    """Let the gate ask for a ref by now that no result has named."""
    shop.written = shop.promotion_yaml.replace(
        "suites: [functional]", "suites: [functional]\n          refs: [main]"
    )


def freeze(shop: Shop, _: Manifest, __: pytest.MonkeyPatch) -> None:
    """Let nothing leave at this time."""
    freeze = "freeze: [{from: 2026-01-31T12:30, to: 2026-02-01T08:00, reason: stocktaking}]"
    shop.written = shop.promotion_yaml.replace(
        "suites: [functional]", f"suites: [functional]\n          {freeze}"
    )


HAPPENS = [
    flood_source,
    flood_destination,
    refer_to_source,
    refer_to_destination,
    move_tag,
    forbid_ref,
    freeze,
]


class Broken(RecordedTopic):
    """Takes events, and does not say so."""

    def publish(self, event: Event) -> str:
        """Keep it, and fail."""
        super().publish(event)
        raise PublishFailed("no answer")


def arrived_unannounced(shop: Shop) -> tuple[Manifest, Event]:
    """An image that has got its tag while the topic failed, and the event that was not taken."""
    image = shop.push()
    working, shop.topic = shop.topic, Broken()
    with suppress(PublishFailed):
        shop.handle(shop.result(image.digest))
    (lost,) = shop.topic.events
    shop.topic = working
    return image, lost


def revoke(shop: Shop, image: Manifest) -> None:
    """Let a person revoke it where it was tested."""
    place = shop.stage("fast-feedback")
    act = Act(Kind.REVOKE, "shop", "", str(place.repository), "ann@example.com", "so", LATER)
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    evidence_store(pipelines).attach(place, image, act, Evidence())


def promote_by_hand(shop: Shop, image: Manifest, at: datetime, stage: str) -> None:
    """Let a person put it into a later stage, whatever its gate says."""
    there = shop.stage(stage)
    shop.push(stage)
    said = PromotionByHand(
        pipeline="shop",
        from_stage="fast-feedback",
        to_stage=stage,
        source=Reference(shop.stage("fast-feedback").repository, "1.0"),
        destination=Reference(there.repository, "1.0"),
        author=Author("ann@acme.example", "google-credentials"),
        decided_at=at,
    )
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    evidence_store(pipelines).attach(there, image, said, Evidence())


def to_next(events: list[Event]) -> list[Event]:
    """Those about the promotion from fast-feedback, and not about the one after it."""
    return [each for each in events if each.attributes["to_stage"] == "extended-test"]


@pytest.mark.parametrize("happen", HAPPENS)
def test_what_comes_after_the_promotion_denies_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, happen: Happen
) -> None:
    """Neither a result nor a look brings an event: the image does not stay where it was."""
    image = shop.push()
    assert kinds(shop.handle(shop.result(image.digest))) == [PROMOTED]
    happen(shop, image, monkeypatch)
    assert to_next(shop.handle(replace(shop.result(image.digest), finished_at=LATER))) == []
    before = len(shop.topic.events)
    late = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: LATER)
    late.look_again(Reference(shop.stage("fast-feedback").repository, "1.0"), image.digest, LATER)
    assert to_next(shop.topic.events[before:]) == []


@pytest.mark.parametrize("happen", [*HAPPENS[:1], *HAPPENS[2:3], *HAPPENS[4:]])
def test_what_could_not_be_announced_is_announced_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, happen: Happen
) -> None:
    """The tag is there, and the event is the one that its record says, once."""
    image, lost = arrived_unannounced(shop)
    happen(shop, image, monkeypatch)
    shop.now = LATER
    assert to_next(shop.handle(shop.result(image.digest))) == [lost]
    assert to_next(shop.handle(shop.result(image.digest))) == []


def test_what_was_revoked_before_it_could_be_announced_is_not(shop: Shop) -> None:
    """Nobody is to deploy it: neither after a person's decision, nor after a failure."""
    image, _ = arrived_unannounced(shop)
    revoke(shop, image)
    assert to_next(shop.handle(shop.result(image.digest))) == []


def test_what_has_failed_before_it_could_be_announced_is_only_taken_back(shop: Shop) -> None:
    """Once it is repaired it is announced, as it may have been before."""
    image, lost = arrived_unannounced(shop)
    failed = shop.result(image.digest, outcome=Outcome.FAILURE)
    told = to_next(shop.handle(replace(failed, finished_at=PUBLISHED + timedelta(seconds=1))))
    assert kinds(told) == [REVOKED]
    assert to_next(shop.handle(shop.result(image.digest))) == []
    shop.now = LATER
    repaired = replace(shop.result(image.digest), finished_at=LATER)
    with pytest.raises(Contended):
        shop.handle(repaired)
    assert shop.handle(repaired) == [lost]


def test_what_is_in_a_later_stage_alone_is_taken_back(shop: Shop) -> None:
    """The stage between was cleaned up: the image stays denied there, and should not be in prod."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, "extended-test", "extended"))
    remove(shop.stage("extended-test"), f"manifests/{digest}")
    failed = replace(
        shop.result(digest, outcome=Outcome.FAILURE), finished_at=PUBLISHED + timedelta(seconds=1)
    )
    revoked, denied = shop.handle(failed)
    assert kinds([revoked, denied]) == [REVOKED, DENIED]
    assert json.loads(revoked.data)["stages"] == ["prod"]
    assert denied.attributes["to_stage"] == "extended-test"
    assert shop.handle(failed) == []


def test_what_two_ways_led_to_is_taken_back_by_one_event(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways are looked at, and neither can remember that it was told."""
    canary = f"""\
      canary:
        registry: {shop.near.host}/shop
        promotes_to: prod
        gate:
          suites: [extended]
"""
    forked = shop.promotion_yaml.replace("to: extended-test", "to: [canary, extended-test]", 1)
    shop.written = forked.replace("      prod:\n", f"{canary}      prod:\n")
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, "extended-test", "extended"))
    for stage in ("canary", "extended-test"):
        remove(shop.stage(stage), f"manifests/{digest}")
    failed = replace(
        shop.result(digest, outcome=Outcome.FAILURE), finished_at=PUBLISHED + timedelta(seconds=1)
    )
    before = len(shop.topic.events)
    with monkeypatch.context() as patch:
        patch.setattr(Marks, "announce", mark_fails)
        with pytest.raises(RegistryUnavailable):
            shop.handle(failed)
    shop.handle(failed)
    first, *others = [each for each in shop.topic.events[before:] if kinds([each]) == [REVOKED]]
    assert len(others) == 2
    assert others == [first, first]


def mark_fails(_: Marks) -> None:
    """What was announced is not remembered."""
    raise RegistryUnavailable("it cannot be written")


def test_what_has_arrived_waits_no_more(shop: Shop) -> None:
    """A suite that the gate asks for by now is missing, for longer than images are expected to."""
    image = shop.push()
    shop.handle(shop.result(image.digest))
    shop.written = shop.promotion_yaml.replace("[functional]", "[functional, nft]").replace(
        "fast-feedback:\n", "fast-feedback:\n        expect_within: 2h\n"
    )
    shop.now = PUBLISHED + timedelta(hours=3)
    assert shop.handle(replace(shop.result(image.digest), finished_at=LATER)) == []


def test_where_it_is_only_observed_a_denial_is_told(shop: Shop) -> None:
    """What promotes there has let it go, and Promotion would not have: that is to be seen."""
    shop.written = shop.promotion_yaml.replace("  shop:\n", "  shop:\n    mode: observe\n", 1)
    image = shop.push()
    shop.push("extended-test")
    flood(shop.stage("fast-feedback"), image)
    assert kinds(to_next(shop.handle(shop.result(image.digest)))) == [DENIED]


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen while an image is copied."""

    def copy(*arguments: Any, **more: Any) -> Copied:
        monkeypatch.undo()
        happens()
        return engine.copy(*arguments, **more)

    monkeypatch.setattr(effects, "copy", copy)


def test_a_tag_that_moves_during_the_copy_is_a_denial(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told so is not told as well that the image was promoted."""
    image = shop.push()
    told: list[Event] = []

    def moves() -> None:
        shop.push(content=b"moved")
        told.extend(shop.handle(shop.result(image.digest)))

    meanwhile(monkeypatch, moves)
    shop.handle(shop.result(image.digest))
    assert kinds(shop.topic.events) == [DENIED]
    assert shop.stage("extended-test").resolve("1.0") is None


def test_what_another_process_promotes_meanwhile_is_not_denied(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image has arrived by the time that a failure is found: that takes the promotion back."""
    image = shop.push()
    failed = shop.result(image.digest, outcome=Outcome.FAILURE)

    def is_promoted() -> None:
        shop.handle(shop.result(image.digest))
        shop.handle(replace(failed, finished_at=LATER))

    meanwhile(monkeypatch, is_promoted)
    shop.handle(shop.result(image.digest))
    assert kinds(to_next(shop.topic.events)) == [PROMOTED, REVOKED]


def test_what_another_process_promotes_meanwhile_is_not_denied_for_a_flood(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor if it is the next stage that has too many statements by then."""
    image = shop.push()

    def is_promoted() -> None:
        shop.handle(shop.result(image.digest))
        flood(shop.stage("extended-test"), image)

    meanwhile(monkeypatch, is_promoted)
    shop.handle(shop.result(image.digest))
    assert kinds(to_next(shop.topic.events)) == [PROMOTED]


def before_the_tag(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen when nothing has spoken against the tag, right before it is set."""

    def set_tag(*arguments: Any) -> Digest:
        monkeypatch.undo()
        happens()
        return tagging.set_tag(*arguments)

    monkeypatch.setattr(effects, "set_tag", set_tag)


def test_what_fails_in_the_moment_of_its_promotion_is_not_said_to_be_promoted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has denied it, and the tag is there all the same: that is taken back."""
    image = shop.push()
    failed = replace(shop.result(image.digest, outcome=Outcome.FAILURE), finished_at=LATER)
    before_the_tag(monkeypatch, lambda: shop.handle(failed))
    shop.handle(shop.result(image.digest))
    assert kinds(to_next(shop.topic.events)) == [DENIED, REVOKED]


def test_what_a_newer_success_promotes_is_not_taken_back_for_the_failure_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that has judged before the success, and looks when the tag is there."""
    image = shop.push()
    failed = shop.result(image.digest, outcome=Outcome.FAILURE)

    def then_promoted(*arguments: Any) -> Judgement:
        monkeypatch.undo()
        judgement = judge(*arguments)
        shop.handle(replace(shop.result(image.digest), finished_at=LATER))
        return judgement

    monkeypatch.setattr(promoter_module, "judge", then_promoted)
    shop.handle(failed)
    assert kinds(to_next(shop.topic.events)) == [PROMOTED]


def test_what_has_arrived_is_not_waited_for_where_it_came_from(shop: Shop) -> None:
    """Its tag at the source was deleted before the promotion was announced."""
    image, lost = arrived_unannounced(shop)
    remove(shop.stage("fast-feedback"), "manifests/1.0")
    assert to_next(shop.handle(shop.result(image.digest))) == [lost]


@pytest.mark.parametrize(
    ("stage", "told"), [("extended-test", [REVOKED]), ("prod", [REVOKED, DENIED])]
)
def test_what_a_person_knew_who_let_it_past_its_gate_takes_nothing_back(
    shop: Shop, stage: str, told: list[str]
) -> None:
    """A failure before the promotion by hand does not; one after it does."""
    shop.written = shop.promotion_yaml.replace("[functional]", "[functional, nft]")
    image = shop.push()
    failed = shop.result(image.digest, outcome=Outcome.FAILURE)
    assert kinds(shop.handle(failed)) == [DENIED]
    promote_by_hand(shop, image, PUBLISHED + timedelta(minutes=1), stage)
    assert to_next(shop.handle(shop.result(image.digest, suite="nft"))) == []
    again = shop.handle(replace(failed, finished_at=LATER))
    assert kinds(to_next(again)) == told
