"""Sees to it that a copy that cannot be done in time still gets on.

Blobs that travel side by side share the bandwidth, so of several large ones none might arrive
before the deadline, in this attempt and in every further one. Hence, when half of the time is used
up and no blob has arrived, the one that has least to go keeps on travelling and the others give
way: an attempt brings over at least one. A blob that is too large for that, at the speed it had to
itself, is too large for good.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from promotion.deadline import Deadline
from promotion.errors import CannotFinish, DeadlineExceeded
from promotion.registry.manifest import Blob
from promotion.registry.reference import Digest


@dataclass
class _Travelling:
    blob: Blob
    left: int
    alone_since: float = 0.0
    left_then: int = 0


class Pace:
    """The pace of one copy; told by the threads that its blobs travel on."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._seconds = deadline.left
        self._lock = threading.Lock()
        self._travelling: dict[Digest, _Travelling] = {}
        self._arrived = 0

    def began(self, blob: Blob) -> None:
        """A blob sets out, or sets out anew."""
        with self._lock:
            self._travelling[blob.digest] = _Travelling(blob, blob.size)

    def advanced(self, blob: Blob, count: int) -> None:
        """So many bytes of it have travelled.

        Raises:
            DeadlineExceeded: It has to stop: time is up, or it gives way to another.
            CannotFinish: Time is up, and even by itself it would take more than all of it.
        """
        with self._lock:
            travelling = self._travelling[blob.digest]
            travelling.left -= count
            self._note_if_alone(travelling)
            if self._deadline.left <= 0:
                raise self._out_of_time(travelling)
            if self._must_give_way(travelling):
                raise DeadlineExceeded(
                    f"The blob {blob.digest} gives way to another, so that this attempt brings"
                    " over at least that one"
                )

    def ended(self, blob: Blob, arrived: bool) -> None:
        """A blob has arrived, or stopped."""
        with self._lock:
            self._travelling.pop(blob.digest, None)
            self._arrived += arrived

    def _note_if_alone(self, travelling: _Travelling) -> None:
        if len(self._travelling) > 1:
            travelling.alone_since = 0.0
        elif not travelling.alone_since:
            travelling.alone_since = time.monotonic()
            travelling.left_then = travelling.left

    def _must_give_way(self, travelling: _Travelling) -> bool:
        half = self._seconds / 2
        if self._arrived or math.isinf(half) or self._deadline.left > half:
            return False
        return min(self._travelling.values(), key=lambda other: other.left) is not travelling

    def _out_of_time(self, travelling: _Travelling) -> Exception:
        blob = travelling.blob
        seconds = time.monotonic() - travelling.alone_since if travelling.alone_since else 0.0
        speed = (travelling.left_then - travelling.left) / seconds if seconds else 0.0
        if seconds >= self._seconds / 3 and blob.size > speed * self._seconds:
            return CannotFinish(
                f"The blob {blob.digest} of {blob.size} bytes travels at {speed:.0f} bytes a second"
                f" and so cannot be brought over within the {self._seconds:.0f} s that an attempt"
                " has; copy the image once by hand (promotion copy), then it is found"
            )
        return DeadlineExceeded(
            f"The time for this attempt is used up, with {travelling.left} of {blob.size} bytes of"
            f" the blob {blob.digest} to go; the next attempt goes on with what is there"
        )
