"""More statements than are ever read: the image is denied, once, whichever way it is looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promotion import cli, configuration, control_log
from promotion.events import DENIED, Event
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import MOST, Evidence
from promotion.gates.overrides import GATES
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Reference, Repository
from promotion.status import status
from tests.unit.attesting import attach, bundle, flood
from tests.unit.promoting import evidence_store, promoter
from tests.unit.shop import PUBLISHED, Shop, codes, kinds, lost_and_repeated


def flooded(shop: Shop, stage: str = "fast-feedback") -> Manifest:
    """An image in fast-feedback to which too much is attached in a stage."""
    image = shop.push()
    if stage != "fast-feedback":
        shop.push(stage, tag="other")
    flood(shop.stage(stage), image)
    return image


def looked_at_again(shop: Shop, image: Manifest) -> list[Event]:
    """What a promoter publishes that evaluates the image in fast-feedback."""
    before = len(shop.topic.events)
    reference = Reference(shop.stage("fast-feedback").repository, "1.0")
    late = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now)
    late.look_again(reference, image.digest, PUBLISHED)
    return shop.topic.events[before:]


def test_the_denial_says_what_to_do_and_is_the_same_each_time(shop: Shop) -> None:
    """A repeat after a crash has its id and its data; neither a statement nor a look makes more."""
    image = flooded(shop)
    denied, repeated = lost_and_repeated(shop, shop.result(image.digest))
    assert (kinds([denied]), codes(denied)) == ([DENIED], ["evidence-overflow"])
    assert repeated == denied
    (finding,) = json.loads(denied.data)["findings"]
    assert f"more than {MOST} statements are attached to it" in finding["message"]
    assert "build a new version" in finding["message"]
    assert shop.handle(shop.result(image.digest, suite="another")) == []
    attach(shop.stage("fast-feedback"), image, bundle(b"one more"))
    assert shop.handle(shop.result(image.digest)) == []
    assert looked_at_again(shop, image) == []
    assert shop.stage("extended-test").resolve("1.0") is None


def test_an_evaluation_finds_it_too(shop: Shop) -> None:
    """Where no result comes any more the team is told by the next look, once."""
    image = flooded(shop)
    (denied,) = looked_at_again(shop, image)
    assert codes(denied) == ["evidence-overflow"]
    assert looked_at_again(shop, image) == []


def test_what_is_only_observed_is_denied_as_well(shop: Shop) -> None:
    """In mode observe the event is the same, since nothing would be promoted otherwise either."""
    shop.written = shop.promotion_yaml.replace("  shop:\n", "  shop:\n    mode: observe\n", 1)
    assert configuration.parse("promotion.yaml", shop.written).pipelines[0].observed
    image = flooded(shop)
    (denied,) = shop.handle(shop.result(image.digest))
    assert (kinds([denied]), codes(denied)) == ([DENIED], ["evidence-overflow"])
    assert shop.handle(shop.result(image.digest)) == []


def test_nobody_lifts_it(shop: Shop) -> None:
    """Neither an override of everything, nor a release, nor an approval: none of them is read."""
    image = flooded(shop)
    place = shop.stage("fast-feedback")
    store = evidence_store(configuration.parse("promotion.yaml", shop.promotion_yaml))
    for kind in (Kind.OVERRIDE, Kind.RELEASE, Kind.APPROVE, Kind.PROMOTE):
        gates = tuple(GATES) if kind is Kind.OVERRIDE else ()
        act = Act(
            kind,
            "shop",
            "fast-feedback",
            str(place.repository),
            "ann@example.com",
            "it cannot wait",
            PUBLISHED,
            gates=gates,
        )
        store.attach(place, image, act, Evidence())
    (denied,) = looked_at_again(shop, image)
    assert codes(denied) == ["evidence-overflow"]
    assert shop.stage("extended-test").resolve("1.0") is None


def test_what_is_stated_of_the_stage_counts_too(shop: Shop) -> None:
    """With too much about the stage as a whole, a hold could be among what is not read."""
    image = shop.push()
    stage = Repository(shop.near.host, "shop/fast-feedback")
    control = RepositoryClient(control_log.repository_of(stage), shop.transport)
    artifact = control_log.artifact(control.repository)
    flood(control, artifact)
    (denied,) = shop.handle(shop.result(image.digest))
    assert codes(denied) == ["evidence-overflow"]
    assert "or to its stage as a whole" in denied.data.decode()


@pytest.mark.parametrize("stage", ["fast-feedback", "extended-test"])
def test_by_hand_it_is_refused(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    """By the gate and past it, wherever the statements are; nothing gets a tag."""
    flooded(shop, stage)
    file = tmp_path / "promotion.yaml"
    file.write_text(shop.promotion_yaml)
    given = {
        "PROMOTION_CONFIG": str(file),
        "SOURCE_REGISTRY": f"{shop.near.host}/shop",
        "SOURCE_STAGE": "fast-feedback",
        "REGISTRY": f"{shop.near.host}/shop",
        "DEST_STAGE": "extended-test",
    }
    for flags in ([], ["--gate"]):
        if flags:
            shop.handle(shop.result(shop.stage("fast-feedback").manifest("1.0").digest))
        assert cli.main(["promote", "shop:1.0", *flags, "--json"], given) == 1
        written = capsys.readouterr()
        (reported,) = json.loads(written.out)["images"]
        assert "evidence-overflow" in [each["code"] for each in reported["findings"]]
        assert f"more than {MOST} statements" in written.err
        assert shop.stage("extended-test").resolve("1.0") is None


def test_status_shows_a_denial(shop: Shop) -> None:
    """Who asks reads the same as who is told."""
    image = flooded(shop)
    pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
    found = pipelines.find(Reference(shop.stage("fast-feedback").repository, "1.0"))
    seen = status(found, image.digest, shop.transport, evidence_store(pipelines))
    (outlook,) = seen.at("fast-feedback").outlooks
    assert outlook.state == "deny"
    assert [each.code for each in outlook.verdict.reasons] == ["evidence-overflow"]
