"""Plays a scenario: rounds of messages and faults, and a look at what has become of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import urllib3

from bench.proxy import Proxy
from dev.pubsub import PubSubError, Received
from dev.stack import DEAD_LETTERS, EVENTS, RESULTS
from tests.chaos.oracle import Oracle, Seen, images_of
from tests.chaos.reader import Reader
from tests.chaos.scenario import Outcome, Scale, Scenario
from tests.chaos.stock import Fate, Placed, Promoted, Stock
from tests.chaos.world import Parts, World, world

PATIENCE = 120.0
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

    @property
    def images(self) -> list[Placed]:
        """What the messages are about."""
        return [image for message in self.messages for image in images_of(message)]

    def publish(self) -> None:
        """Publish the messages."""
        for message in self.messages:
            self.world.pubsub.publish(RESULTS, message.content)

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
        """Take what has come out of the topics, but for late repeats of earlier rounds' events."""
        events = self.world.pubsub.pull(EVENTS, timeout=0)
        self.seen.events += [each for each in events if _identity(each) not in self._told]
        self.seen.letters += self.world.pubsub.pull(DEAD_LETTERS, timeout=0)

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
    violations: list[str] = []
    told: set[tuple[str, bytes]] = set()
    messages = faults = 0
    with world(shared, f"{scenario.name}-{seed}", scenario.arrangement) as scene:
        with Reader(shared.repository, scene.store) as reader:
            for number in range(scale.rounds):
                course = _arranged(scenario, scene, seed, scale, number, told)
                reader.watch([image for image in course.images if _may_be_promoted(course, image)])
                found = _round(scenario, course)
                told.update(map(_identity, course.seen.events))
                reader.watch([])
                violations += [f"round {number}: {each}" for each in found]
                messages += len(course.messages)
                faults += course.injected + _spoilt(course)
                shared.heal()
        violations += dict.fromkeys(reader.violations)
        deliveries = scene.deliveries()
        faults += scene.gate.slammed
    seconds = time.monotonic() - began
    return Outcome(
        scenario.name,
        seed,
        scale.rounds,
        messages,
        deliveries,
        faults,
        seconds,
        tuple(violations),
    )


def _arranged(
    scenario: Scenario,
    scene: World,
    seed: int,
    scale: Scale,
    number: int,
    told: set[tuple[str, bytes]],
) -> Course:
    random = Random(f"{scenario.name} {seed} {number}")
    arrangement = scenario.arrangement
    kinds = arrangement.kinds
    if arrangement.one_of:
        kinds = [kinds[number % len(kinds)]]
    prefix = f"{scenario.name}-{seed}-{number}-"
    stock = Stock(prefix, random, scene.parts.repository, scene.parts.hosts)
    return Course(scene, random, scale, kinds, stock, told)


def _round(scenario: Scenario, course: Course) -> list[str]:
    """Let things go wrong, end that, and judge what is there when all is quiet."""
    scene = course.world
    before = scene.deliveries(200)
    try:
        scenario.faults(course)
    finally:
        for registry in (scene.parts.near, scene.parts.far):
            registry.proxy.heal()
        scene.gate.open()
    forgotten = scenario.arrangement.forgotten
    oracle = Oracle(scene.parts.repository, scene.store, forgotten=forgotten)
    if not course.until(lambda: _is_over(course, before, oracle, scenario)):
        return [
            f"not settled after {PATIENCE:g} s",
            *oracle.violations(course.messages, course.seen),
        ]
    course.look()
    return oracle.violations(course.messages, course.seen)


def _is_over(course: Course, before: int, oracle: Oracle, scenario: Scenario) -> bool:
    """Whether each message has had its effect, and has been acknowledged."""
    try:
        settled = course.is_settled()
    except (PubSubError, urllib3.exceptions.HTTPError):
        return False
    if scenario.arrangement.forgotten:
        return not oracle.violations(course.messages, course.seen)
    acknowledged = course.world.deliveries(200) - before
    pushed = scenario.arrangement.pushed
    return settled and (not pushed or acknowledged >= len(course.messages))


def _may_be_promoted(course: Course, image: Placed) -> bool:
    return any(
        isinstance(fate, Promoted) and fate.image is image
        for message in course.messages
        for fate in message.fates
    )


def _identity(event: Received) -> tuple[str, bytes]:
    return event.attributes.get("ce-id", ""), event.data


def _spoilt(course: Course) -> int:
    exchanges = [*course.near.exchanges(), *course.far.exchanges()]
    return sum(bool(each.fault) for each in exchanges)
