"""A shop in its stages on embedded registries, a promoter that starts anew for each message."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from dev.stack import three_stages
from promotion import configuration
from promotion.errors import PublishFailed
from promotion.events import Event
from promotion.evidence.attested import Evidence
from promotion.messages import Outcome, TestResult
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.promoting import evidence_store, promoter

PUBLISHED = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass
class Shop:
    """A pipeline on two registries, the second one for prod, and a stopped clock.

    Attributes:
        written: The promotion.yaml; default: three stages, one suite for each gate.
    """

    near: EmbeddedRegistry
    far: EmbeddedRegistry
    transport: Transport
    results: str = ""
    written: str = ""
    topic: RecordedTopic = field(default_factory=RecordedTopic)
    now: datetime = PUBLISHED

    @property
    def promotion_yaml(self) -> str:
        """The configuration."""
        return self.written or three_stages(self.near.host, self.far.host, self.results)

    def stage(self, name: str) -> RepositoryClient:
        """The repository of the image in a stage."""
        host = self.far.host if name == "prod" else self.near.host
        return RepositoryClient(Repository(host, f"shop/{name}/shop"), self.transport)

    def push(
        self, stage: str = "fast-feedback", content: bytes = b"tested", tag: str = "1.0"
    ) -> Manifest:
        """Push an image with that content."""
        return images.push_image(self.stage(stage), [content], tag=tag)

    def result(
        self,
        digest: Digest,
        stage: str = "fast-feedback",
        suite: str = "functional",
        outcome: Outcome = Outcome.SUCCESS,
    ) -> TestResult:
        """A result about version 1.0 in a stage."""
        reference = Reference(self.stage(stage).repository, "1.0")
        return TestResult(reference, digest, suite, outcome, PUBLISHED, PUBLISHED)

    def handle(self, result: TestResult) -> list[Event]:
        """Let a fresh promoter handle a result; the events that it published."""
        before = len(self.topic.events)
        promoter(self.promotion_yaml, self.transport, self.topic, lambda: self.now).handle(result)
        return self.topic.events[before:]

    def evidence(self, stage: str, digest: Digest) -> Evidence:
        """What is stated about an image in a stage."""
        store = evidence_store(configuration.parse("promotion.yaml", self.promotion_yaml))
        return store.read(digest, [self.stage(stage)])

    def writes(self) -> int:
        """How many requests have written to either registry so far."""
        served = [*self.near.served, *self.far.served]
        return sum(each.method in WRITES for each in served)


def lost_and_repeated(shop: Shop, result: TestResult) -> tuple[Event, Event]:
    """The event that a result led to while the topic failed, and when it is delivered again."""

    class Broken(RecordedTopic):
        def publish(self, event: Event) -> str:
            self.events.append(event)
            raise PublishFailed("no")

    working, shop.topic = shop.topic, Broken()
    with pytest.raises(PublishFailed):
        shop.handle(result)
    (lost,) = shop.topic.events
    shop.topic = working
    shop.now += timedelta(minutes=1)
    (repeated,) = shop.handle(result)
    return lost, repeated


def kinds(events: list[Event]) -> list[str]:
    """The types of events."""
    return [event.attributes["ce-type"] for event in events]


def codes(event: Event) -> list[str]:
    """The codes of an event's findings."""
    return [finding["code"] for finding in json.loads(event.data)["findings"]]
