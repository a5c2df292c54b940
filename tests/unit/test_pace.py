"""A copy that cannot be done in time gets on by at least one blob in each attempt."""

from __future__ import annotations

import pytest

from promotion.deadline import NEVER, Deadline
from promotion.errors import CannotFinish, DeadlineExceeded
from promotion.registry import pace
from promotion.registry.manifest import Blob
from promotion.registry.pace import Pace
from promotion.registry.reference import digest_of

SMALL = Blob(digest_of(b"small"), 100)
LARGE = Blob(digest_of(b"large"), 1000)


class Clock:
    """A clock that moves when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that paces and deadlines look at."""
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr("promotion.deadline.time", clock)
    return clock


def test_in_good_time_nothing_gives_way(clock: Clock) -> None:
    """In the first half of the time all blobs travel side by side."""
    both = Pace(Deadline.after(100))
    both.began(SMALL)
    both.began(LARGE)
    clock.now += 49
    both.advanced(LARGE, 1)
    both.advanced(SMALL, 1)


def test_after_half_of_the_time_the_nearest_goes_on_alone(clock: Clock) -> None:
    """With nothing arrived by then, the blob with least to go has the road to itself."""
    both = Pace(Deadline.after(100))
    both.began(SMALL)
    both.began(LARGE)
    clock.now += 51
    both.advanced(SMALL, 1)
    with pytest.raises(DeadlineExceeded, match="gives way"):
        both.advanced(LARGE, 1)
    both.ended(LARGE, arrived=False)
    both.advanced(SMALL, 99)


def test_what_gets_on_may_go_on(clock: Clock) -> None:
    """Once a blob has arrived, the attempt has got on, and the others use what time is left."""
    both = Pace(Deadline.after(100))
    both.began(SMALL)
    both.began(LARGE)
    both.ended(SMALL, arrived=True)
    clock.now += 51
    both.advanced(LARGE, 1)


def test_at_the_end_of_the_time_everything_stops(clock: Clock) -> None:
    """The next attempt goes on from there."""
    one = Pace(Deadline.after(100))
    clock.now += 30
    one.began(LARGE)
    one.advanced(LARGE, 1)
    clock.now += 60
    one.advanced(LARGE, 900)
    clock.now += 10
    with pytest.raises(DeadlineExceeded, match="99 of 1000 bytes"):
        one.advanced(LARGE, 0)


def test_a_blob_that_is_too_large_for_good_is_said_to_be(clock: Clock) -> None:
    """At the speed that it had by itself it would never arrive: trying again cannot help."""
    one = Pace(Deadline.after(100))
    one.began(LARGE)
    one.advanced(LARGE, 0)
    clock.now += 100
    with pytest.raises(CannotFinish, match=r"4 bytes a second.*once by hand"):
        one.advanced(LARGE, 400)


def test_without_a_deadline_nothing_is_hurried(clock: Clock) -> None:
    """Somebody at a terminal may wait as long as they like."""
    both = Pace(NEVER)
    both.began(SMALL)
    both.began(LARGE)
    clock.now += 10**9
    both.advanced(LARGE, 1)
