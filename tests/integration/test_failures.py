"""When a part fails under way, the message comes again and then has its effect."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dev import images
from dev.pubsub import PubSub
from dev.services import Service, docker_registry, function_server
from dev.stack import EVENTS, ROOT, Stack, function_environment, three_stages, wired
from tests.integration.busybox import Busybox, contents
from tests.integration.checkpoint import Checkpoint, Point
from tests.integration.shop import (
    EXTENDED_TEST,
    FAST_FEEDBACK,
    PATIENCE,
    PROD,
    UNREACHABLE,
    VERSION,
    OpenShop,
    Shop,
)

DIGEST = "sha256:" + "0" * 64
MIB = 1024 * 1024


def test_unreachable_registry(
    pubsub: PubSub, busybox: Busybox, open_shop: OpenShop, tmp_path: Path
) -> None:
    """A result that comes while the registry is down promotes once the registry is back."""
    with (
        docker_registry(tmp_path / "registry") as registry,
        wired(tmp_path, pubsub, three_stages(registry.host)) as stack,
    ):
        shop = open_shop(stack, registry, registry)
        digest = busybox.push(shop.image(FAST_FEEDBACK))
        registry.kill()
        shop.publish(shop.result(digest))
        assert f"{registry.host} gave no answer" in shop.logged("to be delivered again")
        with docker_registry(tmp_path / "registry", port=registry.port):
            assert shop.events.next().attributes["verdict"] == "PROMOTE"
            assert shop.digest(EXTENDED_TEST) == digest
        stack.function.kill()  # quicker than its end, which waits for Pub/Sub to hang up


def test_missing_topic(
    pubsub: PubSub, registry: Service, busybox: Busybox, open_shop: OpenShop, tmp_path: Path
) -> None:
    """A promotion that cannot be announced is not acknowledged; a repeat announces it."""
    settings = function_environment(tmp_path, pubsub, three_stages(registry.host))
    with function_server(ROOT, settings, tmp_path) as function:
        shop = open_shop(Stack(function, pubsub), registry, registry)
        result = shop.result(busybox.push(shop.image(FAST_FEEDBACK)))
        assert shop.push(result) == 503
        pubsub.create_topic(EVENTS)
        pubsub.create_subscription(EVENTS, EVENTS)
        assert shop.push(result) == 200
        assert shop.events.next().attributes["verdict"] == "PROMOTE"


def test_last_delivery_attempt(shop: Shop) -> None:
    """On its last attempt a message is put aside, marked as one that may succeed another time."""
    image = f"{UNREACHABLE}/shop/{FAST_FEEDBACK}/{shop.name}:{VERSION}"
    result = shop.result(DIGEST, image=image)

    assert shop.push(result, deliveryAttempt=5) == 503
    assert shop.dead_letters.rest() == []

    assert shop.push(result, deliveryAttempt=100) == 200
    letter = shop.dead_letters.next()
    assert letter.attributes["promotion-dlq-class"] == "retryable"
    assert f"{UNREACHABLE} gave no answer" in letter.attributes["promotion-dlq-reason"]


def in_the_middle_of_a_blob(at: Point) -> bool:
    """A part of a large blob has been sent."""
    return at.passed > MIB


def after_setting_the_tag(at: Point) -> bool:
    """The version names the image, and the function does not know."""
    return at.answered and at.method == "PUT" and at.path.endswith(f"/manifests/{VERSION}")


def remembering_it() -> Callable[[Point], bool]:
    """The event is out, and its mark is on the way: the second one after the tag is set."""
    marks: set[str] = set()
    tagged = threading.Event()

    def stops(at: Point) -> bool:
        if after_setting_the_tag(at):
            tagged.set()
        elif tagged.is_set() and at.method == "PUT" and "/manifests/sha256:" in at.path:
            marks.add(at.path)
        return len(marks) > 1

    return stops


@pytest.mark.parametrize(
    ("point", "is_tagged", "announcements"),
    [
        (in_the_middle_of_a_blob, False, 1),
        (after_setting_the_tag, True, 1),
        (remembering_it(), True, 2),
    ],
    ids=["in_the_middle_of_a_blob", "after_setting_the_tag", "after_announcing_it"],
)
def test_killed_function(
    point: Callable[[Point], bool],
    is_tagged: bool,
    announcements: int,
    registry: Service,
    prod_registry: Service,
    pubsub: PubSub,
    open_shop: OpenShop,
    tmp_path: Path,
) -> None:
    """A promotion goes on from where its function was killed: tag last, and always one event."""
    with Checkpoint(prod_registry.host, point) as checkpoint:
        stages = three_stages(registry.host, checkpoint.host)
        stages = stages.replace("extended-test:\n", "extended-test:\n        entry: any\n")
        with wired(tmp_path, pubsub, stages) as stack:
            shop = open_shop(stack, registry, prod_registry)
            layers = [images.layer({name: os.urandom(4 * MIB)}) for name in ("data", "more")]
            digest = images.push_image(shop.repository(EXTENDED_TEST), layers, VERSION).digest
            shop.publish(shop.result(digest, image=shop.image(EXTENDED_TEST), suite="extended"))

            assert checkpoint.reached.wait(PATIENCE)
            stack.function.kill()
            assert shop.digest(PROD) == (digest if is_tagged else None)
            checkpoint.lifted.set()
            settings = function_environment(tmp_path, pubsub, stages)
            with function_server(ROOT, settings, tmp_path, port=stack.function.port) as again:
                events = [shop.events.next() for _ in range(announcements)]
                again.kill()

    assert len({(event.data, event.attributes["ce-id"]) for event in events}) == 1
    tested = contents(shop.image(EXTENDED_TEST), tmp_path / EXTENDED_TEST)
    assert contents(shop.image(PROD), tmp_path / PROD) == tested
