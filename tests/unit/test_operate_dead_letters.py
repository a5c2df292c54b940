"""Which dead letters may go back, and where to."""

from __future__ import annotations

import pytest

from operate.dead_letters import Keep, Letter, Replay, decide

SHOP, TILL = "projects/acme-ci/topics/shop-results", "projects/acme-ci/topics/till-results"
SOURCES = {
    "projects/acme-ci/subscriptions/shop": SHOP,
    "projects/acme-ci/subscriptions/till": TILL,
}
RETRYABLE = frozenset({"retryable"})
BY_FUNCTION = {"promotion-dlq-topic": SHOP, "promotion-dlq-class": "retryable"}
BY_PUBSUB = {
    "CloudPubSubDeadLetterSourceSubscription": "shop",
    "CloudPubSubDeadLetterSourceSubscriptionProject": "acme-ci",
    "CloudPubSubDeadLetterSourceDeliveryCount": "100",
}
EVERY = frozenset[str]()


def letter(**attributes: str) -> Letter:
    """A letter with these attributes."""
    return Letter("1", b"{}", attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        BY_FUNCTION,
        BY_PUBSUB,
        {**BY_FUNCTION, **BY_PUBSUB},
        {
            **BY_PUBSUB,
            "CloudPubSubDeadLetterSourceSubscription": "projects/acme-ci/subscriptions/shop",
        },
    ],
    ids=["the function", "Pub/Sub", "both", "Pub/Sub, in full"],
)
def test_whoever_recorded_its_topic(attributes: dict[str, str]) -> None:
    """It goes back to where the function or Pub/Sub says that it came from."""
    assert decide(letter(**attributes), SOURCES, RETRYABLE) == Replay(SHOP)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({**BY_FUNCTION, "promotion-dlq-class": "permanent"}, "its class is permanent"),
        ({}, "no topic is recorded"),
        ({**BY_FUNCTION, "promotion-dlq-topic": ""}, "no topic is recorded"),
        ({**BY_FUNCTION, "promotion-dlq-topic": "projects/evil/topics/t"}, "is no topic of this"),
        ({**BY_FUNCTION, "promotion-dlq-topic": f"{SHOP}/"}, "is no topic of this"),
        ({**BY_PUBSUB, "promotion-dlq-topic": ""}, "no topic is recorded"),
        ({**BY_PUBSUB, "promotion-dlq-topic": TILL}, "it names two topics"),
        (
            {**BY_PUBSUB, "CloudPubSubDeadLetterSourceSubscriptionProject": "evil"},
            "projects/evil/subscriptions/shop is no topic of this deployment",
        ),
        (
            {**BY_FUNCTION, "CloudPubSubDeadLetterSourceSubscription": "till"},
            "it names two topics",
        ),
    ],
)
def test_what_stays(attributes: dict[str, str], reason: str) -> None:
    """It stays where its class, or what it says of its origin, does not let it go."""
    decision = decide(letter(**attributes), SOURCES, RETRYABLE)
    assert isinstance(decision, Keep)
    assert reason in decision.reason


def test_every_class_if_so_wanted() -> None:
    """Without a list of classes a permanent one goes back too, and to its own topic alone."""
    permanent = {**BY_FUNCTION, "promotion-dlq-class": "permanent"}
    assert decide(letter(**permanent), SOURCES, EVERY) == Replay(SHOP)
    forged = {**permanent, "promotion-dlq-topic": "projects/evil/topics/t"}
    assert isinstance(decide(letter(**forged), SOURCES, EVERY), Keep)


def test_its_attributes_as_they_were() -> None:
    """What was added when it was put aside is taken off, and what was renamed is named again."""
    own = {"ce-id": "7", "smoke": "0.0.1", "original-author": "ann"}
    added = {**BY_FUNCTION, **BY_PUBSUB, "promotion-dlq-reason": "out of order"}
    renamed = {"original-topic": "weather", "original-ordering_key": "k"}
    restored = letter(**own, **added, **renamed).original
    assert restored == {**own, "topic": "weather", "ordering_key": "k"}
