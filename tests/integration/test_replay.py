"""Dead letters go back to the topic that they came from, or stay where they are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dev.pubsub import PubSub, Received
from promotion import events
from promotion.delivery import Message
from promotion.publisher import PubSubTopic
from tests.integration.operated import Operated
from tests.integration.shop import PATIENCE


@pytest.fixture
def operated(pubsub: PubSub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operated:
    """A deployment of the test's own."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.host)
    return Operated(pubsub, tmp_path)


def put_aside(
    operated: Operated,
    data: bytes,
    topic: str,
    kind: str = "retryable",
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Put a message aside as the function does."""
    message = Message(data, attributes or {}, "1", datetime.now(UTC), topic=topic)
    letter = events.dead_letter(message, "the registry was out of order", kind)
    PubSubTopic(operated.dead_letters).publish(letter)


def test_what_can_succeed_by_now_goes_back(
    operated: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retryable letter is published as it was; a permanent one stays, with a word why."""
    attributes = {"ce-id": "7", "topic": "weather", "retry": "no", "original-author": "ann"}
    put_aside(operated, b"\x00later\xff", operated.topics["shop"], attributes=attributes)
    put_aside(operated, b"never", operated.topics["shop"], "permanent")

    assert operated.replay() == 0

    (replayed,) = operated.pubsub.pull("shop-results")
    assert (replayed.data, replayed.attributes) == (b"\x00later\xff", attributes)
    assert operated.left() == [b"never"]
    printed = capsys.readouterr().out
    assert f"went back to {operated.topics['shop']}" in printed
    assert "stays: its class is permanent" in printed
    assert "put aside because: the registry was out of order" in printed
    assert "1 replayed, 1 left where they are" in printed


def test_all_of_them_if_so_wanted(operated: Operated) -> None:
    """With ALL=1 permanent ones go back as well, each to its own topic."""
    put_aside(operated, b"one", operated.topics["shop"], "permanent")
    put_aside(operated, b"two", operated.topics["till"])
    assert operated.replay("--all") == 0
    assert [each.data for each in operated.pubsub.pull("shop-results")] == [b"one"]
    assert [each.data for each in operated.pubsub.pull("till-results")] == [b"two"]
    assert operated.left() == []


def test_only_topics_of_the_deployment(
    operated: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    """A letter that names another topic, or none, stays."""
    elsewhere = operated.pubsub.create_topic("payroll")
    operated.pubsub.create_subscription("payroll", "payroll")
    put_aside(operated, b"to payroll", elsewhere)
    operated.pubsub.publish(operated.dead_letters, b"from nowhere")
    assert operated.replay("--all") == 0
    assert operated.pubsub.pull("payroll", timeout=0) == []
    assert operated.left() == [b"from nowhere", b"to payroll"]
    printed = capsys.readouterr().out
    assert f"{elsewhere} is no topic of this deployment" in printed
    assert "no topic is recorded" in printed


def test_what_pubsub_put_aside_itself(operated: Operated) -> None:
    """What the function never answered goes back to its subscription's topic, whatever it claims.

    The publisher of the second message would have it replayed to another pipeline's topic.
    """
    forged = {"promotion-dlq-topic": operated.topics["till"], "promotion-dlq-class": "retryable"}
    operated.pubsub.publish(operated.topics["shop"], b"honest", {"ce-id": "7"})
    operated.pubsub.publish(operated.topics["shop"], b"forged", forged)
    for each in never_answered(operated, "shop", 2):
        operated.pubsub.publish(operated.dead_letters, each.data, each.attributes)

    assert operated.replay("--all") == 0

    (replayed,) = operated.pubsub.pull("shop-results")
    assert (replayed.data, replayed.attributes) == (b"honest", {"ce-id": "7"})
    assert operated.pubsub.pull("till-results", timeout=0) == []
    assert operated.left() == [b"forged"]


def never_answered(operated: Operated, pipeline: str, number: int) -> list[Received]:
    """Refuse a pipeline's messages until so many were put aside by Pub/Sub itself."""
    operated.pubsub.create_subscription("put-aside", f"{pipeline}-dead-letter")
    letters: list[Received] = []
    until = time.monotonic() + PATIENCE
    while len(letters) < number:
        assert time.monotonic() < until, letters
        operated.pubsub.refuse(operated.subscriptions[pipeline])
        letters += operated.pubsub.pull("put-aside", timeout=0)
    return letters


def test_what_its_topic_does_not_take_stays(
    operated: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where publishing fails the letter stays; those of other topics go back all the same."""
    gone = f"projects/{operated.pubsub.project}/topics/gone"
    subscription = f"projects/{operated.pubsub.project}/subscriptions/gone"
    operated.tell(
        push_subscriptions={
            subscription: gone,
            operated.subscriptions["shop"]: operated.topics["shop"],
        }
    )
    put_aside(operated, b"one", gone)
    put_aside(operated, b"two", gone)
    put_aside(operated, b"three", operated.topics["shop"])
    assert operated.replay() == 1
    assert [each.data for each in operated.pubsub.pull("shop-results")] == [b"three"]
    assert operated.left() == [b"one", b"two"]
    assert capsys.readouterr().out.count(f"{gone} did not take it: 404") == 2


def test_a_rehearsal_changes_nothing(
    operated: Operated, capsys: pytest.CaptureFixture[str]
) -> None:
    """With DRY_RUN=1 it is shown what would become of each letter, and nothing does."""
    put_aside(operated, b"later", operated.topics["shop"])
    put_aside(operated, b"never", operated.topics["shop"], "permanent")
    assert operated.replay("--dry-run") == 0
    assert operated.pubsub.pull("shop-results", timeout=0) == []
    assert operated.left() == [b"later", b"never"]
    printed = capsys.readouterr().out
    assert f"would go back to {operated.topics['shop']}" in printed
    assert "1 would be replayed, 1 left where they are" in printed


def test_no_more_than_so_many(operated: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    """With LIMIT no more letters are looked at; the next run has the rest."""
    for number in range(3):
        put_aside(operated, b"%d" % number, operated.topics["shop"])
    assert operated.replay("--limit", "2") == 0
    assert len(operated.pubsub.pull("shop-results")) == 2
    assert "there may be more than these 2" in capsys.readouterr().out
    assert operated.replay("--limit", "2") == 0
    assert len(operated.pubsub.pull("shop-results")) == 1
    assert operated.left() == []


def test_more_than_are_pulled_at_once(operated: Operated) -> None:
    """Each of many letters is treated once, though those that stay are there all the time."""
    for number in range(130):
        kind = "permanent" if number % 2 else "retryable"
        put_aside(operated, b"%d" % number, operated.topics["shop"], kind)
    assert operated.replay() == 0
    assert len(operated.pubsub.pull("shop-results")) == 65
    assert len(operated.left()) == 65


def test_without_the_right_to_read(operated: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    """That the dead letters cannot be read is said, with what to do."""
    operated.tell(dead_letter_subscription="projects/acme-ci/subscriptions/nowhere")
    assert operated.replay() == 1
    said = capsys.readouterr().err
    assert said.startswith("make replay-dead-letters: Could not read the dead letters of projects/")
    assert "roles/pubsub.subscriber" in said
