"""Sees to it that a copy that cannot be done in time still gets on, by at least one blob.

Blobs that travel side by side share the bandwidth, so of several large ones none might arrive
before the deadline, in this attempt and in every further one. Hence, of the blobs that will not
arrive in time as things go, the one that has least to go has the road to itself: at once if that is
clear, and where it is not, when half of the time is gone. The others of them wait until it is
through, which costs nothing, since they would have to begin anew in the next attempt. What arrives
anyway, or is small beside it, goes on, and changes nothing.

A blob that would take longer than a whole attempt even then is too large for good. Only the time
counts for this in which its bytes flowed and those of no other: not a host's silence, nor a pause
that it asked for, nor what the process did for other copies. Where that is not enough to tell by,
the attempt has come to its end, and the next one goes on.
"""

from __future__ import annotations

import math
import threading
import time

import msgspec

from promotion.deadline import Cancellation, Deadline
from promotion.errors import CannotFinish, DeadlineExceeded
from promotion.registry.manifest import Blob
from promotion.registry.reference import Digest

# Bytes that come after a longer silence say nothing about speed; in seconds.
_SILENCE = 5.0
# Of the time of an attempt: how long bytes have to flow before their speed is known well enough
# to let others wait, and to call a blob too large for good.
_KNOWN = 1 / 20
_CERTAIN = 1 / 4
# Speed varies: a blob is in good time if it would be even at this part of its speed, sure to be
# late if it would be even at so much more, and too large if it would be at a little more.
_MARGIN = 3 / 4
_CLEARLY = 5 / 4
_HOPE = 11 / 10
# What has so little to go, beside a blob that has the road to itself, does not disturb it.
_SMALL = 1 / 10


class Road:
    """What the streams of all copies share; tells who is on it alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._changes = 0

    def enter(self) -> None:
        """One more."""
        self._change(1)

    def leave(self) -> None:
        """One less."""
        self._change(-1)

    @property
    def sole_use(self) -> int | None:
        """A number for the time that one is alone on it, the same as long as that lasts."""
        with self._lock:
            return self._changes if self._count == 1 else None

    def _change(self, by: int) -> None:
        with self._lock:
            self._count += by
            self._changes += 1


_ROAD = Road()


class _Flow(msgspec.Struct):
    """So many bytes in so many seconds of flowing."""

    count: int = 0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0

    def add(self, count: int, seconds: float) -> None:
        self.count += count
        self.seconds += seconds


class _Travelling(msgspec.Struct):
    blob: Blob
    left: int
    flow: _Flow = msgspec.field(default_factory=_Flow)
    flow_alone: _Flow = msgspec.field(default_factory=_Flow)
    moved_at: float = -math.inf
    sole_use: int | None = None

    def advance(self, count: int, sole_use: int | None) -> None:
        now = time.monotonic()
        seconds = now - self.moved_at
        if seconds <= _SILENCE:
            self.flow.add(count, seconds)
            if sole_use is not None and sole_use == self.sole_use:
                self.flow_alone.add(count, seconds)
        self.left -= count
        self.moved_at = now
        self.sole_use = sole_use

    def is_silent(self) -> bool:
        """Whether nothing of it has come for a while."""
        return time.monotonic() - self.moved_at > _SILENCE

    def is_late(self, seconds: float, faster: float = _MARGIN) -> bool:
        """Whether it will not be through in so many seconds, at so many times its speed."""
        return self.left > faster * self.flow.speed * seconds


class Pace:
    """The pace of one copy; told by the threads that its blobs travel on.

    Attributes:
        deadline: When the copy has to be done; it passes at once when the copy is abandoned.
    """

    def __init__(self, deadline: Deadline, road: Road = _ROAD) -> None:
        self._cancellation = Cancellation()
        self.deadline = deadline.unless(self._cancellation)
        self._began_at = time.monotonic()
        self._seconds = deadline.left
        self._road = road
        self._changed = threading.Condition()
        self._travelling: dict[Digest, _Travelling] = {}
        self._by_itself: Digest | None = None
        self._too_large: CannotFinish | None = None

    @property
    def lasts(self) -> float:
        """For how many seconds the copy has been under way."""
        return time.monotonic() - self._began_at

    def abandon(self) -> None:
        """Nobody wants the copy any more: everything that is under way for it ends."""
        self._cancellation.call()

    def began(self, blob: Blob) -> None:
        """A blob sets out, or sets out anew."""
        with self._changed:
            if blob.digest in self._travelling:
                self._stop(blob)
            self._travelling[blob.digest] = _Travelling(blob, blob.size)
            self._road.enter()

    def advanced(self, blob: Blob, count: int) -> None:
        """So many bytes of it have travelled; returns when further ones may.

        Raises:
            DeadlineExceeded: Time is up.
            CannotFinish: Time is up, and there is a blob that would take more than all of it.
        """
        with self._changed:
            travelling = self._travelling[blob.digest]
            travelling.advance(count, self._road.sole_use)
            if self.deadline.left > 0:
                self._choose()
            gives_way = self._gives_way(travelling)
        if gives_way:
            self._let_pass(travelling)
        if self.deadline.left <= 0:
            raise self.out_of_time()

    def ended(self, blob: Blob) -> None:
        """A blob has arrived, or stopped."""
        with self._changed:
            if blob.digest in self._travelling:
                self._stop(blob)

    def out_of_time(self) -> CannotFinish | DeadlineExceeded:
        """What it means that the deadline has passed."""
        with self._changed:
            for travelling in self._travelling.values():
                if self._is_too_large(travelling):
                    self._too_large = self._too_large or _too_large(travelling, self.deadline)
            return self._too_large or DeadlineExceeded(
                f"The time for this attempt is used up{self._what_is_left()};"
                " the next attempt goes on with what is there"
            )

    def _stop(self, blob: Blob) -> None:
        del self._travelling[blob.digest]
        self._road.leave()
        if self._by_itself == blob.digest:
            self._by_itself = None
        self._changed.notify_all()

    def _choose(self) -> None:
        """Let a blob have the road to itself, if one needs it."""
        if self._by_itself or math.isinf(self._seconds):
            return
        moving = [each for each in self._travelling.values() if each.flow.seconds]
        if max((each.flow.seconds for each in moving), default=0.0) < self._seconds * _KNOWN:
            return
        left = self.deadline.left
        late = [each for each in moving if each.is_late(left) and not each.is_silent()]
        nearest = min(late, key=lambda each: each.left, default=None)
        if nearest is None:
            return
        if left <= self._seconds / 2 or nearest.is_late(left, _CLEARLY):
            self._by_itself = nearest.blob.digest

    def _gives_way(self, travelling: _Travelling) -> bool:
        if self._by_itself in (None, travelling.blob.digest):
            return False
        chosen = self._travelling[self._by_itself]
        is_small = travelling.left <= chosen.blob.size * _SMALL
        return not (is_small or chosen.is_silent()) and travelling.is_late(self.deadline.left)

    def _let_pass(self, travelling: _Travelling) -> None:
        self._road.leave()
        try:
            with self.deadline.ending(self._look_again), self._changed:
                while self.deadline.left > 0 and self._gives_way(travelling):
                    self._changed.wait(_SILENCE)
        finally:
            self._road.enter()
        travelling.moved_at = -math.inf

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _is_too_large(self, travelling: _Travelling) -> bool:
        alone, whole = travelling.flow_alone, self.deadline.length
        most = alone.speed * whole * _HOPE
        return alone.seconds >= whole * _CERTAIN and travelling.blob.size > most

    def _what_is_left(self) -> str:
        nearest = min(self._travelling.values(), key=lambda each: each.left, default=None)
        if nearest is None:
            return ""
        return f", with {nearest.left} of {nearest.blob.size} bytes of {nearest.blob.digest} to go"


def _too_large(travelling: _Travelling, deadline: Deadline) -> CannotFinish:
    blob, speed = travelling.blob, travelling.flow_alone.speed
    return CannotFinish(
        f"The blob {blob.digest} of {blob.size} bytes travels at {speed:.0f} bytes a second even by"
        f" itself, and so cannot be brought over within the {deadline.length:.0f} s that an attempt"
        " has; copy the image once by hand (promotion copy), then it is found"
    )
