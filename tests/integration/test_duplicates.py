"""A message has one effect, however often it is delivered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.integration.busybox import Busybox
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, Shop

TWINS = 4


def test_delivered_again(shop: Shop, busybox: Busybox) -> None:
    """Once a promotion is announced, neither its message nor a later success says so again."""
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    result = shop.result(digest)
    assert shop.push(result) == 200
    assert shop.events.next().attributes["verdict"] == "PROMOTE"

    assert shop.push(result) == 200
    assert shop.push(shop.result(digest, url="https://ci.example/run/8")) == 200

    assert shop.events.rest() == []
    assert shop.digest(EXTENDED_TEST) == digest


def test_published_twice(shop: Shop, busybox: Busybox) -> None:
    """Two copies of a message, published in one go, promote once and announce the same event."""
    digest = busybox.push(shop.image(FAST_FEEDBACK))
    result = shop.result(digest, finished_at="2026-01-31T12:00:00Z")

    for message_id in [shop.publish(result) for _ in range(2)]:
        shop.logged(f"[message_id={message_id} ")

    events = [shop.events.next(), *shop.events.rest()]
    assert len({(event.data, event.attributes["ce-id"]) for event in events}) == 1
    assert shop.digest(EXTENDED_TEST) == digest


def test_delivered_at_the_same_time(shop: Shop, busybox: Busybox) -> None:
    """Deliveries that run side by side all succeed, and all they announce is the same event."""
    digest = busybox.push(shop.image(FAST_FEEDBACK), "OCI index")
    result = shop.result(digest, finished_at="2026-01-31T12:00:00Z")
    start = Barrier(TWINS)

    def deliver(_: int) -> int:
        start.wait()
        return shop.deliver(result)

    with ThreadPoolExecutor(TWINS) as threads:
        assert list(threads.map(deliver, range(TWINS))) == [200] * TWINS

    events = [shop.events.next(), *shop.events.rest()]
    assert len({(event.data, event.attributes["ce-id"]) for event in events}) == 1
    assert shop.dead_letters.rest() == []
    assert shop.digest(EXTENDED_TEST) == digest
