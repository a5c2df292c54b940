"""A function that dies at any moment: the next delivery goes on from what it has left."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from promotion.errors import RegistryUnavailable, Retryable
from promotion.events import DENIED, PROMOTED, Event
from promotion.messages import Outcome, TestResult
from promotion.registry.reference import Reference
from promotion.registry.transport import Transport
from tests.unit.shop import Shop, kinds


class Life:
    """A number of requests, after which none is answered."""

    def __init__(self, requests: int) -> None:
        self._left = itertools.count(requests, -1)
        self.ended = False

    @contextmanager
    def lived(self) -> Iterator[None]:
        """What happens within it."""
        send = Transport.send

        def mortal(*arguments: Any, **more: Any) -> Any:
            if next(self._left) <= 0:
                self.ended = True
                raise RegistryUnavailable("the function has died")
            return send(*arguments, **more)

        with pytest.MonkeyPatch.context() as patch, suppress(Retryable):
            patch.setattr(Transport, "send", mortal)
            yield


def nothing() -> None:
    """Nothing happens between a death and the delivery that follows it."""


def deaths(
    shop: Shop, result: TestResult, between: Callable[[], None] = nothing
) -> Iterator[tuple[TestResult, list[Event]]]:
    """Let the function die after each number of requests, upon a result about a version of its own.

    Yields the result and all events, those of the delivery that follows the death included.
    """
    for requests in itertools.count(1):
        version = f"1.0.{requests}"
        image = shop.push(content=version.encode(), tag=version)
        named = Reference(result.image.repository, version)
        of_its_own = replace(result, image=named, digest=image.digest)
        before = len(shop.topic.events)
        life = Life(requests)
        with life.lived():
            shop.handle(of_its_own)
        shop.now += timedelta(minutes=1)
        between()
        shop.handle(of_its_own)
        yield of_its_own, shop.topic.events[before:]
        if not life.ended:
            return


def test_a_promotion_is_finished_wherever_it_was_left(shop: Shop) -> None:
    """The tag is set upon one record, and it is announced; if twice, it is the same event."""
    for result, events in deaths(shop, shop.result(shop.push().digest)):
        (record,) = shop.evidence("extended-test", result.digest).records
        assert shop.stage("extended-test").resolve(result.image.tag) == result.digest
        assert kinds(events) in ([PROMOTED], [PROMOTED] * 2)
        assert all(event == events[0] for event in events)
        assert events[0].attributes["ce-id"] == record.said.event_id
        told = json.loads(events[0].data)["timestamp"]
        assert told == record.said.decided_at.isoformat().replace("+00:00", "Z")
        assert shop.handle(result) == []


def test_what_has_its_tag_is_announced_though_nothing_may_leave_by_then(shop: Shop) -> None:
    """What has none waits, and is told of when it may leave again."""
    thawed = shop.promotion_yaml
    window = "freeze: [{from: 2026-01-31T12:00, to: 2026-02-28T12:00, reason: stocktaking}]"
    gate = "suites: [functional]"

    def freeze() -> None:
        shop.written = thawed.replace(gate, f"{gate}\n          {window}")

    arrived = []
    for result, events in deaths(shop, shop.result(shop.push().digest), freeze):
        named = shop.stage("extended-test").resolve(result.image.tag)
        arrived.append(named == result.digest)
        shop.written = thawed
        later = shop.handle(result)
        assert kinds(events) in ([PROMOTED], [PROMOTED] * 2) if arrived[-1] else events == []
        assert kinds(later) == ([] if arrived[-1] else [PROMOTED])
        assert all(event == events[0] for event in events)
    assert set(arrived) == {True, False}


def test_a_denial_is_told_wherever_it_was_left(shop: Shop) -> None:
    """At least once, and if twice, it is the same event; nothing has been copied."""
    failed = shop.result(shop.push().digest, outcome=Outcome.FAILURE)
    for result, events in deaths(shop, failed):
        assert kinds(events) in ([DENIED], [DENIED] * 2)
        assert all(event == events[0] for event in events)
        assert not shop.stage("extended-test").has_manifest(result.digest)
        assert shop.handle(result) == []
