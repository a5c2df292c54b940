"""Several suites, reported in any order, more than once, with a re-run: one promotion."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dev.pubsub import PubSub
from dev.services import Service
from dev.stack import Stack, signed, three_stages, wired
from tests.integration.busybox import Busybox
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, OpenShop, Shop

SUITES = ("functional", "nft", "integration")


@pytest.fixture
def several_suites(
    pubsub: PubSub, registry: Service, open_shop: OpenShop, tmp_path: Path
) -> Iterator[Shop]:
    """A shop whose first gate asks for three suites, and whose function signs."""
    text = three_stages(registry.host).replace("[functional]", f"[{', '.join(SUITES)}]")
    with wired(tmp_path, pubsub, text + signed(tmp_path)) as stack:
        yield open_shop(Stack(stack.function, pubsub), registry, registry)
        stack.function.kill()  # quicker than its end, which waits for Pub/Sub to hang up


@pytest.mark.parametrize("seed", range(3))
def test_three_suites_with_a_repaired_failure(
    several_suites: Shop, busybox: Busybox, seed: int
) -> None:
    """However the messages come, the image is promoted once, and every statement is there."""
    shop = several_suites
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    began = datetime.now(UTC) - timedelta(hours=1)
    runs = [(suite, "success", 0) for suite in SUITES]
    runs += [("nft", "failure", 1), ("nft", "success", 2)]
    messages = [
        shop.result(
            digest,
            suite=suite,
            outcome=outcome,
            finished_at=(began + timedelta(minutes=minute)).isoformat(),
        )
        for suite, outcome, minute in runs
    ]
    messages += random.Random(seed).sample(messages, 2)
    random.Random(seed).shuffle(messages)
    for message in messages:
        shop.publish(message)

    events = [shop.events.next()]
    while events[-1].attributes["verdict"] != "PROMOTE":
        events.append(shop.events.next())
    # Whoever delivers again waits for what is under way, and changes nothing.
    assert [shop.deliver(message) for message in messages] == [200] * len(messages)
    events += shop.events.rest()

    (promoted,) = [each for each in events if each.attributes["verdict"] == "PROMOTE"]
    assert shop.digest(EXTENDED_TEST) == digest
    evidence = shop.evidence(FAST_FEEDBACK, digest)
    assert len(evidence.runs) == len(runs)
    (record,) = shop.evidence(EXTENDED_TEST, digest).records
    assert promoted.attributes["ce-id"] == record.said.event_id
