"""How much a host gets at once, and when it is left alone.

One limit for each host, shared by everything in the process: it shrinks by half when the host says
that it is too much, grows by one after as many answers, and a pause that the host asks for holds
for all. That does not hold back a host that answers, or refuses, in a moment: so after a refusal
requests also begin no faster than it bears (rate.py), each at a moment of its own.

Requests are over in a moment and wait for a turn here; streams take minutes, so they are counted
apart (in parallel.py), where neither kind takes the other's turns. What the host can bear is known
from both, and so there are fewer streams when there may be fewer requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from promotion.deadline import Deadline
from promotion.errors import DeadlineExceeded
from promotion.registry.rate import Booking, Rate


class HostLimit:
    """The limit of one host; safe to share between threads.

    Attributes:
        most: How many requests it gets at once when it bears everything.
        most_streams: The same for streams.
    """

    def __init__(self, host: str, most: int, most_streams: int = 1) -> None:
        self._host = host
        self._most = most
        self._most_streams = most_streams
        self._allowed = float(most)
        self._under_way = 0
        self._lowered_at = 0.0
        self._rate = Rate()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        # Who waits for a moment has nothing from each answer, by which turns are given back.
        self._terms_changed = threading.Condition(lock)

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        return int(self._allowed)

    @property
    def streams(self) -> int:
        """How many streams may be under way now; always one at least."""
        return max(1, int(self._most_streams * self._allowed / self._most))

    @contextmanager
    def slot(self, deadline: Deadline) -> Iterator[None]:
        """Wait for a turn, and keep it.

        Raises:
            DeadlineExceeded: There will be no turn in time.
        """
        with deadline.ending(self._look_again), self._changed:
            self._await_turn(deadline)
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def await_start(self, deadline: Deadline) -> None:
        """Wait until a request may begin; at once, where the host has not refused any of late.

        Raises:
            DeadlineExceeded: That is later than there is time.
        """
        with self._terms_changed:
            booking = self._book(deadline)
        if booking.start > time.monotonic():
            with deadline.ending(self._look_again), self._terms_changed:
                self._await_booked(booking, deadline)

    def answered(self) -> None:
        """The host has answered a request: a little more may be asked of it."""
        with self._changed:
            self._allowed = min(self._most, self._allowed + 1 / self._allowed)
            self._rate.answered(time.monotonic())
            self._changed.notify_all()

    def throttled(self, began: float, pause: float) -> None:
        """The host has refused a request that began then: less, and nothing during the pause.

        Requests that were under way together and refused together lower the limit once.
        """
        with self._changed:
            now = time.monotonic()
            if began >= self._lowered_at:
                self._allowed = max(1.0, self._allowed / 2)
                self._lowered_at = now
            self._rate.refused(began, now, pause)
            self._changed.notify_all()
            self._terms_changed.notify_all()

    def _await_turn(self, deadline: Deadline) -> None:
        while True:
            quiet = max(self._rate.quiet_until - time.monotonic(), 0.0)
            self._check(deadline, quiet)
            if not quiet and self._under_way < self.allowed:
                return
            self._changed.wait(quiet or None)

    def _await_booked(self, booking: Booking, deadline: Deadline) -> None:
        while True:
            if booking.terms != self._rate.terms:
                booking = self._book(deadline)
            wait = booking.start - time.monotonic()
            self._check(deadline, wait)
            if wait <= 0:
                return
            self._terms_changed.wait(wait)

    def _book(self, deadline: Deadline) -> Booking:
        # What cannot begin in time takes nobody's moment.
        now = time.monotonic()
        self._check(deadline, self._rate.earliest(now) - now)
        return self._rate.book(now)

    def _check(self, deadline: Deadline, wait: float) -> None:
        if deadline.left <= 0 or wait >= deadline.left:
            raise self._too_late(deadline, wait)

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()
            self._terms_changed.notify_all()

    def _too_late(self, deadline: Deadline, wait: float) -> DeadlineExceeded:
        if wait <= 0:
            return DeadlineExceeded(f"There is no time left in this attempt to ask {self._host}")
        left = f"and there are {max(deadline.left, 0):.0f} s left for this attempt"
        if self._rate.quiet_until > time.monotonic():
            return DeadlineExceeded(f"{self._host} asks to be left alone for {wait:.0f} s, {left}")
        return DeadlineExceeded(
            f"{self._host} has refused requests, and the next one is due in {wait:.0f} s, {left}"
        )
