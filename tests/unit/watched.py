"""Knowing that a thread has come to wait: what a test has to know before it lets things go on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from promotion.deadline import Cancellation


class Watched(Cancellation):
    """Is never called, and tells, once, when somebody who waits looks at it."""

    def __init__(self, tell: Callable[[], object]) -> None:
        super().__init__()
        self._tell = tell
        self._looks = count()

    @property
    def is_called(self) -> bool:
        """No."""
        if next(self._looks) == 0:
            self._tell()
        return False
