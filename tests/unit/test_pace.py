"""A copy that cannot be done in time gets on by at least one blob in each attempt."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from promotion.deadline import NEVER, Cancellation, Deadline
from promotion.errors import CannotFinish, DeadlineExceeded
from promotion.registry import pace
from promotion.registry.manifest import Blob
from promotion.registry.pace import Pace, Road
from promotion.registry.reference import digest_of
from tests.unit.clock import Clock

SMALL = Blob(digest_of(b"small"), 10)
LARGE = Blob(digest_of(b"large"), 800)
LARGER = Blob(digest_of(b"larger"), 801)


class WatchedRoad(Road):
    """A road that tells when a stream leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = threading.Event()

    def leave(self) -> None:
        """One less."""
        super().leave()
        self.left.set()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The clock that paces and deadlines look at."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "time", clock)
        patch.setattr("promotion.deadline.time", clock)
        yield clock
    # Who ends waits looks when it has to look next: so far by that clock.
    Cancellation().call()


@pytest.fixture
def road() -> WatchedRoad:
    """A road that no other test uses."""
    return WatchedRoad()


def travel(clock: Clock, seconds: int, *blobs: tuple[Pace, Blob, int]) -> None:
    """Let so much of each blob travel in each second."""
    for _ in range(seconds):
        clock.now += 1
        for each, blob, count in blobs:
            each.advanced(blob, count)


def beside(
    task: Callable[[], object], error: type[Exception] = DeadlineExceeded
) -> threading.Thread:
    """Run what may have to wait, and may end in an error, in a thread."""

    def run() -> None:
        with suppress(error):
            task()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_in_good_time_nothing_waits(clock: Clock, road: WatchedRoad) -> None:
    """Blobs that will arrive as things go travel side by side, to the end."""
    both = Pace(Deadline.after(100), road)
    both.began(LARGE)
    both.began(LARGER)
    travel(clock, 80, (both, LARGE, 10), (both, LARGER, 10))
    assert not road.left.is_set()


def test_what_needs_the_road_to_itself_has_it(clock: Clock, road: WatchedRoad) -> None:
    """Of two that need four fifths of the time each, one arrives, and the other waits for it.

    Had both shared the road for half of the time, neither would arrive, in any attempt.
    """
    both = Pace(Deadline.after(100), road)
    both.began(LARGE)
    both.began(LARGER)
    travel(clock, 5, (both, LARGE, 5), (both, LARGER, 5))
    travel(clock, 1, (both, LARGE, 5))
    waiting = beside(lambda: both.advanced(LARGER, 0))
    assert road.left.wait(60)
    travel(clock, 77, (both, LARGE, 10))
    assert waiting.is_alive()
    both.ended(LARGE)
    waiting.join()
    both.advanced(LARGER, 1)


def test_small_blobs_that_arrive_change_nothing(clock: Clock, road: WatchedRoad) -> None:
    """They arrive in every attempt: that is not what the large ones need to get on."""
    copy = Pace(Deadline.after(100), road)
    for blob in (SMALL, LARGE, LARGER):
        copy.began(blob)
    travel(clock, 2, (copy, SMALL, 5), (copy, LARGE, 5), (copy, LARGER, 5))
    copy.ended(SMALL)
    road.left.clear()
    travel(clock, 3, (copy, LARGE, 5), (copy, LARGER, 5))
    travel(clock, 1, (copy, LARGE, 5))
    waiting = beside(lambda: copy.advanced(LARGER, 0))
    assert road.left.wait(60)
    copy.began(SMALL)
    copy.advanced(SMALL, 5)
    assert waiting.is_alive()
    copy.abandon()
    waiting.join()


def test_after_half_of_the_time_the_nearest_goes_on_alone(clock: Clock, road: WatchedRoad) -> None:
    """What may or may not arrive shares the road until then; if it is still so, one has it."""
    both = Pace(Deadline.after(100), road)
    both.began(LARGE)
    both.began(LARGER)
    travel(clock, 49, (both, LARGE, 8), (both, LARGER, 8))
    assert not road.left.is_set()
    travel(clock, 1, (both, LARGE, 8))
    waiting = beside(lambda: both.advanced(LARGER, 8))
    assert road.left.wait(60)
    both.ended(LARGE)
    waiting.join()


def test_what_arrives_in_time_gives_way_to_nobody(clock: Clock, road: WatchedRoad) -> None:
    """A blob too large for the attempt does not keep another from arriving in it."""
    both = Pace(Deadline.after(100), road)
    huge = Blob(digest_of(b"huge"), 1200)
    medium = Blob(digest_of(b"medium"), 200)
    both.began(huge)
    both.began(medium)
    travel(clock, 40, (both, huge, 5), (both, medium, 5))
    assert not road.left.is_set()


def test_nobody_waits_for_what_is_silent(clock: Clock, road: WatchedRoad) -> None:
    """A blob that has the road to itself and does not use it gives it back."""
    both = Pace(Deadline.after(100), road)
    both.began(LARGE)
    both.began(LARGER)
    travel(clock, 5, (both, LARGE, 5), (both, LARGER, 5))
    travel(clock, 1, (both, LARGE, 5))
    clock.now += 6
    both.advanced(LARGER, 5)


def test_at_the_end_of_the_time_everything_stops(clock: Clock, road: WatchedRoad) -> None:
    """The next attempt goes on from there."""
    one = Pace(Deadline.after(100), road)
    one.began(LARGE)
    travel(clock, 99, (one, LARGE, 8))
    clock.now += 1
    with pytest.raises(DeadlineExceeded, match=r"with 8 of 800 bytes of .* to go"):
        one.advanced(LARGE, 0)


def test_a_blob_that_is_too_large_for_good_is_said_to_be(clock: Clock, road: WatchedRoad) -> None:
    """At the speed that it had by itself it would never arrive: trying again cannot help."""
    one = Pace(Deadline.after(100), road)
    one.began(LARGE)
    travel(clock, 99, (one, LARGE, 4))
    clock.now += 1
    with pytest.raises(CannotFinish, match=r"4 bytes a second.*once by hand"):
        one.advanced(LARGE, 4)


def test_whoever_notices_the_end_says_what_is_too_large(clock: Clock, road: WatchedRoad) -> None:
    """It may be a blob that waited for the one that is."""
    both = Pace(Deadline.after(100), road)
    both.began(LARGE)
    both.began(LARGER)
    travel(clock, 5, (both, LARGE, 2), (both, LARGER, 2))
    travel(clock, 1, (both, LARGE, 2))
    waiting = beside(lambda: both.advanced(LARGER, 2), CannotFinish)
    assert road.left.wait(60)
    travel(clock, 93, (both, LARGE, 4))
    clock.now += 1
    assert isinstance(both.out_of_time(), CannotFinish)
    both.abandon()
    waiting.join()
    assert isinstance(both.out_of_time(), CannotFinish)


@pytest.mark.parametrize("pauses", [1, 9], ids=["one long pause", "many"])
def test_silence_is_not_slowness(clock: Clock, road: WatchedRoad, pauses: int) -> None:
    """What a host asked to wait for, or kept silent, does not make a blob too large."""
    one = Pace(Deadline.after(100), road)
    one.began(LARGE)
    for _ in range(pauses):
        travel(clock, 10 // pauses, (one, LARGE, 10))
        clock.now += 89 / pauses
    clock.now += 10
    with pytest.raises(DeadlineExceeded):
        one.advanced(LARGE, 10)


def test_the_traffic_of_other_copies_is_not_its_own(clock: Clock, road: WatchedRoad) -> None:
    """Beside another copy's stream a blob is not by itself, however slow it is."""
    one, other = Pace(Deadline.after(100), road), Pace(NEVER, road)
    one.began(LARGE)
    other.began(LARGER)
    travel(clock, 99, (one, LARGE, 1), (other, LARGER, 7))
    clock.now += 1
    with pytest.raises(DeadlineExceeded):
        one.advanced(LARGE, 1)


def test_too_large_is_what_a_whole_attempt_has_no_time_for(clock: Clock, road: WatchedRoad) -> None:
    """A copy that begins late in an attempt leaves it to the next, which begins with it."""
    deadline = Deadline.after(100)
    clock.now += 50
    late = Pace(deadline, road)
    late.began(LARGE)
    travel(clock, 49, (late, LARGE, 9))
    clock.now += 1
    with pytest.raises(DeadlineExceeded):
        late.advanced(LARGE, 9)


def test_a_blob_that_begins_anew_is_alone_no_more(clock: Clock, road: WatchedRoad) -> None:
    """With all of its way to go, it may not be the one that the others wait for."""
    both = Pace(Deadline.after(100), road)
    both.began(LARGE)
    both.began(LARGER)
    travel(clock, 5, (both, LARGE, 5), (both, LARGER, 5))
    travel(clock, 1, (both, LARGE, 5))
    both.began(LARGE)
    both.advanced(LARGER, 5)


def test_an_abandoned_copy_stops(clock: Clock, road: WatchedRoad) -> None:
    """Whatever travels or waits to travel comes to its end, however much time there is."""
    both = Pace(NEVER, road)
    both.began(LARGE)
    travel(clock, 1, (both, LARGE, 1))
    both.abandon()
    with pytest.raises(DeadlineExceeded):
        both.advanced(LARGE, 1)
    assert both.deadline.left == 0


def test_without_a_deadline_nothing_is_hurried(clock: Clock, road: WatchedRoad) -> None:
    """Somebody at a terminal may wait as long as they like."""
    both = Pace(NEVER, road)
    both.began(SMALL)
    both.began(LARGE)
    travel(clock, 100, (both, SMALL, 0), (both, LARGE, 0))
    clock.now += 10**9
    both.advanced(LARGE, 1)
    assert not road.left.is_set()
    assert both.deadline.at == math.inf
