"""An evaluation that a decision has led to waits until that decision is listed.

One function writes what people decide, and the other one judges the image upon it: the registry's
list of what is attached to the image may lag behind.
"""

from __future__ import annotations

import json
from typing import NoReturn

import pytest

from dev.stack import three_stages
from promotion import configuration
from promotion.control import Control
from promotion.deadline import Deadline
from promotion.decision import Decision, GateName
from promotion.delivery import Message
from promotion.errors import EvidenceMissing, RegistryUnavailable
from promotion.events import PROMOTED, REVOKED, Event
from promotion.evidence.act import Kind
from promotion.lookout import Lookout
from promotion.messages import evaluation
from promotion.receiver import Receiver
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Descriptor
from promotion.registry.reference import Digest, Reference
from tests.topics import RecordedTopic
from tests.unit.promoting import evidence_store, promoter
from tests.unit.shop import PUBLISHED, Shop, kinds
from tests.unit.test_evidence_ignored import remove

SIGNALS = "projects/p/subscriptions/signals"
ATTEMPTS = 5
NEVER_WRITTEN = Digest("sha256:" + "0" * 64)


class Functions:
    """Both functions, each of which has just started whenever something comes.

    Attributes:
        shop: What they work on: images leave fast-feedback only when a person says so.
        dead_letters: What the one that judges has put aside.
    """

    def __init__(self, shop: Shop) -> None:
        text = three_stages(shop.near.host, shop.far.host)
        by_hand = text.replace("        gate:", "        auto: false\n        gate:", 1)
        shop.written = f"{by_hand}signals: {SIGNALS}\n"
        self.shop = shop
        self.dead_letters = RecordedTopic()

    def decide(self, kind: Kind, stage: str, digest: Digest) -> list[Event]:
        """Decide about version 1.0 in a stage; the messages that ask for evaluations."""
        asked = RecordedTopic()
        pipelines = configuration.parse("promotion.yaml", self.shop.promotion_yaml)
        control = Control(pipelines, self.shop.transport, evidence_store(pipelines), asked)
        gates: tuple[GateName, ...] = ("auto",) if kind is Kind.OVERRIDE else ()
        name = self.name(stage)
        decision = Decision(action=kind, image=name, digest=digest, reason="INC-7", gates=gates)
        control.decide(decision, "ann@acme.example")
        return asked.events

    def take(self, asked: Event, attempt: int = 1) -> list[Event]:
        """Deliver a message that came through the signals; the events that it led to."""
        shop = self.shop
        pipelines = configuration.parse("promotion.yaml", shop.promotion_yaml)
        judge = promoter(shop.promotion_yaml, shop.transport, shop.topic, lambda: shop.now)
        store = evidence_store(pipelines)
        lookout = Lookout(pipelines, shop.transport, store, judge, _no_inventory, None)
        receiver = Receiver(judge, lookout, self.dead_letters, ATTEMPTS)
        before = len(shop.topic.events)
        message = Message(asked.data, asked.attributes, "1", PUBLISHED, SIGNALS, attempt=attempt)
        receiver.receive(message)
        return shop.topic.events[before:]

    def name(self, stage: str) -> str:
        """Version 1.0 in a stage."""
        return f"{self.shop.stage(stage).repository}:1.0"


def _no_inventory(_: Deadline) -> NoReturn:
    raise AssertionError("nothing is listed to evaluate one image")


@pytest.fixture
def functions(shop: Shop) -> Functions:
    """Both functions."""
    return Functions(shop)


def lag(shop: Shop, digest: Digest, patch: pytest.MonkeyPatch) -> None:
    """Let the lists of what is attached to an image stay as they are now."""
    stages = [shop.stage(name) for name in ("fast-feedback", "extended-test", "prod")]
    listed = {each.repository: each.referrers(digest) for each in stages}
    patch.setattr(RepositoryClient, "referrers", lambda self, _: listed.get(self.repository, []))


@pytest.mark.parametrize("stage", ["fast-feedback", "prod"])
def test_a_revocation_is_told_once_it_is_listed(
    shop: Shop, functions: Functions, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Also in the last stage, which has no gate: until then the message comes again."""
    digest = shop.push(stage).digest
    with monkeypatch.context() as patch:
        lag(shop, digest, patch)
        (asked,) = functions.decide(Kind.REVOKE, stage, digest)
        for attempt in (1, 2):
            with pytest.raises(EvidenceMissing, match="does not list it yet"):
                functions.take(asked, attempt)
    assert shop.topic.events == []
    assert REVOKED in kinds(functions.take(asked, 3))
    assert functions.take(asked, 4) == []
    assert functions.dead_letters.events == []


def test_an_image_is_let_on_once_the_decision_is_listed(
    shop: Shop, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing but the scheduler would look at it again."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    with monkeypatch.context() as patch:
        lag(shop, digest, patch)
        (asked,) = functions.decide(Kind.PROMOTE, "fast-feedback", digest)
        with pytest.raises(EvidenceMissing):
            functions.take(asked)
    assert kinds(functions.take(asked, 2)) == [PROMOTED]


@pytest.mark.parametrize("kind", [Kind.PROMOTE, Kind.OVERRIDE])
def test_what_is_let_on_goes_as_far_as_it_qualifies(
    shop: Shop, functions: Functions, kind: Kind
) -> None:
    """As upon a result: the next gate may ask for no more than is known by then."""
    functions.shop.written = shop.promotion_yaml.replace(
        "[extended]", "[{suite: nft, from: fast-feedback}]"
    )
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, suite="nft"))
    (asked,) = functions.decide(kind, "fast-feedback", digest)
    assert kinds(functions.take(asked)) == [PROMOTED, PROMOTED]
    assert shop.stage("prod").resolve("1.0") == digest
    assert functions.take(asked, 2) == []


def test_a_release_is_waited_for_in_each_stage_that_it_is_stated_in(
    shop: Shop, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has a list of its own."""
    digest = shop.push("fast-feedback").digest
    shop.push("extended-test")
    with monkeypatch.context() as patch:
        lag(shop, digest, patch)
        asked = functions.decide(Kind.RELEASE, "extended-test", digest)
        named = {json.loads(each.data)["evaluate"]["image"] for each in asked}
        assert named == {functions.name(stage) for stage in ("fast-feedback", "extended-test")}
        for each in asked:
            with pytest.raises(EvidenceMissing):
                functions.take(each)
    for each in asked:
        functions.take(each, 2)


def test_what_is_never_listed_is_put_aside_with_the_last_attempt(
    shop: Shop, functions: Functions
) -> None:
    """And decides nothing: the next evaluation promotes the image, which qualifies."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    (asked,) = functions.decide(Kind.PROMOTE, "fast-feedback", digest)
    image = Reference.parse(functions.name("fast-feedback"))
    forged = evaluation(image, digest, NEVER_WRITTEN)
    for attempt in range(1, ATTEMPTS):
        with pytest.raises(EvidenceMissing):
            functions.take(forged, attempt)
    assert functions.take(forged, ATTEMPTS) == []
    (dead,) = functions.dead_letters.events
    assert dead.attributes["promotion-dlq-class"] == "retryable"
    assert NEVER_WRITTEN in dead.attributes["promotion-dlq-reason"]
    assert shop.stage("extended-test").resolve("1.0") is None
    assert kinds(functions.take(asked)) == [PROMOTED]


def test_a_revocation_is_told_though_the_image_cannot_be_judged(
    shop: Shop, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier stage may be down for long; what else the message asks for is done later."""
    digest = shop.push("extended-test").digest
    (asked,) = functions.decide(Kind.REVOKE, "extended-test", digest)
    listed = RepositoryClient.referrers

    def broken(repository: RepositoryClient, subject: Digest) -> list[Descriptor] | None:
        if "/fast-feedback/" in repository.repository.path:
            raise RegistryUnavailable("fast-feedback is down")
        return listed(repository, subject)

    with monkeypatch.context() as patch:
        patch.setattr(RepositoryClient, "referrers", broken)
        with pytest.raises(RegistryUnavailable):
            functions.take(asked)
    assert kinds(shop.topic.events) == [REVOKED]
    assert REVOKED not in kinds(functions.take(asked, 2))


@pytest.mark.parametrize("stage", ["fast-feedback", "prod"])
def test_an_image_that_is_gone_is_not_waited_for(
    shop: Shop, functions: Functions, stage: str
) -> None:
    """What was stated of it has gone with it."""
    digest = shop.push(stage).digest
    (asked,) = functions.decide(Kind.REVOKE, stage, digest)
    for each in shop.stage(stage).referrers(digest) or ():
        remove(shop.stage(stage), f"manifests/{each.digest}")
    remove(shop.stage(stage), f"manifests/{digest}")
    assert functions.take(asked) == []
    assert functions.dead_letters.events == []


@pytest.mark.parametrize("kind", [Kind.REVOKE, Kind.APPROVE, Kind.PROMOTE])
def test_an_image_that_is_gone_is_not_waited_for_where_it_went(
    shop: Shop, functions: Functions, kind: Kind
) -> None:
    """The stage that it was decided in was cleaned up, and the next one has the image still."""
    digest = shop.push().digest
    shop.push("extended-test")
    (asked,) = functions.decide(kind, "fast-feedback", digest)
    for each in shop.stage("fast-feedback").referrers(digest) or ():
        remove(shop.stage("fast-feedback"), f"manifests/{each.digest}")
    remove(shop.stage("fast-feedback"), f"manifests/{digest}")
    functions.take(asked)
    assert functions.dead_letters.events == []
