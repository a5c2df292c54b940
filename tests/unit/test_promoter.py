"""The way of an event, with real copies between embedded registries and the events kept."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion.errors import BadMessage, NotFound, RegistryUnavailable
from promotion.events import DENIED, PROMOTED, Event
from promotion.messages import Outcome, TestResult
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Reference, Repository, parse_digest
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.promoting import promoter
from tests.unit.shop import PUBLISHED, WRITES, Shop, codes, kinds, lost_and_repeated


def test_a_success_promotes_the_digest_that_was_tested(shop: Shop) -> None:
    """The image appears in the next stage, under its version, and the event says so."""
    image = shop.push()
    (event,) = shop.handle(shop.result(image.digest))
    assert shop.stage("extended-test").manifest("1.0") == image
    assert event.attributes["ce-type"] == PROMOTED
    assert json.loads(event.data)["destination"] == (
        f"{shop.near.host}/shop/extended-test/shop:1.0@{image.digest}"
    )


def test_an_image_goes_from_stage_to_stage(shop: Shop) -> None:
    """What extended-test received goes on to prod, in another registry, upon its own suite."""
    image = shop.push()
    shop.handle(shop.result(image.digest))
    (event,) = shop.handle(shop.result(image.digest, "extended-test", "extended"))
    assert shop.stage("prod").manifest("1.0") == image
    assert event.attributes["to_stage"] == "prod"


def test_a_repeated_message_has_one_effect(shop: Shop) -> None:
    """Nothing is written and nothing announced when the same result comes again."""
    image = shop.push()
    shop.handle(shop.result(image.digest))
    writes = shop.writes()
    assert shop.handle(shop.result(image.digest)) == []
    assert shop.writes() == writes


def test_a_later_success_is_not_announced_again(shop: Shop) -> None:
    """Another run of the suite, later, finds the promotion done and announced."""
    image = shop.push()
    shop.handle(shop.result(image.digest))
    later = replace(shop.result(image.digest), finished_at=PUBLISHED + timedelta(hours=1))
    assert shop.handle(later) == []


def test_what_was_tagged_but_not_announced_is_announced(shop: Shop) -> None:
    """After a failure to publish, the repeat copies nothing and publishes the very same event."""
    image = shop.push()
    (complete,) = shop.handle(shop.result(image.digest))
    shop.push(tag="2.0")
    result = replace(
        shop.result(image.digest), image=Reference(shop.stage("fast-feedback").repository, "2.0")
    )
    (lost, repeated) = lost_and_repeated(shop, result)
    assert repeated == lost != complete


def test_a_failure_is_denied(shop: Shop) -> None:
    """A failed suite is answered by a denied event, and nothing is copied."""
    image = shop.push()
    (event,) = shop.handle(shop.result(image.digest, outcome=Outcome.FAILURE))
    assert (kinds([event]), codes(event)) == ([DENIED], ["suite-failed"])
    assert not shop.stage("extended-test").has_manifest(image.digest)


def test_a_denial_is_announced_once(shop: Shop) -> None:
    """Neither a redelivery nor a success of another suite tells again what was told."""
    image = shop.push()
    failed = shop.result(image.digest, outcome=Outcome.FAILURE)
    assert kinds(shop.handle(failed)) == [DENIED]
    assert shop.handle(failed) == []


def test_another_failure_is_another_denial(shop: Shop) -> None:
    """A suite that fails again, at another time, is told of again, with an id of its own."""
    image = shop.push()
    failed = shop.result(image.digest, outcome=Outcome.FAILURE)
    (one,) = shop.handle(failed)
    (other,) = shop.handle(replace(failed, finished_at=PUBLISHED + timedelta(hours=1)))
    assert one.attributes["ce-id"] != other.attributes["ce-id"]


def test_a_denial_that_could_not_be_announced_is_the_same_when_repeated(shop: Shop) -> None:
    """Whoever receives both can tell that they are one."""
    result = shop.result(shop.push().digest, outcome=Outcome.FAILURE)
    (lost, repeated) = lost_and_repeated(shop, result)
    assert lost == repeated


def test_a_success_after_a_failure_promotes(shop: Shop) -> None:
    """A re-run that passes lifts what an earlier one has denied."""
    image = shop.push()
    shop.handle(shop.result(image.digest, outcome=Outcome.FAILURE))
    repaired = replace(shop.result(image.digest), finished_at=PUBLISHED + timedelta(seconds=1))
    assert kinds(shop.handle(repaired)) == [PROMOTED]


@pytest.mark.parametrize("outcome", [Outcome.CANCEL, Outcome.ERROR])
def test_an_inconclusive_run_waits(shop: Shop, outcome: Outcome) -> None:
    """A cancelled or broken run says nothing about the image: no event, no copy."""
    image = shop.push()
    assert shop.handle(shop.result(image.digest, outcome=outcome)) == []
    assert shop.stage("extended-test").resolve("1.0") is None


def test_a_tag_that_moved_is_denied(shop: Shop) -> None:
    """The tag names other content than was tested: nothing is promoted, and both are named."""
    tested = shop.push(content=b"tested")
    now = shop.push(content=b"pushed over it")
    (event,) = shop.handle(shop.result(tested.digest))
    assert codes(event) == ["tag-moved"]
    assert tested.digest in event.data.decode()
    assert now.digest in event.data.decode()
    assert shop.stage("extended-test").tags() == []


def test_a_taken_version_is_denied(shop: Shop) -> None:
    """The version exists at the destination with other content: it is never overwritten."""
    image = shop.push()
    other = shop.push(stage="extended-test", content=b"other")
    (event,) = shop.handle(shop.result(image.digest))
    assert codes(event) == ["tag-conflict"]
    assert other.digest in event.data.decode()
    assert image.digest in event.data.decode()
    assert not shop.stage("extended-test").has_manifest(image.digest)
    assert shop.stage("extended-test").resolve("1.0") == other.digest


def test_a_race_for_the_tag_that_is_lost_is_denied(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer sets the tag right after us: read back, it is a denial with both digests."""
    image = shop.push()
    other = shop.push(stage="extended-test", content=b"other", tag="other")
    written = RepositoryClient.put_manifest

    def put_manifest(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        listed = written(repository, manifest, tag)
        return written(repository, other, tag) if tag == "1.0" else listed

    monkeypatch.setattr(RepositoryClient, "put_manifest", put_manifest)
    (event,) = shop.handle(shop.result(image.digest))
    assert codes(event) == ["tag-conflict"]
    assert other.digest in event.data.decode()


def test_the_tag_comes_last(shop: Shop) -> None:
    """By the time that the version can be seen, every other write has been done."""
    image = shop.push()
    before = len(shop.near.served)
    shop.handle(shop.result(image.digest))
    paths = [s.path for s in shop.near.served[before:] if s.method in WRITES]
    tag = paths.index("/v2/shop/extended-test/shop/manifests/1.0")
    of_the_image = [path for path in paths if "mount=" in path or image.digest in path]
    assert of_the_image
    assert all(paths.index(path) < tag for path in of_the_image)


def test_an_image_that_is_not_there_yet_is_waited_for(shop: Shop) -> None:
    """For ten minutes after publishing, a missing image is a reason to try again."""
    shop.now = PUBLISHED + timedelta(minutes=9, seconds=59)
    image = shop.push(tag="other")
    with pytest.raises(NotFound, match="waits 10 minutes"):
        shop.handle(shop.result(image.digest))
    assert shop.topic.events == []


def test_an_image_that_never_came_is_denied(shop: Shop) -> None:
    """After ten minutes it is a denial."""
    shop.now = PUBLISHED + timedelta(minutes=10)
    image = shop.push(tag="other")
    (event,) = shop.handle(shop.result(image.digest))
    assert codes(event) == ["not-at-source"]


@pytest.mark.parametrize(("stage", "suite"), [("fast-feedback", "lint"), ("prod", "functional")])
def test_a_result_that_no_gate_asks_for_is_recorded(shop: Shop, stage: str, suite: str) -> None:
    """Other suites, and the last stage, lead to a statement on the image, and to no verdict."""
    image = shop.push(stage=stage)
    assert shop.handle(shop.result(image.digest, stage, suite)) == []
    assert [run.said.suite for run in shop.evidence(stage, image.digest).runs] == [suite]


def test_what_is_not_there_is_not_said_to_be_recorded(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """A result of a suite that no gate asks for, about an image that never came."""
    caplog.set_level(logging.INFO, "promotion")
    shop.now = PUBLISHED + timedelta(minutes=10)
    result = shop.result(parse_digest(f"sha256:{'a' * 64}"), suite="lint")
    assert shop.handle(result) == []
    (line,) = caplog.messages
    assert line == f"not stated, since the image is not there: {result.image}"


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("evil.example/shop/fast-feedback/shop:1.0", "no stage uses; promotion.yaml knows"),
        ("{host}/shop/elsewhere/shop:1.0", "in no stage; promotion.yaml knows"),
        ("{host}/shop/fast-feedback:1.0", "in no stage"),
        ("{host}/shop/fast-feedback-2/shop:1.0", "in no stage"),
    ],
)
def test_an_image_of_no_stage_is_refused_before_any_request(
    shop: Shop, reference: str, complaint: str
) -> None:
    """Where requests go is the configuration's decision, never a message's."""
    result = shop.result(shop.push().digest)
    requests = len(shop.near.served)
    elsewhere = Reference.parse(reference.format(host=shop.near.host))
    with pytest.raises(BadMessage, match=complaint):
        shop.handle(replace(result, image=elsewhere))
    assert len(shop.near.served) == requests


def test_results_count_only_through_their_subscription(shop: Shop) -> None:
    """A pipeline that names its subscription takes results from no other."""
    shop.results = "projects/p/subscriptions/shop-results"
    result = shop.result(shop.push().digest)
    for subscription in ("", "projects/p/subscriptions/other"):
        with pytest.raises(BadMessage, match="count only if they come through"):
            shop.handle(replace(result, subscription=subscription))
    assert kinds(shop.handle(replace(result, subscription=shop.results))) == [PROMOTED]


def test_one_destination_does_not_hold_up_another(
    near: EmbeddedRegistry,
    far: EmbeddedRegistry,
    transport: Transport,
    free_host: Callable[[], str],
) -> None:
    """With two next stages of which one is down, the other is promoted to, once."""
    text = f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {near.host}/shop
        promotes_to: [down, up]
        gate: {{suites: [functional]}}
      down: {{registry: {free_host()}/shop}}
      up: {{registry: {far.host}/shop}}
"""
    topic = RecordedTopic()
    started = promoter(text, transport, topic)
    source = RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)
    image = images.push_image(source, [b"tested"], tag="1.0")
    now = datetime.now(UTC)
    reference = Reference(source.repository, "1.0")
    result = TestResult(reference, image.digest, "functional", Outcome.SUCCESS, now, now)
    for _ in range(2):
        with pytest.raises(RegistryUnavailable, match="shop/down/shop"):
            started.handle(result)
    assert [event.attributes["to_stage"] for event in topic.events] == ["up"]


def test_an_older_version_is_superseded(shop: Shop) -> None:
    """With a newer one of the same line in the next stage, nothing is copied, and it is said."""
    images.push_image(shop.stage("extended-test"), [b"newer"], tag="1.4.3")
    image = shop.push(tag="1.4.2")
    reference = Reference(shop.stage("fast-feedback").repository, "1.4.2")
    (event,) = shop.handle(replace(shop.result(image.digest), image=reference))
    assert codes(event) == ["superseded"]
    assert shop.stage("extended-test").resolve("1.4.2") is None


def test_a_destination_that_takes_long_does_not_hold_up_another(
    near: EmbeddedRegistry,
    far: EmbeddedRegistry,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is promoted to the second one is announced while the first one is still written to."""
    text = f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {near.host}/shop
        promotes_to: [slow, quick]
        gate: {{suites: [functional]}}
      slow: {{registry: {near.host}/shop}}
      quick: {{registry: {far.host}/shop}}
"""
    announced = threading.Event()

    class Announced(RecordedTopic):
        def publish(self, event: Event) -> str:
            announced.set()
            return super().publish(event)

    put = RepositoryClient.put_manifest

    def put_manifest(repository: RepositoryClient, manifest: Manifest, tag: str = "") -> bool:
        if repository.repository.path == "shop/slow/shop":
            assert announced.wait(60)
        return put(repository, manifest, tag)

    source = RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)
    image = images.push_image(source, [b"tested"], tag="1.0")
    monkeypatch.setattr(RepositoryClient, "put_manifest", put_manifest)
    topic = Announced()
    reference = Reference(source.repository, "1.0")
    now = datetime.now(UTC)
    result = TestResult(reference, image.digest, "functional", Outcome.SUCCESS, now, now)
    promoter(text, transport, topic).handle(result)
    assert [event.attributes["to_stage"] for event in topic.events] == ["quick", "slow"]
