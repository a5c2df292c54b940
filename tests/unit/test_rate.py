"""How fast a host is asked that has refused requests: on a clock of steps.

Nothing here waits: a simulation plays every request of some processes against one host, from event
to event, and counts what the host answers and refuses.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.registry.rate import Booking, Rate

LIMIT = 50
THREADS = 16
LATENCY = 0.01
Host = Callable[[float], bool]


def fixed_window(seconds: int = 1) -> Host:
    """A host that answers so many requests a second, counted by windows of its clock."""
    answered: Counter[int] = Counter()

    def admits(now: float) -> bool:
        window = int(now // seconds)
        if answered[window] == LIMIT * seconds:
            return False
        answered[window] += 1
        return True

    return admits


def sliding_window() -> Host:
    """A host that answers so many requests in any second, as bench/limited.py does."""
    times: deque[float] = deque()

    def admits(now: float) -> bool:
        while times and times[0] <= now - 1:
            times.popleft()
        if len(times) == LIMIT:
            return False
        times.append(now)
        return True

    return admits


def token_bucket() -> Host:
    """A host that answers a burst of two seconds' requests, and then as many as its limit."""
    bucket = {"tokens": 2.0 * LIMIT, "filled": 0.0}

    def admits(now: float) -> bool:
        grown = bucket["tokens"] + (now - bucket["filled"]) * LIMIT
        bucket.update(tokens=min(grown, 2.0 * LIMIT), filled=now)
        if bucket["tokens"] < 1:
            return False
        bucket["tokens"] -= 1
        return True

    return admits


@dataclass
class Simulation:
    """Processes that each ask a host for all that they may, with so many threads.

    Attributes:
        log: When each request reached the host, and whether that answered it.
    """

    host: Host
    processes: int
    log: list[tuple[float, bool]] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Play so many seconds."""
        self._rates = [Rate() for _ in range(self.processes)]
        self._random = random.Random(8)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        for rate in self._rates * THREADS:
            self._at(self._random.random() / 100, partial(self._book, rate))
        while self._events[0][0] < seconds:
            now, _, happen = heapq.heappop(self._events)
            happen(now)

    def _at(self, moment: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def _book(self, rate: Rate, now: float) -> None:
        booking = rate.book(now)
        self._at(booking.start, partial(self._begin, rate, booking))

    def _begin(self, rate: Rate, booking: Booking, now: float) -> None:
        if booking.terms != rate.terms:
            self._book(rate, now)
            return
        answered = self.host(now)
        self.log.append((now, answered))
        end = now + LATENCY * self._random.uniform(0.5, 1.5)
        self._at(end, partial(self._end, rate, now, answered))

    def _end(self, rate: Rate, began: float, answered: bool, now: float) -> None:
        if answered:
            rate.answered(now)
            self._book(rate, now)
        else:
            rate.refused(began, now, 0)
            self._at(now + self._random.uniform(0.25, 0.5), partial(self._book, rate))


@pytest.mark.parametrize("host", [fixed_window, sliding_window, token_bucket])
@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_a_host_with_a_limit_is_kept_just_under_it(
    host: Callable[[], Host], processes: int
) -> None:
    """Settled, it refuses less than one request in twenty and gives four fifths of what it can."""
    simulation = Simulation(host(), processes)
    simulation.run(120)
    settled = [answered for moment, answered in simulation.log if moment >= 30]
    assert settled.count(False) < 0.05 * len(settled)
    assert settled.count(True) > 0.8 * LIMIT * 90


def test_a_first_burst_costs_few_refusals() -> None:
    """Of one process, no more than its threads had under way, and a few more."""
    simulation = Simulation(sliding_window(), 1)
    simulation.run(10)
    assert [answered for _, answered in simulation.log].count(False) <= 2 * THREADS


def test_a_host_that_never_refuses_is_never_held_back() -> None:
    """However much is asked of it, every request may begin at once."""
    rate = Rate()
    for request in range(10_000):
        assert rate.book(request / 5_000).start == request / 5_000
        rate.answered(request / 5_000)
    assert math.isinf(rate.at(2))


def lowered(answered: int = 50) -> Rate:
    """The rate of a host that has answered so many requests in the second before 100, no more."""
    rate = Rate()
    for request in range(answered):
        rate.answered(99 + (request + 1) / answered)
    rate.refused(99.99, 100, 0)
    return rate


def test_a_rate_begins_below_what_was_answered() -> None:
    """Four fifths of it; where little was asked, of what nearly any host can bear."""
    assert lowered(50).at(100) == 40
    assert lowered(400).at(100) == 320
    assert lowered(1).at(100) == 16


def test_what_was_answered_before_counts() -> None:
    """Where a second's requests came in a moment, the next ones wait until they would be due."""
    rate = Rate()
    for _ in range(50):
        rate.answered(100)
    rate.refused(100, 100, 0)
    assert rate.earliest(100) == 100 + 50 / 40


def test_a_rate_grows_slowly_and_ends_after_a_quiet_minute() -> None:
    """By half a request a second with each second; then the host gets whatever is wanted."""
    rate = lowered()
    assert rate.at(110) == 45
    assert rate.at(159) == 69.5
    assert math.isinf(rate.at(160))


def test_refusals_of_one_round_lower_the_rate_once() -> None:
    """What began in the first second of a lower rate says nothing of it, later ones do."""
    rate = lowered()
    for began in (99.99, 100, 100.99):
        rate.refused(began, 101, 0)
    assert rate.at(101) >= 40
    rate.refused(101.5, 102, 0)
    assert rate.at(102) < 40


def test_a_host_that_refuses_everything_is_still_asked() -> None:
    """Once a second at least, which finds out when it answers again."""
    rate = lowered()
    for second in range(101, 140):
        rate.refused(second, second, 0)
    assert 1 <= rate.at(139) < 2


@given(st.floats(0.5, 24 * 60 * 60), st.integers(2, 40))
def test_a_pause_ends_one_by_one(pause: float, waiting: int) -> None:
    """However long it is: nobody begins before its end, and then each after an interval."""
    rate = lowered()
    rate.refused(100, 100, pause)
    starts = [rate.book(101).start for _ in range(waiting)]
    assert starts[0] >= 100 + pause
    assert all(later - sooner >= 1 / 70 for sooner, later in itertools.pairwise(starts))


def test_a_pause_is_not_part_of_the_quiet_minute() -> None:
    """A host that asked for an hour is held back for a minute after it."""
    rate = lowered()
    rate.refused(100, 100, 3600)
    assert rate.at(3700) == 40
    assert math.isinf(rate.at(3760))


def test_bookings_are_made_anew_when_the_rate_is_lowered() -> None:
    """Those who wait for their moments do not come as fast as it was thought that they could."""
    rate = lowered()
    waiting = [rate.book(100) for _ in range(10)]
    assert all(each.terms == rate.terms for each in waiting)
    rate.refused(101.5, 101.5, 0)
    assert all(each.terms != rate.terms for each in waiting)


@given(st.lists(st.tuples(st.sampled_from(["book", "answer", "refuse"]), st.floats(0, 3))))
def test_moments_of_one_rate_are_in_order(steps: list[tuple[str, float]]) -> None:
    """Whatever happens, no booking begins before now, nor before one of the same terms."""
    rate, now, last = Rate(), 0.0, Booking(-math.inf, 0)
    for step, seconds in steps:
        now += seconds
        if step == "answer":
            rate.answered(now)
        elif step == "refuse":
            rate.refused(now - seconds, now, seconds)
        else:
            booking = rate.book(now)
            assert booking.start >= now
            assert booking.terms != last.terms or booking.start >= last.start
            last = booking
        assert rate.at(now) >= 1
