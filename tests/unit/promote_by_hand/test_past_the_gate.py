"""A promotion past the gate is put on record as what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from dev.stack import signed
from promotion import cli
from promotion.errors import RegistryUnavailable
from promotion.events import PROMOTED
from promotion.evidence.store import EvidenceStore
from promotion.messages import Outcome
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.signing import TrustAll, Unsigned
from tests.unit.promote_by_hand.desk import Desk, finding_codes
from tests.unit.shop import Shop, codes, kinds


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


def status_of(shop: Shop, desk: Desk, *options: str) -> str:
    """What `promotion status` prints about version 1.0 in fast-feedback."""
    image = f"{shop.stage('fast-feedback').repository}:1.0"
    file = str(desk.folder / "promotion.yaml")
    assert cli.main(["status", image, "--config", file, *options], {}) == 0
    return desk.capsys.readouterr().out


def test_the_status_says_who_promoted_it_past_the_gate(desk: Desk) -> None:
    """In the row of that way, beside what its gate says; until the gate itself lets it in."""
    shop = desk.shop
    digest = shop.push().digest
    desk.promote()
    (by_hand,) = shop.evidence("extended-test", digest).by_hand
    said = by_hand.said
    at = f"{said.decided_at:%Y-%m-%dT%H:%M:%SZ}"
    row, below = status_of(shop, desk).splitlines()[3:5]
    assert row.split(maxsplit=4)[:4] == ["fast-feedback", "yes", "extended-test", "promoted"]
    assert row.endswith(f"promoted  {said.author.name} promoted it by hand, past the gate, at {at}")
    assert below.strip() == "suite functional has not reported from fast-feedback"
    ways = [
        way["by_hand"]
        for stage in json.loads(status_of(shop, desk, "--json"))["stages"]
        for way in stage["promotions"]
    ]
    told = {"author": said.author.name, "known_from": "operating-system"}
    assert ways == [{**told, "at": said.decided_at.isoformat()}, None]
    shop.handle(shop.result(digest))
    assert "past the gate" not in status_of(shop, desk)


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
