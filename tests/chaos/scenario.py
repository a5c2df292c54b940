"""What a scenario is, and what its play comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.course import Course
    from tests.chaos.world import Parts

Faults = Callable[["Course"], None]
"""Publishes a round's messages, and lets things go wrong meanwhile; what is left of that is then
ended, and what has become of the messages is waited for."""


@dataclass(frozen=True)
class Scale:
    """How much there is of a scenario.

    Attributes:
        rounds: How often it is played.
        long: Whether waits have the length that they have in the field: 30 s, not one.
    """

    rounds: int
    long: bool = False


@dataclass(frozen=True)
class Arrangement:
    """What is there when things go wrong.

    Attributes:
        kinds: Of the messages that are published in a round.
        one_of: Whether a round has one of them only, in turn.
        instances: How many functions there are.
        pushed: Whether the emulator pushes to the function, or a courier of the scenario's.
        forgotten: Whether events that Pub/Sub had taken may be lost.
    """

    kinds: Sequence[str]
    one_of: bool = False
    instances: int = 1
    pushed: bool = True
    forgotten: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a play came to.

    Attributes:
        faults: How often something went wrong: kills, refused connections, spoilt exchanges.
    """

    scenario: str
    seed: int
    rounds: int
    messages: int
    deliveries: int
    faults: int
    seconds: float
    violations: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong, by name.

    Attributes:
        summary: What goes wrong, in a few words.
        rounds: How often it is played in the short form and in the long one.
        play: Plays it, where it is of a kind of its own; else ``course.play`` does.
    """

    name: str
    summary: str
    rounds: tuple[int, int]
    arrangement: Arrangement
    faults: Faults
    play: Callable[[Parts, int, Scale], Outcome] | None = None
