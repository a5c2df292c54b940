"""Clocks that are wrong, and jump, while an image soaks and a freeze comes and goes.

What is judged by the time is judged by the clock of the function that happens to be asked, so what
can be promised is bounded by how wrong clocks are: no soak is shorter than it should be by more
than two errors, nothing leaves in a freeze but within one error of its ends, and whatever all
clocks would let go goes, once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random

from dev import images
from dev.pubsub import PubSub
from dev.stack import signed
from tests.chaos.scenario import Arrangement, Outcome, Scale, Scenario
from tests.chaos.world import Parts
from tests.integration.world import VERSION, World

ERROR = timedelta(minutes=10)
SOAK = timedelta(hours=4)
FREEZE = (datetime(2026, 1, 30, 16, 0, tzinfo=UTC), datetime(2026, 2, 2, 8, 0, tzinfo=UTC))

_FIRST = datetime(2026, 1, 30, 4, 0, tzinfo=UTC)
_LAST = FREEZE[1] + timedelta(hours=8)
_JUMP_BACK = timedelta(hours=6)
_PIPELINE = """\
pipelines:
  shop:
    results: {{results}}
    stages:
      fast-feedback:
        registry: {{registry}}/{prefix}
        promotes_to: extended-test
        gate: {{{{suites: [functional]}}}}
      extended-test:
        registry: {{registry}}/{prefix}
        promotes_to: prod
        gate:
          suites: [extended]
          soak: 4h
          soak_from: promotion
          freeze: [{{{{from: "fri 16:00", to: "mon 08:00", timezone: UTC, reason: weekend}}}}]
      prod: {{{{registry: {{registry}}/{prefix}}}}}
signals: {{signals}}
"""


class Life:
    """An image that soaks, looked at now and then by clocks that are wrong."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._now = _FIRST + timedelta(minutes=random.randrange(14 * 60))
        self.looks = 0

    def violations(self) -> Iterator[str]:
        """Live until after the freeze; what should not be so on the way."""
        world = self._world
        self._misread()
        digest = images.push_image(world.stage("fast-feedback"), [b"built"], tag=VERSION).digest
        began = self._now
        events = world.result("fast-feedback", "functional")
        self._misread()
        events += world.result("extended-test", "extended")
        if events != ["promoted extended-test"]:
            yield f"it entered extended-test with {events}"
        left: datetime | None = None
        while self._now < _LAST:
            self._now += timedelta(minutes=self._random.randrange(1, 360))
            events = self._look(_JUMP_BACK if left and self._random.random() < 0.3 else None)
            if events:
                yield from _judged(events, began, self._now, left)
                left = self._now
            elif left is None and _everybody_says_go(began, self._now):
                yield f"{self._now}: it had not left yet"
        if world.digest("prod") != digest:
            yield f"prod holds {world.digest('prod')} in the end"
        if letters := world.dead_letters():
            yield f"dead letters: {letters}"

    def _look(self, back: timedelta | None) -> list[str]:
        self._misread()
        if back:
            self._world.now -= back
        self.looks += 1
        return self._world.evaluate()

    def _misread(self) -> None:
        """Let the function's clock show something near the time."""
        self._world.now = self._now + ERROR * self._random.uniform(-1, 1)


def _judged(
    events: list[str], began: datetime, now: datetime, left: datetime | None
) -> Iterator[str]:
    if events != ["promoted prod"]:
        yield f"{now}: {events}"
    if left:
        yield f"{now}: it left again, after {left}"
    if now < began + SOAK - 2 * ERROR:
        yield f"{now}: it left before it had soaked since {began}"
    if FREEZE[0] + ERROR < now < FREEZE[1] - ERROR:
        yield f"{now}: it left in the freeze"


def _everybody_says_go(began: datetime, now: datetime) -> bool:
    frozen = FREEZE[0] - ERROR <= now <= FREEZE[1] + ERROR
    return now > began + SOAK + 2 * ERROR and not frozen


def play(shared: Parts, seed: int, scale: Scale) -> Outcome:
    """Let images live."""
    started = time.monotonic()
    violations: list[str] = []
    looks = 0
    with _publishing_to(shared.emulator.host):
        for number in range(scale.rounds):
            name = f"clocks-{seed}-{number}"
            text = _PIPELINE.format(prefix=name) + _signing(shared, name)
            random = Random(f"clocks {seed} {number}")
            host = shared.near.service.host
            with PubSub(shared.emulator.host, name) as pubsub:
                life = Life(World(pubsub, host, shared.transport, text, _FIRST), random)
                violations += [f"round {number}: {each}" for each in life.violations()]
            looks += life.looks
    seconds = time.monotonic() - started
    messages = 2 * scale.rounds + looks
    return Outcome(
        "clocks", seed, scale.rounds, messages, messages, looks, seconds, tuple(violations)
    )


def _signing(shared: Parts, name: str) -> str:
    folder = shared.folder / name
    folder.mkdir()
    return signed(folder).replace("{", "{{").replace("}", "}}")


@contextmanager
def _publishing_to(emulator: str) -> Iterator[None]:
    before = os.environ.get("PUBSUB_EMULATOR_HOST")
    os.environ["PUBSUB_EMULATOR_HOST"] = emulator
    try:
        yield
    finally:
        if before is None:
            del os.environ["PUBSUB_EMULATOR_HOST"]
        else:
            os.environ["PUBSUB_EMULATOR_HOST"] = before


SCENARIOS = (
    Scenario(
        "clocks",
        "clocks are wrong by 10 minutes and jump, through a soak and a freeze",
        (1, 20),
        Arrangement(("soaking",)),
        lambda _: None,
        play,
    ),
)
