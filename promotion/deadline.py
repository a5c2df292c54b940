"""Deadlines: how long work may still take, measured on a clock that is never set."""

from __future__ import annotations

import math
import time

import msgspec


class Deadline(msgspec.Struct, frozen=True):
    """A moment on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment that is so many seconds away."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """How many seconds are left; negative when it has passed."""
        return self.at - time.monotonic()


NEVER = Deadline(math.inf)
"""For people at a terminal, who can interrupt."""
