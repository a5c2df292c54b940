"""A message that can have no effect is put aside as it came, with the reason, and acknowledged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dev.stack import RESULTS
from tests.integration.busybox import Busybox
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, PROD, VERSION, Shop, encode

DIGEST = "sha256:" + "0" * 64
Make = Callable[[Shop], object]

BAD_MESSAGES: dict[str, tuple[Make, str]] = {
    "not JSON": (lambda _: b"\x00passed\xff", "JSON is malformed"),
    "without data": (lambda _: b"", "Input data was truncated"),
    "not an object": (lambda _: [], "Expected `object`, got `array`"),
    "a field missing": (lambda shop: {"image": shop.name}, "missing required field `digest`"),
    "unknown outcome": (
        lambda shop: shop.result(DIGEST, outcome="perhaps"),
        "Invalid enum value 'perhaps'",
    ),
    "not a digest": (lambda shop: shop.result("sha256:1"), "'sha256:1' is not a digest"),
    "unknown host": (
        lambda shop: shop.result(DIGEST, image=f"registry.example/shop/{shop.name}:{VERSION}"),
        "is on the registry registry.example, which no stage uses",
    ),
    "path of no stage": (
        lambda shop: shop.result(DIGEST, image=shop.image(PROD).replace("prod", "attic", 1)),
        "is in no stage",
    ),
    "without tag": (
        lambda shop: shop.result(DIGEST, image=f"{shop.repository(PROD).repository}@{DIGEST}"),
        "has no tag",
    ),
    "from the future": (
        lambda shop: shop.result(DIGEST, finished_at="2999-01-01T00:00:00Z"),
        "more than 5 minutes after the message was published",
    ),
}


@pytest.mark.parametrize(("make", "reason"), BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_bad_message(shop: Shop, make: Make, reason: str) -> None:
    """The dead letter holds the message and the true reason, whatever its publisher forged."""
    content = encode(make(shop))
    forged = {"promotion-dlq-reason": "none", "promotion-dlq-class": "retryable"}
    shop.publish(content, {**forged, "promotion-dlq-topic": "elsewhere", "ce-id": "7"})

    letter = shop.dead_letters.next()

    assert letter.data == content
    assert reason in letter.attributes.pop("promotion-dlq-reason")
    assert letter.attributes == {
        "shop": shop.name,
        "ce-id": "7",
        "promotion-dlq-class": "permanent",
        "promotion-dlq-topic": f"projects/{shop.stack.pubsub.project}/topics/{RESULTS}",
    }


def test_wrong_subscription(shop: Shop, busybox: Busybox) -> None:
    """A result that came through another subscription than the pipeline's is put aside."""
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    pubsub = shop.stack.pubsub
    topic = pubsub.create_topic("forged-results")
    endpoint = f"{shop.stack.function.url}/{topic}"
    subscription = pubsub.create_subscription("forged-results-push", topic, endpoint=endpoint)

    shop.publish(shop.result(digest), topic=topic)

    letter = shop.dead_letters.next()
    assert f"came through {subscription}" in letter.attributes["promotion-dlq-reason"]
    assert letter.attributes["promotion-dlq-topic"] == topic
    assert shop.digest(EXTENDED_TEST) is None


def test_what_is_too_large_to_be_put_aside_is_not_acknowledged(shop: Shop) -> None:
    """With the reason beside it Pub/Sub takes it no more, so it stays where it is."""
    assert shop.push(b"x" * 9_999_900) == 503
    assert shop.dead_letters.rest() == []


def test_dead_letters_are_acknowledged(shop: Shop) -> None:
    """No bad message comes again: not even when one that is refused later has."""
    published = sorted(encode(make(shop)) for make, _ in BAD_MESSAGES.values())
    for content in published:
        shop.publish(content)
    letters = [shop.dead_letters.next() for _ in published]

    shop.publish(shop.result(DIGEST))
    shop.logged(f"to be delivered again: {shop.image(FAST_FEEDBACK)}", times=2)

    assert sorted(letter.data for letter in [*letters, *shop.dead_letters.rest()]) == published
