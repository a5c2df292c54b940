"""The way of an event: several suites, promotion records, and what may happen in between."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from dev.stack import three_stages
from promotion import configuration, effects, policy
from promotion.errors import EvidenceMissing, RegistryUnavailable
from promotion.events import DENIED, PROMOTED, REVOKED, WAITING, WOULD_PROMOTE, Event
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.messages import Outcome
from promotion.registry import copy as engine
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Descriptor, Manifest
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.report import Copied
from tests.unit.promoting import evidence_store, promoter
from tests.unit.shop import PUBLISHED, Shop, codes, kinds

SUITES = ("functional", "nft", "integration")


def asking_for(shop: Shop, suites: str) -> str:
    """A promotion.yaml of three stages whose first gate asks for these suites."""
    return three_stages(shop.near.host, shop.far.host).replace("[functional]", suites)


ALL = "[functional, nft, integration]"


@pytest.mark.parametrize("order", list(itertools.permutations(SUITES)), ids=",".join)
def test_an_image_leaves_when_the_last_suite_has_reported(shop: Shop, order: Sequence[str]) -> None:
    """In whatever order they report: no event before the last one, and one event then."""
    shop.written = asking_for(shop, ALL)
    digest = shop.push().digest
    *early, last = [shop.result(digest, suite=suite) for suite in order]
    for result in early:
        assert shop.handle(result) == []
        assert shop.stage("extended-test").tags() == []
    (event,) = shop.handle(last)
    assert codes(event) == ["suite-succeeded"] * 3
    assert len(json.loads(event.data)["evidence"]) == 3
    assert shop.stage("extended-test").resolve("1.0") == digest


def test_suites_that_finish_together_promote_once(shop: Shop) -> None:
    """Three results at the same time, in one process: at least one sees all, one event goes out."""
    shop.written = asking_for(shop, ALL)
    digest = shop.push().digest
    started = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now)
    results = [shop.result(digest, suite=suite) for suite in SUITES]
    with ThreadPoolExecutor(len(results)) as threads:
        list(threads.map(started.handle, results))
    assert kinds(shop.topic.events) == [PROMOTED]
    assert shop.stage("extended-test").resolve("1.0") == digest


def test_evidence_outlives_the_function(shop: Shop) -> None:
    """A function that knows nothing judges by what earlier ones have left in the registry."""
    shop.written = asking_for(shop, ALL)
    digest = shop.push().digest
    for suite in SUITES[:2]:
        shop.handle(shop.result(digest, suite=suite))
    (event,) = shop.handle(shop.result(digest, suite=SUITES[2]))
    assert event.attributes["ce-type"] == PROMOTED


def test_evidence_goes_with_the_image(shop: Shop) -> None:
    """At the destination, in another registry too, lies all that the promotions rest on."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, "extended-test", "extended"))
    there = shop.evidence("prod", digest)
    assert {run.said.suite for run in there.runs} == {"functional", "extended"}
    assert {record.said.to_stage for record in there.records} == {"extended-test", "prod"}
    assert there.ignored == ()


def test_a_promotion_is_recorded_with_what_it_rests_on(shop: Shop) -> None:
    """The record names policy, evidence and event; the policy's URI resolves to promotion.yaml."""
    digest = shop.push().digest
    (event,) = shop.handle(shop.result(digest))
    there = shop.evidence("extended-test", digest)
    (record,) = there.records
    assert record.said.event_id == event.attributes["ce-id"]
    assert record.said.evidence == [run.basis.attestation for run in there.runs]
    place, _, name = record.said.policy.uri.removeprefix("oci://").partition("@")
    kept = policy.read(RepositoryClient(Repository.parse(place), shop.transport), name)
    assert kept.text.decode() == shop.promotion_yaml
    assert record.said.policy.digest == {"sha256": hashlib.sha256(kept.text).hexdigest()}


def test_the_record_is_there_before_the_tag(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time that the version can be seen, its record can be read."""
    digest = shop.push().digest
    seen: list[int] = []
    put = RepositoryClient.put_manifest

    def put_manifest(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        if tag == "1.0":
            seen.append(len(shop.evidence("extended-test", digest).records))
        return put(repository, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", put_manifest)
    shop.handle(shop.result(digest))
    assert seen == [1]


def test_a_crash_between_record_and_tag_is_healed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The redelivery sets the tag, upon the record that is there, and announces what that says."""
    digest = shop.push().digest
    put = RepositoryClient.put_manifest

    def fail(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        if tag == "1.0":
            raise RegistryUnavailable("gone")
        return put(repository, manifest, tag)

    monkeypatch.setattr(RepositoryClient, "put_manifest", fail)
    with pytest.raises(RegistryUnavailable):
        shop.handle(shop.result(digest))
    monkeypatch.setattr(RepositoryClient, "put_manifest", put)
    shop.now += timedelta(hours=1)
    (event,) = shop.handle(shop.result(digest))
    (record,) = shop.evidence("extended-test", digest).records
    assert record.said.decided_at == PUBLISHED
    assert json.loads(event.data)["timestamp"] == "2026-01-31T12:00:00Z"
    assert shop.stage("extended-test").resolve("1.0") == digest


def test_a_failure_that_arrives_during_the_copy_keeps_the_tag_from_being_set(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative evidence is looked for once more before the image can be seen."""
    shop.written = asking_for(shop, "[functional, nft]")
    digest = shop.push().digest
    shop.handle(shop.result(digest, suite="functional"))
    failed = shop.result(digest, suite="functional", outcome=Outcome.FAILURE)
    late = replace(failed, finished_at=PUBLISHED + timedelta(seconds=1))
    told: list[Event] = []

    def copy(*arguments: object, **more: object) -> Copied:
        monkeypatch.undo()
        told.extend(shop.handle(late))
        return engine.copy(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(effects, "copy", copy)
    assert shop.handle(shop.result(digest, suite="nft"))[1:] == []
    assert kinds(told) == [DENIED]
    assert shop.stage("extended-test").tags() == []


def test_an_image_that_was_pushed_past_a_gate_goes_nowhere(shop: Shop) -> None:
    """Without a promotion record into its stage, no success lets it leave."""
    digest = shop.push("extended-test").digest
    (event,) = shop.handle(shop.result(digest, "extended-test", "extended"))
    assert codes(event) == ["no-record"]
    assert shop.stage("prod").tags() == []


def test_a_stage_may_let_any_image_in(shop: Shop) -> None:
    """With ``entry: any`` images count wherever they come from."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("extended-test:\n", "extended-test:\n        entry: any\n")
    digest = shop.push("extended-test").digest
    (event,) = shop.handle(shop.result(digest, "extended-test", "extended"))
    assert event.attributes["ce-type"] == PROMOTED


def test_a_tag_that_was_set_past_the_gate_gets_its_record(shop: Shop) -> None:
    """Once the gate says PROMOTE, an image that somebody has copied before is on record too."""
    digest = shop.push().digest
    shop.push("extended-test")
    (event,) = shop.handle(shop.result(digest))
    assert event.attributes["ce-type"] == PROMOTED
    assert len(shop.evidence("extended-test", digest).records) == 1


def test_a_failure_counts_in_every_later_stage(shop: Shop) -> None:
    """A late failure keeps the image from going on from wherever it is, until it is repaired."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    failed = shop.result(digest, outcome=Outcome.FAILURE)
    told = shop.handle(replace(failed, finished_at=PUBLISHED + timedelta(seconds=1)))
    assert kinds(told) == [REVOKED, DENIED]
    assert [(each.attributes["to_stage"], codes(each)) for each in told] == [
        ("extended-test", ["suite-failed"]),
        ("prod", ["suite-failed-upstream"]),
    ]
    assert shop.handle(shop.result(digest, "extended-test", "extended")) == []
    assert shop.stage("prod").tags() == []
    repaired = replace(shop.result(digest), finished_at=PUBLISHED + timedelta(seconds=2))
    (event,) = shop.handle(repaired)
    assert (event.attributes["verdict"], event.attributes["to_stage"]) == ("PROMOTE", "prod")


def test_a_late_failure_tells_of_all_ways_that_the_image_has_gone(shop: Shop) -> None:
    """Where a stage promotes to several, the one event names what was reached on each way."""
    host = shop.near.host
    gate = "gate: {suites: [functional]}"
    shop.written = f"""\
pipelines:
  shop:
    stages:
      fast-feedback: {{registry: {host}/shop, promotes_to: [europe, asia], {gate}}}
      europe: {{registry: {host}/shop}}
      asia: {{registry: {host}/shop}}
"""
    digest = shop.push().digest
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED] * 2
    (event,) = shop.handle(shop.result(digest, outcome=Outcome.FAILURE))
    assert kinds([event]) == [REVOKED]
    assert event.attributes["to_stage"] == "europe"
    assert json.loads(event.data)["stages"] == ["europe", "asia"]


def test_a_failure_after_the_promotion_revokes_it_once(shop: Shop) -> None:
    """The event names the stages that the image has reached; a repeat says nothing."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, "extended-test", "extended"))
    failed = replace(
        shop.result(digest, outcome=Outcome.FAILURE), finished_at=PUBLISHED + timedelta(hours=1)
    )
    (event,) = shop.handle(failed)
    assert kinds([event]) == [REVOKED]
    assert json.loads(event.data)["stages"] == ["extended-test", "prod"]
    assert shop.handle(failed) == []


def test_a_revocation_by_a_person_is_told_once(shop: Shop) -> None:
    """Of an image in its last stage too, with who has decided it, and why."""
    image = shop.push("prod")
    repository = shop.stage("prod")
    act = Act(
        Kind.REVOKE,
        "shop",
        "",
        str(repository.repository),
        "ann@example.com",
        "it loses orders",
        PUBLISHED,
    )
    store = evidence_store(configuration.parse("promotion.yaml", shop.promotion_yaml))
    store.attach(repository, image, act, Evidence())
    started = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now)
    for _ in range(2):
        started.look_again(Reference(repository.repository, "1.0"), image.digest, PUBLISHED)
    (event,) = shop.topic.events
    data = json.loads(event.data)
    assert event.attributes["ce-type"] == REVOKED
    assert data["findings"][0]["message"] == "revoked by ann@example.com: it loses orders"
    assert data["stages"] == ["prod"]


def test_nothing_is_decided_while_an_earlier_stage_cannot_be_asked(
    shop: Shop, free_host: Callable[[], str]
) -> None:
    """A failure may lie there: the message comes again, and the image stays where it is."""
    text = three_stages(shop.near.host, shop.far.host)
    text = text.replace(f"{shop.near.host}/shop", f"{free_host()}/shop", 1)
    shop.written = text.replace("extended-test:\n", "extended-test:\n        entry: any\n")
    digest = shop.push("extended-test").digest
    with pytest.raises(RegistryUnavailable, match="shop/fast-feedback/shop"):
        shop.handle(shop.result(digest, "extended-test", "extended"))
    assert shop.topic.events == []
    assert shop.stage("prod").tags() == []


def test_an_image_that_waits_for_too_long_is_told_of_once(shop: Shop) -> None:
    """A forgotten suite is not silent: what is missing is named, when it was expected before."""
    text = asking_for(shop, "[functional, nft]")
    shop.written = text.replace("fast-feedback:\n", "fast-feedback:\n        expect_within: 2h\n")
    digest = shop.push().digest
    assert shop.handle(shop.result(digest)) == []
    started = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now)
    image = Reference(shop.stage("fast-feedback").repository, "1.0")
    for hours in (2, 0, 1, 1):
        shop.now += timedelta(hours=hours)
        started.look_again(image, digest, PUBLISHED)
    (event,) = shop.topic.events
    assert event.attributes["ce-type"] == WAITING
    assert codes(event) == ["suite-missing"]
    assert json.loads(event.data)["timestamp"] == "2026-01-31T12:00:00Z"


def test_a_suite_of_another_stage_moves_the_image_when_it_reports(shop: Shop) -> None:
    """A gate that asks for a suite from another stage judges when that one has reported there."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("[extended]", "[extended, {suite: nft, from: fast-feedback}]")
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    assert shop.handle(shop.result(digest, "extended-test", "extended")) == []
    (event,) = shop.handle(shop.result(digest, suite="nft"))
    assert (event.attributes["from_stage"], event.attributes["to_stage"]) == (
        "extended-test",
        "prod",
    )


def test_a_suite_of_another_stage_may_report_before_the_image_is_there(shop: Shop) -> None:
    """That the image is not in the stage yet is no reason for an event, nor to try again."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("[extended]", "[extended, {suite: nft, from: fast-feedback}]")
    digest = shop.push().digest
    assert shop.handle(shop.result(digest, suite="nft")) == []


def test_an_observed_pipeline_says_what_it_would_do(shop: Shop) -> None:
    """Judged and recorded, announced once, and nothing copied."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("    stages:\n", "    mode: observe\n    stages:\n", 1)
    digest = shop.push().digest
    assert kinds(shop.handle(shop.result(digest))) == [WOULD_PROMOTE]
    assert shop.handle(shop.result(digest)) == []
    assert shop.stage("extended-test").tags() == []
    assert not shop.stage("extended-test").has_manifest(digest)
    (run,) = shop.evidence("fast-feedback", digest).runs
    assert run.said.passed


def test_an_observed_pipeline_judges_what_others_have_promoted(shop: Shop) -> None:
    """The way that is in use beside it leaves no records, so none are asked for."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("    stages:\n", "    mode: observe\n    stages:\n", 1)
    digest = shop.push("extended-test").digest
    told = shop.handle(shop.result(digest, "extended-test", "extended"))
    assert kinds(told) == [WOULD_PROMOTE]


def test_a_statement_that_is_not_listed_yet_is_waited_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one's own statement in the list, others may be missing too: try again."""

    def nothing(_: RepositoryClient, __: Digest) -> list[Descriptor]:
        return []

    digest = shop.push().digest
    monkeypatch.setattr(RepositoryClient, "referrers", nothing)
    with pytest.raises(EvidenceMissing, match="does not list it yet"):
        shop.handle(shop.result(digest))
    assert shop.topic.events == []


def test_a_statement_that_is_not_listed_yet_is_waited_for_further_on_too(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the last one that the image waits for in a later stage: nothing is acknowledged."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("[extended]", "[extended, {suite: nft, from: fast-feedback}]")
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, "extended-test", "extended"))
    listed = RepositoryClient.referrers
    known = shop.stage("fast-feedback").referrers(digest)

    def too_early(repository: RepositoryClient, subject: Digest) -> list[Descriptor] | None:
        early = repository.repository.path == "shop/fast-feedback/shop"
        return known if early else listed(repository, subject)

    monkeypatch.setattr(RepositoryClient, "referrers", too_early)
    with pytest.raises(EvidenceMissing, match="does not list it yet"):
        shop.handle(shop.result(digest, suite="nft"))
    monkeypatch.setattr(RepositoryClient, "referrers", listed)
    assert kinds(shop.handle(shop.result(digest, suite="nft"))) == [PROMOTED]


def test_a_record_that_a_failure_has_overtaken_is_not_used_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was recorded, and not tagged for a failure, is recorded anew once that is repaired."""
    digest = shop.push().digest
    failed = replace(
        shop.result(digest, outcome=Outcome.FAILURE),
        finished_at=PUBLISHED + timedelta(seconds=1),
    )
    record = effects.Effects._record

    def recorded(self: effects.Effects, *arguments: object) -> object:
        monkeypatch.undo()
        written = record(self, *arguments)  # type: ignore[arg-type]
        shop.handle(failed)
        return written

    monkeypatch.setattr(effects.Effects, "_record", recorded)
    shop.handle(shop.result(digest))
    assert shop.stage("extended-test").tags() == []
    shop.now += timedelta(hours=1)
    repaired = replace(shop.result(digest), finished_at=PUBLISHED + timedelta(minutes=1))
    (event,) = shop.handle(repaired)
    assert json.loads(event.data)["timestamp"] == "2026-01-31T13:00:00Z"
    assert len(shop.evidence("extended-test", digest).records) == 2


def test_a_failure_through_another_subscription_keeps_nothing_from_being_promoted(
    shop: Shop,
) -> None:
    """What a suite's own subscription alone may say, another one cannot take back either."""
    nft, functional = "projects/p/subscriptions/nft", "projects/p/subscriptions/functional"
    shop.written = asking_for(shop, f"[functional, {{suite: nft, via: {nft}}}]")
    digest = shop.push().digest
    succeeded = replace(shop.result(digest, suite="nft"), subscription=nft)
    failed = replace(
        shop.result(digest, suite="nft", outcome=Outcome.FAILURE),
        finished_at=PUBLISHED + timedelta(seconds=1),
        subscription=functional,
    )
    assert shop.handle(succeeded) == shop.handle(failed) == []
    assert kinds(shop.handle(shop.result(digest))) == [PROMOTED]
    assert len(shop.evidence("extended-test", digest).records) == 1
