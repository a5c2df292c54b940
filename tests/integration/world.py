"""A deployment in this process, on the real emulator and registry, whose clock a test sets.

Messages travel through the emulator's topics and subscriptions; only the last step of the way, the
push over HTTP, is made here, so that the time of publication can be the test's.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from dev.pubsub import PubSub
from promotion import configuration, signing
from promotion.artifact_registry import artifact_registry
from promotion.control import Control
from promotion.decision import Decision
from promotion.delivery import Message
from promotion.evidence.act import Kind
from promotion.evidence.store import EvidenceStore
from promotion.inventory import RegistryInventory
from promotion.lookout import Lookout
from promotion.policy import Policy, PolicyKeeper
from promotion.promoter import Promoter
from promotion.publisher import PubSubTopic
from promotion.receiver import Receiver
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport

RESULTS, SIGNALS, EVENTS, DEAD_LETTERS = "results", "signals", "events", "dead-letters"
VERSION = "1.4.2"


class World:
    """The function and its control, with topics and subscriptions of their own."""

    def __init__(
        self, pubsub: PubSub, registry: str, transport: Transport, text: str, now: datetime
    ) -> None:
        self.now = now
        self._pubsub = pubsub
        self._registry = registry
        self._prefix = pubsub.project
        self._transport = transport
        topics = {name: pubsub.create_topic(name) for name in (RESULTS, SIGNALS, EVENTS)}
        topics[DEAD_LETTERS] = pubsub.create_topic(DEAD_LETTERS)
        self._subscriptions = {
            name: pubsub.create_subscription(f"{name}-push", name) for name in (RESULTS, SIGNALS)
        }
        for name in (EVENTS, DEAD_LETTERS):
            pubsub.create_subscription(name, name)
        written = text.format(registry=registry, **self._subscriptions)
        pipelines = configuration.parse("promotion.yaml", written)
        connections = Connections()
        signer, verifier = signing.signer_and_verifier(pipelines.signing, connections.fetch)
        keys = signing.public_keys(pipelines.signing, signer).encode()
        policy = PolicyKeeper(lambda: Policy(written.encode(), keys), self._clock)
        store = EvidenceStore(signer, verifier)
        promoter = Promoter(
            pipelines, transport, PubSubTopic(topics[EVENTS]), store, policy, self._clock
        )
        google = artifact_registry({}, connections.fetch)
        signals = PubSubTopic(topics[SIGNALS])
        lookout = Lookout(
            pipelines,
            transport,
            store,
            promoter,
            lambda deadline: RegistryInventory(transport, google, deadline),
            signals,
        )
        self._receiver = Receiver(promoter, lookout, PubSubTopic(topics[DEAD_LETTERS]), 100)
        self._control = Control(pipelines, transport, store, signals, self._clock)

    def stage(self, name: str) -> RepositoryClient:
        """The image's repository in a stage."""
        return RepositoryClient(
            Repository(self._registry, f"{self._prefix}/{name}/shop"), self._transport
        )

    def image(self, stage: str) -> str:
        """The image's name in a stage."""
        return f"{self.stage(stage).repository}:{VERSION}"

    def digest(self, stage: str) -> Digest | None:
        """What its version names there."""
        return self.stage(stage).resolve(VERSION)

    def passes(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def publish(self, topic: str, content: dict[str, Any]) -> list[str]:
        """Publish a message and let all that follows happen; the events, in short."""
        self._pubsub.publish(topic, json.dumps(content).encode())
        while self._deliver():
            pass
        return self.events()

    def result(self, stage: str, suite: str, outcome: str = "success") -> list[str]:
        """Report a suite."""
        content = {"image": self.image(stage), "digest": self.digest(stage), "suite": suite}
        return self.publish(RESULTS, {**content, "outcome": outcome})

    def evaluate(self) -> list[str]:
        """Have all looked at that wait."""
        return self.publish(SIGNALS, {"evaluate": "all"})

    def decide(self, action: Kind, stage: str, author: str, reason: str = "why not") -> list[str]:
        """Let a person decide something about the image in a stage, and what follows happen."""
        self._control.decide(
            Decision(action=action, image=self.image(stage), reason=reason), author
        )
        while self._deliver():
            pass
        return self.events()

    def events(self) -> list[str]:
        """The events that have been published since the last look: what, and to which stage."""
        found = self._pubsub.pull(EVENTS, timeout=0)
        return [
            f"{each.attributes['ce-type'].split('.')[-4]} {each.attributes['to_stage']}"
            for each in found
        ]

    def dead_letters(self) -> list[str]:
        """Why messages have been put aside since the last look."""
        found = self._pubsub.pull(DEAD_LETTERS, timeout=0)
        return [each.attributes["promotion-dlq-reason"] for each in found]

    def _deliver(self) -> bool:
        """Deliver what waits in the subscriptions; whether there was anything."""
        delivered = False
        for subscription in self._subscriptions.values():
            for each in self._pubsub.pull(subscription, timeout=0):
                delivered = True
                self._receiver.receive(
                    Message(each.data, each.attributes, each.message_id, self.now, subscription)
                )
        return delivered

    def _clock(self) -> datetime:
        return self.now
