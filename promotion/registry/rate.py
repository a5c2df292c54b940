"""How many requests a second a host gets, once it has said that there were too many.

A host that never refuses is never held back. One that does gets less than it answered in the last
second, a little more with every second in which it refuses nothing, and whatever is wanted again
after a minute without a refusal. Each request is booked for a moment of its own, so that those who
waited do not all come at once when the wait is over (virtual scheduling, as in ITU-T I.371's
generic cell rate algorithm). Several processes that share a host's limit each keep a rate of their
own: who asks more is refused more, and gives way more.

This is arithmetic on moments, in seconds on any one clock; who waits, and who shares it between
threads, is in limits.py.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

_WINDOW_SECONDS = 1.0
_DECREASE = 0.8
_GROWTH = 0.5
"""How many more requests a second there are with each second; where four processes share a limit
of fifty, they meet it about once a second at this growth."""
_QUIET_SECONDS = 60.0
_LEAST = 1.0
# A host that was asked little has answered little, which says nothing about what it can bear.
_LEAST_AT_FIRST = 20.0


class Booking(msgspec.Struct, frozen=True):
    """When a request may begin.

    Attributes:
        start: The moment.
        terms: What it was made by; it is good while these are the rate's.
    """

    start: float
    terms: int


class Rate:
    """The rate of one host; not safe to share between threads.

    Attributes:
        terms: A number that is another one whenever all bookings have to be made anew.
        quiet_until: When the pause ends that the host has asked for.
    """

    def __init__(self) -> None:
        self.terms = 0
        self.quiet_until = -math.inf
        self._lowered = math.inf
        self._lowered_at = -math.inf
        self._grows_from = -math.inf
        self._next = -math.inf
        self._answered: deque[float] = deque()

    def at(self, now: float) -> float:
        """How many requests a second may begin; infinite while the host is not held back."""
        growing = now - self._grows_from
        if growing >= _QUIET_SECONDS:
            return math.inf
        return self._lowered + _GROWTH * max(growing, 0.0)

    def earliest(self, now: float) -> float:
        """When a request could begin if it were booked now."""
        return max(now, self._next)

    def book(self, now: float) -> Booking:
        """Let one request begin at the earliest moment, and the next one after its interval."""
        start = self.earliest(now)
        self._next = start + 1 / self.at(start)
        return Booking(start, self.terms)

    def answered(self, now: float) -> None:
        """The host has answered a request."""
        self._answered.append(now)
        self._forget(now)

    def refused(self, began: float, now: float, pause: float) -> None:
        """The host has refused a request that began then, and wants nothing during the pause.

        A rate is lowered again only for a request that began when the lower one had been in force
        for a second: what the host still refuses before may be for what it answered earlier.
        """
        rate, quiet_until = self.at(now), max(self.quiet_until, now + pause)
        lowers = math.isinf(rate) or began >= self._lowered_at + _WINDOW_SECONDS
        self._lowered = self._lower(rate, now) if lowers else rate
        self._grows_from = max(self._grows_from, quiet_until)
        if lowers:
            self._lowered_at = now
        if lowers or (pause and quiet_until > self.quiet_until):
            self.terms += 1
            self._next = max(quiet_until, self._paid_for(now))
        self.quiet_until = quiet_until

    def _lower(self, rate: float, now: float) -> float:
        self._forget(now)
        least = _LEAST_AT_FIRST if math.isinf(rate) else rate / 2
        borne = min(max(len(self._answered), least), rate)
        return max(borne * _DECREASE, _LEAST)

    def _paid_for(self, now: float) -> float:
        """When the next one would be due if what was answered just now had come at this rate."""
        if not self._answered:
            return now
        return self._answered[0] + len(self._answered) / self._lowered

    def _forget(self, now: float) -> None:
        while self._answered and self._answered[0] <= now - _WINDOW_SECONDS:
            self._answered.popleft()
