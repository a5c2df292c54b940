"""``promotion promote`` with a promotion.yaml: records, holds, gates, and what comes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from dev.stack import signed
from promotion import cli, configuration, control_log, policy, publisher
from promotion.errors import AccessDenied, PublishFailed, RegistryUnavailable
from promotion.events import PROMOTED, Event
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.evidence.store import EvidenceStore
from promotion.messages import Outcome
from promotion.publisher import RecordedTopic
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.signing import TrustAll, Unsigned
from tests.unit.promoting import evidence_store
from tests.unit.shop import Shop, codes, kinds

TOPIC = "projects/p/topics/promotion-events"


@dataclass
class Desk:
    """A person with the shop's promotion.yaml, and what the command printed last."""

    shop: Shop
    folder: Path
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def promote(
        self, *arguments: str, to: str = "extended-test", code: int = 0, **environment: str
    ) -> dict[str, Any]:
        """Promote version 1.0 of the shop, or what is named; the command's report."""
        stages = {"extended-test": "fast-feedback", "prod": "extended-test"}
        file = self.folder / "promotion.yaml"
        file.write_text(self.shop.promotion_yaml)
        given = {
            "PROMOTION_CONFIG": str(file),
            "SOURCE_REGISTRY": f"{self.shop.near.host}/shop",
            "SOURCE_STAGE": stages[to],
            "REGISTRY": f"{self.shop.stage(to).repository.host}/shop",
            "DEST_STAGE": to,
            **environment,
        }
        names = [each for each in arguments if not each.startswith("--")] or ["shop:1.0"]
        flags = [each for each in arguments if each.startswith("--")]
        assert cli.main(["promote", *names, *flags, "--json"], given) == code
        out, self.err = self.capsys.readouterr()
        report: dict[str, Any] = json.loads(out) if out else {}
        return report

    def decide(self, kind: Kind, stage: str = "fast-feedback", subject: str = "") -> None:
        """Let a person decide something about version 1.0 in a stage, or about the stage."""
        pipelines = configuration.parse("promotion.yaml", self.shop.promotion_yaml)
        store = evidence_store(pipelines)
        place = self.shop.stage(stage)
        of = "" if kind is Kind.REVOKE else stage
        about = subject or str(place.repository)
        act = Act(kind, "shop", of, about, "ann@example.com", "it loses orders", datetime.now(UTC))
        if subject:
            log = control_log.repository_of(Repository.parse(subject))
            control_log.state(RepositoryClient(log, self.shop.transport), act, store)
        else:
            store.attach(place, place.manifest("1.0"), act, Evidence())


@pytest.fixture
def desk(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """The person."""
    return Desk(shop, tmp_path, capsys)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordedTopic]:
    """The topics that were published to, by name."""
    topics: dict[str, RecordedTopic] = {}
    monkeypatch.setattr(publisher, "topic", lambda name: topics.setdefault(name, RecordedTopic()))
    return topics


def finding_codes(report: dict[str, Any]) -> list[str]:
    """The codes of the findings about the first image."""
    return [each["code"] for each in report["images"][0]["findings"]]


def test_it_is_on_record_who_promoted_it_past_the_gate(desk: Desk) -> None:
    """The record names both places and the caller, as the machine knows them; it is no verdict."""
    shop = desk.shop
    image = shop.push()
    report = desk.promote()
    evidence = shop.evidence("extended-test", image.digest)
    (by_hand,) = evidence.by_hand
    assert by_hand.basis.statement == report["images"][0]["record"]
    said = by_hand.said
    assert (said.pipeline, said.from_stage, said.to_stage) == (
        "shop",
        "fast-feedback",
        "extended-test",
    )
    assert str(said.source) == f"{shop.stage('fast-feedback').repository}:1.0"
    assert str(said.destination) == f"{shop.stage('extended-test').repository}:1.0"
    assert said.author.known_from == "operating-system"
    assert "@" in said.author.name
    assert evidence.records == ()
    assert finding_codes(report) == ["past-the-gate"]


def test_the_record_is_there_before_the_tag(desk: Desk) -> None:
    """Whoever sees the tag can see who set it."""
    shop = desk.shop
    image = shop.push()
    desk.promote()
    put = [each.path for each in shop.near.served if each.method == "PUT"]
    place = f"/v2/{shop.stage('extended-test').repository.path}/manifests/"
    written = [path.removeprefix(place) for path in put if path.startswith(place)]
    assert written[0] == image.digest
    assert written[-1] == "1.0"
    assert len(written) == 3


def test_no_gate_takes_a_promotion_by_hand_for_its_own_yes(desk: Desk) -> None:
    """The next gate denies the image, and says by whom it was promoted past the one before."""
    shop = desk.shop
    digest = shop.push().digest
    desk.promote()
    (denied,) = shop.handle(shop.result(digest, "extended-test", "extended"))
    assert codes(denied) == ["no-record"]
    message = json.loads(denied.data)["findings"][0]["message"]
    (by_hand,) = shop.evidence("extended-test", digest).by_hand
    assert f"{by_hand.said.author.name} promoted it by hand, past the gate" in message
    assert shop.stage("prod").resolve("1.0") is None


def test_the_gate_may_let_in_later_what_was_promoted_past_it(desk: Desk) -> None:
    """Once its suites have succeeded, the record of the gate is written beside the other."""
    shop = desk.shop
    digest = shop.push().digest
    desk.promote()
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]
    assert len(shop.evidence("extended-test", digest).records) == 1
    events = shop.handle(shop.result(digest, "extended-test", "extended"))
    assert kinds(events) == [PROMOTED]


def test_evidence_goes_along(desk: Desk, either: EmbeddedRegistry) -> None:
    """A failure that is known here counts there, with the referrers API and without it."""
    shop = desk.shop = Shop(either, desk.shop.far, desk.shop.transport)
    digest = shop.push().digest
    shop.handle(shop.result(digest, outcome=Outcome.FAILURE))
    desk.promote()
    evidence = shop.evidence("extended-test", digest)
    assert [each.said.passed for each in evidence.runs] == [False]
    assert len(evidence.by_hand) == 1


def test_an_attempt_that_failed_before_the_tag_is_not_recorded_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt finds the record of the first, and goes on from it."""
    shop = desk.shop
    digest = shop.push().digest
    put_manifest = RepositoryClient.put_manifest

    def broken(self: RepositoryClient, manifest: Any, tag: str = "") -> bool:
        if tag == "1.0":
            raise RegistryUnavailable("it is full")
        return put_manifest(self, manifest, tag)

    with monkeypatch.context() as patched:
        patched.setattr(RepositoryClient, "put_manifest", broken)
        assert desk.promote(code=1) == {}
    assert "it is full" in desk.err
    assert shop.stage("extended-test").resolve("1.0") is None
    desk.promote()
    assert shop.stage("extended-test").resolve("1.0") == digest
    assert len(shop.evidence("extended-test", digest).by_hand) == 1


def test_what_fails_among_the_tags_says_which_are_set(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tags cannot be set all at once: the line says what to do."""
    shop = desk.shop
    shop.push()
    db = RepositoryClient(Repository(shop.near.host, "shop/fast-feedback/db"), shop.transport)
    images.push_image(db, [b"two"], tag="1.0")
    put_manifest = RepositoryClient.put_manifest

    def broken(self: RepositoryClient, manifest: Any, tag: str = "") -> bool:
        if tag == "1.0" and self.repository.path.endswith("/db"):
            raise RegistryUnavailable("it is full")
        return put_manifest(self, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", broken)
    desk.promote("shop:1.0", "db:1.0", code=1)
    assert "it is full; tagged by then: shop:1.0; run the command again" in desk.err


@pytest.mark.parametrize("scope", ["image", "stage"])
def test_what_is_held_stays(desk: Desk, scope: str) -> None:
    """Exit code 1, with who holds it and why; nothing is written."""
    shop = desk.shop
    shop.push()
    subject = f"{shop.near.host}/shop/fast-feedback" if scope == "stage" else ""
    desk.decide(Kind.HOLD, subject=subject)
    report = desk.promote(code=1)
    assert finding_codes(report) == ["held"]
    assert report["promoted"] is False
    assert "shop:1.0 is not promoted: WAIT: " in desk.err
    assert "held by ann@example.com: it loses orders" in desk.err
    assert shop.stage("extended-test").tags() == []
    desk.decide(Kind.RELEASE, subject=subject)
    assert desk.promote()["promoted"] is True


@pytest.mark.parametrize("where", ["fast-feedback", "extended-test"])
def test_what_is_revoked_stays(desk: Desk, where: str) -> None:
    """Also where it was revoked in the stage that it would go to."""
    shop = desk.shop
    shop.push()
    shop.push(where)
    desk.decide(Kind.REVOKE, where)
    report = desk.promote(code=1)
    assert finding_codes(report) == ["revoked"]
    assert "DENY: ann@example.com revoked it" in desk.err


def test_one_image_that_is_held_keeps_back_all(desk: Desk) -> None:
    """Of several images none is copied."""
    shop = desk.shop
    shop.push()
    db = RepositoryClient(Repository(shop.near.host, "shop/fast-feedback/db"), shop.transport)
    images.push_image(db, [b"two"], tag="1.0")
    desk.decide(Kind.HOLD)
    report = desk.promote("db:1.0", "shop:1.0", code=1)
    assert [each["tagged"] for each in report["images"]] == [False, False]
    assert shop.near.served
    there = RepositoryClient(Repository(shop.near.host, "shop/extended-test/db"), shop.transport)
    assert there.tags() == []


def test_a_hold_that_comes_while_it_is_copied_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for once more right before the tag."""
    shop = desk.shop
    image = shop.push()
    put_manifest = RepositoryClient.put_manifest

    def overtaken(self: RepositoryClient, manifest: Any, tag: str = "") -> bool:
        if self.repository.path == "shop/extended-test/shop" and manifest.digest == image.digest:
            monkeypatch.undo()
            desk.decide(Kind.HOLD)
        return put_manifest(self, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", overtaken)
    assert finding_codes(desk.promote(code=1)) == ["held"]
    assert shop.stage("extended-test").resolve("1.0") is None


def test_where_promotions_are_signed_the_record_is(desk: Desk) -> None:
    """By the key that promotion.yaml names, so that it counts."""
    shop = desk.shop
    shop.written = shop.promotion_yaml + signed(desk.folder)
    digest = shop.push().digest
    desk.promote()
    assert len(shop.evidence("extended-test", digest).by_hand) == 1


@pytest.mark.parametrize("flags", [(), ("--gate",)])
def test_without_the_signing_key_nothing_is_promoted(desk: Desk, flags: tuple[str, ...]) -> None:
    """The line says so, and who could do it; no registry has been asked."""
    shop = desk.shop
    shop.written = shop.promotion_yaml + "signing: {key: absent.pem}\n"
    shop.push()
    before = len(shop.near.served)
    assert desk.promote(*flags, code=1) == {}
    assert "has promotions signed, and this cannot be done here" in desk.err
    assert "`promotion advance`" in desk.err
    assert desk.err.count("\n") == 1
    assert len(shop.near.served) == before


def test_between_places_that_are_no_stages_nothing_is_recorded(desk: Desk) -> None:
    """It is a plain copy, and that is said."""
    shop = desk.shop
    digest = shop.push().digest
    report = desk.promote(DEST_STAGE="elsewhere")
    (finding,) = report["images"][0]["findings"]
    assert finding["code"] == "not-on-record"
    assert report["images"][0]["record"] is None
    place = RepositoryClient(Repository(shop.near.host, "shop/elsewhere/shop"), shop.transport)
    assert place.resolve("1.0") == digest
    assert place.referrers(digest) == []


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


def test_a_token_is_shown_to_the_registry_of_its_side_alone(desk: Desk) -> None:
    """Other registries that promotion.yaml leads to are asked without it."""
    shop = desk.shop
    image = shop.push("extended-test")
    near, far = shop.near.host, shop.far.host
    upstream = shop.promotion_yaml.replace(f"registry: {near}/shop", f"registry: {far}/before", 1)
    shop.written = upstream.replace(f"registry: {far}/shop", f"registry: {near}/shop")
    token = "ya29.near"
    place = f"{near}/shop"
    desk.promote(to="prod", REGISTRY=place, SOURCE_ACCESS_TOKEN=token, DEST_ACCESS_TOKEN=token)
    there = RepositoryClient(Repository(near, "shop/prod/shop"), shop.transport)
    assert there.resolve("1.0") == image.digest
    assert {each.authorization for each in shop.far.served} == {""}
    assert any(each.authorization for each in shop.near.served)


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


def test_it_is_known_since_when_it_is_there(desk: Desk) -> None:
    """`promotion status` and `latest` tell it, whether or not a gate was asked."""
    shop = desk.shop
    shop.push(tag="1.0.0")
    desk.promote("shop:1.0.0")

    def ask(*arguments: str) -> Any:
        file = desk.folder / "promotion.yaml"
        assert cli.main([*arguments, "--json", "--config", str(file)], {}) == 0
        return json.loads(desk.capsys.readouterr().out)

    stages = ask("status", f"{shop.stage('fast-feedback').repository}:1.0.0")["stages"]
    here, there, _ = (each["since"] for each in stages)
    assert here is None
    assert there is not None
    assert ask("latest", "shop", "--stage", "extended-test")["since"] == there


def test_a_statement_by_hand_that_somebody_without_the_key_attaches_does_not_count(
    desk: Desk,
) -> None:
    """It is ignored like any other that no trusted key has signed."""
    shop = desk.shop
    digest = shop.push().digest
    desk.promote()
    unsigned = EvidenceStore(Unsigned(), TrustAll()).read(digest, [shop.stage("extended-test")])
    assert len(unsigned.by_hand) == 1
    shop.written = shop.promotion_yaml + signed(desk.folder)
    evidence = shop.evidence("extended-test", digest)
    assert evidence.by_hand == ()
    assert "not signed" in evidence.ignored[0].reason
