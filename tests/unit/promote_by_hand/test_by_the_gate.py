"""``promotion promote --gate``: as the function would, by the gate of promotion.yaml."""

from __future__ import annotations

import pytest

from promotion import policy
from promotion.errors import AccessDenied, PublishFailed
from promotion.events import PROMOTED, Event
from promotion.evidence.store import EvidenceStore
from promotion.messages import Outcome
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from tests.topics import RecordedTopic
from tests.unit.promote_by_hand.desk import TOPIC, Desk, finding_codes
from tests.unit.shop import Shop, kinds


def test_a_gate_that_waits_or_denies_refuses(desk: Desk) -> None:
    """The whole verdict is reported, and nothing is copied."""
    shop = desk.shop
    digest = shop.push().digest
    assert finding_codes(desk.promote("--gate", code=1)) == ["suite-missing"]
    assert "WAIT: suite functional has not reported" in desk.err
    shop.handle(shop.result(digest, outcome=Outcome.FAILURE))
    report = desk.promote("--gate", code=1)
    assert (report["images"][0]["verdict"], finding_codes(report)) == ("DENY", ["suite-failed"])
    assert shop.stage("extended-test").tags() == []


def observed(shop: Shop) -> Digest:
    """An image that its gate lets go, and that nobody has promoted."""
    digest = shop.push().digest
    written = shop.promotion_yaml
    shop.written = written.replace("  shop:\n", "  shop:\n    mode: observe\n", 1)
    shop.handle(shop.result(digest))
    shop.written = written
    assert shop.stage("extended-test").resolve("1.0") is None
    return digest


def test_what_the_gate_lets_go_gets_its_record(desk: Desk) -> None:
    """A normal one, so that the next gate judges the image."""
    shop = desk.shop
    digest = observed(shop)
    report = desk.promote("--gate")
    assert (report["gated"], finding_codes(report)) == (True, ["suite-succeeded"])
    evidence = shop.evidence("extended-test", digest)
    (record,) = evidence.records
    assert record.basis.statement == report["images"][0]["record"]
    assert evidence.by_hand == ()
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]
    assert kinds(shop.handle(shop.result(digest, "extended-test", "extended"))) == [PROMOTED]


def test_the_policy_of_a_person_is_named_and_does_not_come_into_force(desk: Desk) -> None:
    """The record's policy can be fetched; what is in force stays what the function has stored."""
    shop = desk.shop
    digest = observed(shop)
    place = policy.repository_of(shop.stage("fast-feedback").repository)
    desk.promote("--gate")
    (record,) = shop.evidence("extended-test", digest).records
    uri, _, named = record.said.policy.uri.partition("@")
    place = Repository.parse(uri.removeprefix("oci://"))
    kept = RepositoryClient(place, shop.transport)
    assert policy.read(kept, named).text == shop.promotion_yaml.encode()
    assert [tag[:6] for tag in kept.tags()] == ["named-"]


def test_the_event_is_published_only_if_asked_for(
    desk: Desk, topics: dict[str, RecordedTopic]
) -> None:
    """Without --event the function announces it, with the next result; with it, it is done."""
    shop = desk.shop
    digest = observed(shop)
    desk.promote("--gate", PROMOTION_EVENTS_TOPIC=TOPIC)
    assert topics[TOPIC].events == []
    report = desk.promote("--gate", "--event", PROMOTION_EVENTS_TOPIC=TOPIC)
    (event,) = topics[TOPIC].events
    assert event.attributes["ce-type"] == PROMOTED
    assert event.attributes["ce-id"] == report["images"][0]["event"]
    assert shop.handle(shop.result(digest)) == []


def test_what_cannot_be_recorded_is_not_tagged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as when Cloud KMS refuses to sign: the image is there by its digest alone."""
    shop = desk.shop
    digest = shop.push().digest

    def refuse(*_: object) -> Digest:
        raise AccessDenied("Could not sign")

    monkeypatch.setattr(EvidenceStore, "attach", refuse)
    assert desk.promote(code=1) == {}
    assert desk.err == "promotion: Could not sign\n"
    assert shop.stage("extended-test").has_manifest(digest)
    assert shop.stage("extended-test").tags() == []


def test_an_event_that_is_not_published_is_an_error(
    desk: Desk, topics: dict[str, RecordedTopic], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is promoted by then; run again, the command publishes it."""
    shop = desk.shop
    digest = observed(shop)

    def refuse(_: RecordedTopic, __: Event) -> str:
        raise PublishFailed(f"Could not publish to {TOPIC}")

    with monkeypatch.context() as patched:
        patched.setattr(RecordedTopic, "publish", refuse)
        desk.promote("--gate", "--event", PROMOTION_EVENTS_TOPIC=TOPIC, code=1)
    assert TOPIC in desk.err
    assert shop.stage("extended-test").resolve("1.0") == digest
    desk.promote("--gate", "--event", PROMOTION_EVENTS_TOPIC=TOPIC)
    assert len(topics[TOPIC].events) == 1


def test_an_event_needs_a_topic(desk: Desk) -> None:
    """That is found out before anything is asked."""
    assert desk.promote("--gate", "--event", code=1) == {}
    assert "PROMOTION_EVENTS_TOPIC" in desk.err
    assert desk.shop.near.served == []


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"DEST_STAGE": "elsewhere"}, "are not in two stages of one pipeline"),
        ({"DEST_STAGE": "prod"}, "lets nothing go from fast-feedback to prod"),
    ],
)
def test_where_there_is_no_gate_none_can_be_asked(
    desk: Desk, environment: dict[str, str], complaint: str
) -> None:
    """With --gate it is an error to promote where promotion.yaml knows no way."""
    desk.shop.written = desk.shop.promotion_yaml.replace(desk.shop.far.host, desk.shop.near.host)
    desk.shop.push()
    assert desk.promote("--gate", code=1, **environment) == {}
    assert complaint in desk.err
