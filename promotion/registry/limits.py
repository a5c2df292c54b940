"""How much a host gets at once, and when it is left alone.

One limit for each host, shared by everything in the process: it shrinks by half when the host says
that it is too much, grows by one after as many successes, and a pause that the host asks for holds
for all. Requests are over in a moment and wait for a turn here; streams take minutes, so they are
counted apart (in parallel.py), where neither kind takes the other's turns. What the host can bear
is known from both, and so there are fewer streams when there may be fewer requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from promotion.deadline import Deadline
from promotion.errors import DeadlineExceeded


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
        self._quiet_until = 0.0
        self._lowered_at = 0.0
        self._changed = threading.Condition()

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
        self._await(deadline, self._take)
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def await_quiet(self, deadline: Deadline) -> None:
        """Wait until the host need not be left alone, without taking a turn.

        Raises:
            DeadlineExceeded: It wants to be left alone for longer than there is time.
        """
        self._await(deadline, lambda: True)

    def succeeded(self) -> None:
        """The host has answered a request: a little more may be asked of it."""
        with self._changed:
            self._allowed = min(self._most, self._allowed + 1 / self._allowed)
            self._changed.notify_all()

    def throttled(self, began: float, pause: float) -> None:
        """The host has refused a request that began then: less, and nothing during the pause.

        Requests that were under way together and refused together lower the limit once.
        """
        with self._changed:
            if began >= self._lowered_at:
                self._allowed = max(1.0, self._allowed / 2)
                self._lowered_at = time.monotonic()
            self._quiet_until = max(self._quiet_until, time.monotonic() + pause)

    def _take(self) -> bool:
        if self._under_way >= self.allowed:
            return False
        self._under_way += 1
        return True

    def _await(self, deadline: Deadline, ready: Callable[[], bool]) -> None:
        with deadline.ending(self._look_again), self._changed:
            while True:
                quiet = max(self._quiet_until - time.monotonic(), 0.0)
                if deadline.left <= 0 or quiet >= deadline.left:
                    raise self._too_late(deadline, quiet)
                if not quiet and ready():
                    return
                self._changed.wait(quiet or None)

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _too_late(self, deadline: Deadline, quiet: float) -> DeadlineExceeded:
        if not quiet:
            return DeadlineExceeded(f"There is no time left in this attempt to ask {self._host}")
        return DeadlineExceeded(
            f"{self._host} asks to be left alone for {quiet:.0f} s, and there are"
            f" {max(deadline.left, 0):.0f} s left for this attempt"
        )
