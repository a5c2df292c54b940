"""What becomes of requests to look again: at one image, at a pipeline's, at all that wait."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from dev import images
from promotion import messages
from promotion.delivery import Message
from promotion.errors import (
    BadMessage,
    NotFound,
    PublishFailed,
)
from promotion.events import Event
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Reference, Repository, digest_of
from promotion.signals import Evaluate
from tests.topics import RecordedTopic
from tests.unit.attesting import attach, bundle
from tests.unit.lookouts import SIGNALS, Look, taking_signals
from tests.unit.shop import PUBLISHED, Shop
from tests.unit.test_evidence_ignored import remove


@pytest.fixture
def look(shop: Shop) -> Look:
    """Makes the part that takes signals."""
    return taking_signals(shop)


def test_each_image_that_waits_gets_a_message_of_its_own(shop: Shop, look: Look) -> None:
    """So that none holds up another."""
    digest = shop.push().digest
    again = RecordedTopic()
    look(again).evaluate(Evaluate(SIGNALS, PUBLISHED))
    (message,) = again.events
    assert json.loads(message.data) == {
        "evaluate": {"image": f"{shop.stage('fast-feedback').repository}:1.0", "digest": digest}
    }


def test_a_pipeline_can_be_looked_at_by_itself(shop: Shop, look: Look) -> None:
    """Schedules may differ."""
    head, pipelines = shop.promotion_yaml.split("pipelines:\n")
    stages, signals = pipelines.split("signals:")
    other = stages.replace("shop:", "other:").replace("/shop", "/other")
    shop.push()
    shop.written = f"{head}pipelines:\n{stages}{other}signals:{signals}"
    again = RecordedTopic()
    look(again).evaluate(Evaluate(SIGNALS, PUBLISHED, pipeline="other"))
    assert again.events == []
    look(again).evaluate(Evaluate(SIGNALS, PUBLISHED, pipeline="shop"))
    assert len(again.events) == 1


def test_a_request_for_a_pipeline_that_is_not_there_is_put_aside(look: Look) -> None:
    """Nothing would come of it, and whoever has sent it would not know."""
    with pytest.raises(BadMessage, match="There is no pipeline 'shpo', but shop"):
        look().evaluate(Evaluate(SIGNALS, PUBLISHED, pipeline="shpo"))


def test_what_a_lost_message_left_behind_is_promoted(shop: Shop, look: Look) -> None:
    """An image whose evidence is complete, and that nobody has looked at since, moves on."""
    text = shop.promotion_yaml
    shop.written = text.replace("[functional]", "[functional, nft]")
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.written = text
    look().evaluate(Evaluate(SIGNALS, PUBLISHED))
    assert shop.stage("extended-test").resolve("1.0") == digest


def test_an_image_that_cannot_be_judged_holds_up_no_other(shop: Shop, look: Look) -> None:
    """All others of its stage are looked at, though they come after it, and then it is told."""
    place = Repository(shop.near.host, "shop/fast-feedback/api")
    unreadable = RepositoryClient(place, shop.transport)
    lost = bundle(b"{}")
    attach(unreadable, images.push_image(unreadable, [b"tested"], tag="1.0"), lost)
    remove(unreadable, f"blobs/{digest_of(lost)}")
    digest = shop.push().digest
    text = shop.promotion_yaml
    shop.written = text.replace("[functional]", "[functional, nft]")
    shop.handle(shop.result(digest))
    shop.written = text
    with pytest.raises(NotFound):
        look().evaluate(Evaluate(SIGNALS, PUBLISHED))
    assert shop.stage("extended-test").resolve("1.0") == digest


def test_a_repeat_of_a_request_to_evaluate_tells_the_same(shop: Shop, look: Look) -> None:
    """A denial that rests on no statement has the time at which the request was published."""
    digest = shop.push().digest
    shop.push(content=b"moved", tag="1.0")
    image = Reference(shop.stage("fast-feedback").repository, "1.0")
    request = Evaluate(SIGNALS, PUBLISHED, image, digest)

    class Broken(RecordedTopic):
        """Takes events, and does not say so."""

        def publish(self, event: Event) -> str:
            super().publish(event)
            raise PublishFailed("no answer")

    whole, shop.topic = shop.topic, Broken()
    with pytest.raises(PublishFailed):
        look().evaluate(request)
    (lost,) = shop.topic.events
    shop.topic = whole
    shop.now += timedelta(minutes=1)
    look().evaluate(request)
    assert shop.topic.events == [lost]


def test_an_image_that_is_named_with_its_digest_is_the_same(shop: Shop, look: Look) -> None:
    """It came into its stage by a promotion, which is not told to be missing."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    name = f"{shop.stage('extended-test').repository}:1.0@{digest}"
    content = {"evaluate": {"image": name, "digest": digest}}
    before = len(shop.topic.events)
    read = messages.parse(Message(json.dumps(content).encode(), {}, "1", PUBLISHED, SIGNALS))
    assert isinstance(read, Evaluate)
    look().evaluate(read)
    assert shop.topic.events[before:] == []
