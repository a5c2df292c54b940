"""Turns: what must not be done twice at the same moment, by name."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from promotion.deadline import current
from promotion.errors import DeadlineExceeded


class Turns:
    """Lets one thread at a time do a thing; threads with different things do not meet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interested: Counter[str] = Counter()
        self._turns: dict[str, threading.Lock] = {}

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait until nobody else does it, and keep others from doing it meanwhile.

        Raises:
            DeadlineExceeded: Others do it for longer than there is time.
        """
        with self._lock:
            self._interested[name] += 1
            turn = self._turns.setdefault(name, threading.Lock())
        try:
            with _held(turn):
                yield
        finally:
            with self._lock:
                self._interested[name] -= 1
                if not self._interested[name]:
                    del self._interested[name], self._turns[name]


@contextmanager
def _held(turn: threading.Lock) -> Iterator[None]:
    if not turn.acquire(timeout=min(max(current().left, 0.0), threading.TIMEOUT_MAX)):
        raise DeadlineExceeded(
            "The time for this attempt is used up, waiting for another one that does the same"
        )
    try:
        yield
    finally:
        turn.release()
