"""What is written straight to a registry, by somebody without the key, opens no gate.

Everything here runs with a function that has been running for a while, so what it remembers is put
to the test as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dev.registry import EmbeddedRegistry
from promotion import events
from promotion.evidence import attestation, suite_run
from promotion.evidence.attested import MOST, Ignored, collected
from promotion.marks import Marks
from promotion.messages import Outcome
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, digest_of
from promotion.registry.transport import Transport
from tests.unit.attached import refer
from tests.unit.attesting import (
    AT,
    KEY,
    STRANGER,
    attach,
    attach_manifest,
    bundle,
    flood,
    reasons,
)
from tests.unit.forging import (
    FORGED_RECORDS,
    FORGED_SUCCESSES,
    VERSION,
    SignedShop,
    check_a_forged_record_lets_nothing_in,
    check_a_forged_success_changes_nothing,
    codes,
)


@pytest.fixture(params=["referrers API", "tags"])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, transport: Transport
) -> Iterator[SignedShop]:
    """A shop whose statements are signed, in either kind of registry."""
    api = request.param == "referrers API"
    with EmbeddedRegistry(tmp_path / "registry", referrers_api=api) as registry:
        yield SignedShop(registry.host, transport, tmp_path)


@pytest.mark.parametrize("name", FORGED_SUCCESSES)
def test_a_forged_success_changes_nothing(shop: SignedShop, name: str) -> None:
    """The gate waits for the suite itself, and status shows why the forgery does not count."""
    check_a_forged_success_changes_nothing(shop, name)


@pytest.mark.parametrize("name", FORGED_RECORDS)
def test_a_forged_record_lets_nothing_in(shop: SignedShop, name: str) -> None:
    """An image that was pushed straight into a later stage is not judged on its merits there."""
    check_a_forged_record_lets_nothing_in(shop, name)


def test_what_is_forged_is_the_only_thing_missing(shop: SignedShop) -> None:
    """The same statements, written by the function, open both gates."""
    image = shop.push()
    shop.promote(image)
    (event,) = shop.report(image, "extended", "extended-test")
    assert event.attributes["verdict"] == "PROMOTE"
    assert shop.stage("prod").resolve(VERSION) == image.digest


def test_a_forged_failure_closes_nothing(shop: SignedShop) -> None:
    """Who cannot open a gate cannot close it either by what is stated."""
    image = shop.push()
    for keys in ((), (STRANGER,)):
        failure = suite_run.write(shop.run(suite="functional", passed=False), image.digest)
        attach(shop.stage("fast-feedback"), image, bundle(failure, *keys))
    shop.promote(image)


def test_a_failure_is_not_undone_by_a_forged_success(shop: SignedShop) -> None:
    """A newer success lifts a failure, if it is one; until then the denial stands."""
    image = shop.push()
    (denied,) = shop.report(image, "functional", outcome=Outcome.FAILURE)
    assert codes(denied) == ["suite-failed"]
    success = suite_run.write(shop.run(suite="functional"), image.digest)
    attach(shop.stage("fast-feedback"), image, bundle(success, STRANGER))
    assert shop.report(image, "nft") == []
    assert shop.stage("extended-test").resolve(VERSION) is None


def test_the_record_of_one_version_is_none_of_another(shop: SignedShop) -> None:
    """The same digest under another tag, set by somebody in the later stage, goes nowhere."""
    image = shop.push()
    shop.promote(image)
    shop.stage("extended-test").put_manifest(image, "2.0")
    (denied,) = shop.report(image, "extended", "extended-test", tag="2.0")
    assert codes(denied) == ["no-record"]
    (promoted,) = shop.report(image, "extended", "extended-test")
    assert promoted.attributes["version"] == VERSION
    assert shop.stage("prod").resolve("2.0") is None


def test_a_bundle_that_is_kept_elsewhere_is_not_waited_for(shop: SignedShop) -> None:
    """Registries take a manifest without the content that it names other places for."""
    image = shop.push()
    forged = bundle(suite_run.write(shop.run(passed=False), image.digest), KEY)
    honest = attestation.manifest(image, forged, suite_run.PREDICATE_TYPE, AT)
    said = json.loads(honest.content)
    said["layers"][0]["urls"] = ["https://store.example/bundle"]
    content = json.dumps(said).encode()
    lacking = Manifest(honest.media_type, digest_of(content), content)
    attach_manifest(shop.stage("fast-feedback"), image.digest, lacking)
    shop.promote(image)
    (reason,) = reasons(shop.evidence(image))
    assert "kept elsewhere" in reason


def test_a_flood_of_attachments_opens_nothing(shop: SignedShop) -> None:
    """With more than can be read the image is denied, once, whatever its suites report."""
    image = shop.push()
    flood(shop.stage("fast-feedback"), image)
    (denied,) = shop.report(image, "functional")
    assert codes(denied) == ["evidence-overflow"]
    assert shop.report(image, "nft") == []
    assert shop.stage("extended-test").resolve(VERSION) is None
    assert shop.evidence(image).overflow


def test_a_flood_at_the_destination_keeps_an_image_out(shop: SignedShop) -> None:
    """Where its record could not be found again it is not let in, and nothing is added there."""
    image = shop.push()
    shop.push(stage="extended-test", tag="other")
    flood(shop.stage("extended-test"), image)
    assert shop.report(image, "functional") == []
    (denied,) = shop.report(image, "nft")
    assert codes(denied) == ["evidence-overflow"]
    assert shop.report(image, "nft") == []
    assert shop.stage("extended-test").resolve(VERSION) is None
    listed = shop.stage("extended-test").referrers(image.digest)
    assert listed is None or len(listed) == MOST + 3


def test_what_is_ignored_takes_no_statement_s_place(shop: SignedShop) -> None:
    """Somebody may keep a statement's own bytes as a manifest, which has the statement's digest."""
    image = shop.push()
    shop.report(image, "functional", outcome=Outcome.FAILURE)
    (failure,) = shop.evidence(image).runs
    last = msgspec.structs.replace(failure.basis, attestation=Digest(f"sha256:{'f' * 64}"))
    named_last = msgspec.structs.replace(failure, basis=last)
    namesake = Ignored.because(failure.basis.statement, "it is not well formed")
    assert collected([named_last, namesake]).runs == (named_last,)
    assert collected([namesake, named_last]).runs == (named_last,)


def test_what_else_is_attached_takes_no_statement_s_place(
    near: EmbeddedRegistry, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SBOMs and signatures of any number are neither read as statements nor too many of them."""
    shop = SignedShop(near.host, transport, tmp_path)
    image = shop.push()
    for number in range(4):
        refer(shop.stage("fast-feedback"), image, b"%d" % number)
    monkeypatch.setattr("promotion.evidence.store.MOST", 3)
    shop.promote(image)
    evidence = shop.evidence(image)
    assert (evidence.overflow, evidence.ignored, len(evidence.runs)) == (False, (), 2)


def test_forgeries_do_not_travel_as_evidence(shop: SignedShop) -> None:
    """At the next stage they still do not count, and are named as what they are."""
    image = shop.push()
    success = suite_run.write(shop.run(), image.digest)
    attach(shop.stage("fast-feedback"), image, bundle(success, STRANGER))
    shop.promote(image)
    there = shop.evidence(image, "extended-test")
    assert [each.said.suite for each in there.runs].count("nft") == 1
    assert len(there.records) == 1


def marks(shop: SignedShop, image: Manifest) -> Marks:
    """What anybody can say who can write to extended-test: about the event that it came there."""
    event_id = events.promoted_id(shop.promotion(image))
    return Marks(event_id, image.digest, shop.stage("extended-test"))


def test_a_forged_mark_silences_an_event_and_does_nothing_else(shop: SignedShop) -> None:
    """Marks are not signed; the image is promoted with its record, and denied where it is to be."""
    image = shop.push()
    marks(shop, image).announce()
    shop.promote(image)
    assert shop.events == []
    assert len(shop.evidence(image, "extended-test").records) == 1
    (denied,) = shop.report(image, "extended", "extended-test", outcome=Outcome.FAILURE)
    assert codes(denied) == ["suite-failed"]
    assert shop.stage("prod").resolve(VERSION) is None


def test_forged_words_of_other_processes_lead_to_no_other_event(shop: SignedShop) -> None:
    """They can be in doubt, and propose or decide upon what is no record: what is told is one."""
    image = shop.push()
    for number in range(1, 5):
        for word in ("in doubt", f"decided {image.digest}", f"proposed {image.digest}"):
            marks(shop, image).say(f"round {number}: {word}")
    shop.promote(image)
    (record,) = shop.evidence(image, "extended-test").records
    assert shop.events == [events.promoted(shop.promotion(image), record.said)]
