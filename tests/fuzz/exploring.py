"""Examples in numbers: so many of one target, from one seed, each of them in good time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.target import Target

SECONDS = 20
"""The processor's time that one example may take: more is a hang, however busy the machine is."""

settings.register_profile(
    "fuzz",
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


class Hung(Exception):
    """An input that takes for ever."""


def chosen_seed() -> int:
    """The seed that the environment names; 1 by default, so that every run is the same."""
    return int(os.environ.get("SEED") or 1)


def explore(target: Target, examples: int, from_seed: int) -> int:
    """Check a target with so many inputs at most; how many there were.

    Raises:
        Exception: What the smallest input that fails has led to.
    """
    checked = 0

    @seed(from_seed)
    @settings(settings.get_profile("fuzz"), max_examples=examples)
    @given(target.inputs)
    def check(an_input: object) -> None:
        nonlocal checked
        checked += 1
        with _in_good_time():
            target.check(an_input)

    check()
    return checked


@contextmanager
def _in_good_time() -> Iterator[None]:
    """Interrupt whatever goes on for too long; only a main thread can be."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal's
        raise Hung(f"not over after {SECONDS} s")

    before = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
