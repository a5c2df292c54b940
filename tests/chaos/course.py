"""Plays a scenario: rounds of messages and faults, and a look at what has become of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random

import urllib3

from bench.proxy import Proxy
from dev.pubsub import PubSubError, Received
from dev.stack import DEAD_LETTERS, EVENTS, RESULTS
from promotion.events import PROMOTED
from tests.chaos.oracle import Oracle, Seen, images_of
from tests.chaos.reader import Reader
from tests.chaos.scenario import Outcome, Scale, Scenario
from tests.chaos.stock import VERSION, Fate, Placed, Stock
from tests.chaos.world import Parts, World, world

PATIENCE = 120.0
_MOST_SECONDS_TO_SETTLE = 600.0
_POLL = 0.1


class Course:
    """One round of a scenario.

    Attributes:
        random: Decides everything that is left to chance.
        scale: Whether it is the long form.
        messages: What is published.
        kinds: Of the messages.
        seen: What has come out of the topics so far.
        injected: Faults that no proxy has counted.
    """

    def __init__(
        self,
        scene: World,
        random: Random,
        scale: Scale,
        kinds: Sequence[str],
        stock: Stock,
        told: set[tuple[str, bytes]],
    ) -> None:
        self.world = scene
        self.random = random
        self.scale = scale
        self.kinds = kinds
        self.stock = stock
        self.messages = stock.messages(kinds)
        self.seen = Seen()
        self.injected = 0
        self._told = told

    @property
    def near(self) -> Proxy:
        """Before the registry of the first two stages."""
        return self.world.parts.near.proxy

    @property
    def far(self) -> Proxy:
        """Before the registry of prod."""
        return self.world.parts.far.proxy

    def proxy(self, stage: str) -> Proxy:
        """Before the registry of a stage."""
        return self.near if self.world.parts.hosts[stage] == self.near.host else self.far

    @property
    def spoilt(self) -> int:
        """How many exchanges with the registries have met a fault so far."""
        exchanges = [*self.near.exchanges(), *self.far.exchanges()]
        return sum(bool(each.fault) for each in exchanges)

    @property
    def images(self) -> list[Placed]:
        """What the messages are about, if it is there."""
        found = [image for message in self.messages for image in images_of(message)]
        return list({image.name: image for image in found}.values())

    def publish(self) -> None:
        """Publish the messages."""
        for message in self.messages:
            self.world.pubsub.publish(RESULTS, message.content, message.attributes)

    def allow(self, *fates: Fate) -> None:
        """Have these fates, too, be as good as those that the messages should have."""
        self.messages = [
            replace(message, fates=(*message.fates, *fates)) for message in self.messages
        ]

    def is_settled(self) -> bool:
        """Whether every message has had an effect, as far as the topics say."""
        self.look()
        return all(self.seen.about(message) for message in self.messages)

    def look(self) -> None:
        """Take what has come out of the topics, but for late repeats of earlier rounds' events.

        An emulator that starts, or has too much to do, may not answer: then it stays there.
        """
        with suppress(PubSubError, urllib3.exceptions.HTTPError):
            events = self._new_events()
            self.seen.events += events
            self.seen.early += [each for each in events if not self._is_so(each)]
            self.seen.letters += self.world.pubsub.pull(DEAD_LETTERS, timeout=0)

    def look_for_late_events(self) -> None:
        """Take the events that have come since every message had had its effect."""
        self.seen.late += self._new_events()

    def _new_events(self) -> list[Received]:
        events = self.world.pubsub.pull(EVENTS, timeout=0)
        return [each for each in events if _identity(each) not in self._told]

    def _is_so(self, event: Received) -> bool:
        """Whether an image that is said to be promoted has its version in the next stage by now."""
        told = event.attributes
        place = self.world.parts.repository(told["to_stage"], told["image"])
        return told["ce-type"] != PROMOTED or place.resolve(VERSION) is not None

    def until(self, happened: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Wait until something has happened; False if it does not in time."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def pause(self, least: float, most: float) -> None:
        """Let a while pass, during which something stays wrong."""
        time.sleep(self.random.uniform(least, most))


def play(scenario: Scenario, shared: Parts, seed: int, scale: Scale) -> Outcome:
    """Play all rounds of a scenario."""
    if scenario.play:
        return scenario.play(shared, seed, scale)
    began = time.monotonic()
    with world(shared, f"{scenario.name}-{seed}", scenario.arrangement) as scene:
        with Reader(shared.repository, scene.store) as reader:
            rounds = _Rounds(scenario, scene, reader, seed, scale)
            for number in range(scale.rounds):
                rounds.play(number)
        return Outcome(
            scenario.name,
            seed,
            scale.rounds,
            rounds.messages,
            scene.deliveries(),
            rounds.faults + scene.gate.slammed,
            time.monotonic() - began,
            (*rounds.violations, *dict.fromkeys(reader.violations)),
        )


class _Rounds:
    """The rounds of a scenario, and what they have come to so far."""

    def __init__(
        self, scenario: Scenario, scene: World, reader: Reader, seed: int, scale: Scale
    ) -> None:
        self.messages = 0
        self.faults = 0
        self.violations: list[str] = []
        self._scenario = scenario
        self._arrangement = scenario.arrangement
        self._scene = scene
        self._reader = reader
        self._seed = seed
        self._scale = scale
        self._told: set[tuple[str, bytes]] = set()
        self._oracle = Oracle(
            scene.parts.repository, scene.store, forgotten=scenario.arrangement.forgotten
        )

    def play(self, number: int) -> None:
        """Let things go wrong, end that, and judge what is there when all is quiet."""
        course = self._arranged(number)
        self._reader.watch(course.images)
        acknowledged = self._scene.deliveries(200)
        delivered, slammed = self._scene.deliveries(), self._scene.gate.slammed
        try:
            self._scenario.faults(course)
        finally:
            self._end_faults()
        over = partial(self._is_over, course, acknowledged)
        if not course.until(over, _MOST_SECONDS_TO_SETTLE):
            self.violations.append(
                f"round {number}: not settled after {_MOST_SECONDS_TO_SETTLE:g} s"
            )
        course.look()
        found = self._oracle.violations(course.messages, course.seen)
        found += self._scene.secrets.found_in({**self._scene.logs(), **course.seen.sent()})
        if self._scene.gate.slammed == slammed and not self._arrangement.forgotten:
            # What is published again where Pub/Sub did not confirm it needs no further delivery.
            found += course.seen.beyond(self._scene.deliveries() - delivered)
        self._reader.watch([])
        self.violations += [f"round {number}: {each}" for each in found]
        self.messages += len(course.messages)
        self.faults += course.injected + course.spoilt
        self._told.update(map(_identity, course.seen.events))
        self._scene.parts.forget()

    def _arranged(self, number: int) -> Course:
        random = Random(f"{self._scenario.name} {self._seed} {number}")
        kinds = self._arrangement.kinds
        if self._arrangement.one_of:
            kinds = [kinds[number % len(kinds)]]
        prefix = f"{self._scenario.name}-{self._seed}-{number}-"
        parts = self._scene.parts
        stock = Stock(prefix, random, parts.repository, parts.hosts)
        return Course(self._scene, random, self._scale, kinds, stock, self._told)

    def _end_faults(self) -> None:
        self._scene.parts.heal()
        self._scene.gate.open()

    def _is_over(self, course: Course, acknowledged: int) -> bool:
        """Whether each message has had its effect, and has been acknowledged."""
        settled = course.is_settled()
        if self._arrangement.forgotten:
            return not self._oracle.violations(course.messages, course.seen)
        acknowledged = self._scene.deliveries(200) - acknowledged
        return settled and (not self._arrangement.pushed or acknowledged >= len(course.messages))


def _identity(event: Received) -> tuple[str, bytes]:
    return event.attributes.get("ce-id", ""), event.data
