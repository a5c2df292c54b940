"""Where the threads of a proxy wait: so that a test can wait for them, and wake them."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Closed(Exception):
    """The proxy is being closed: nobody is to wait any longer."""


class Waits:
    """Pauses, and gates that are named by those who wait at them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()
        self._released: set[str] = set()
        self._closed = False

    def pause(self, seconds: float) -> None:
        """Wait that long.

        Raises:
            Closed: The proxy is closed before.
        """
        if seconds > 0:
            self._wait(lambda: False, seconds)

    def hold(self, name: str) -> None:
        """Wait for the release of that name.

        Raises:
            Closed: The proxy is closed before.
        """
        with self._changed:
            self._held.add(name)
            self._changed.notify_all()
        self._wait(lambda: name in self._released)

    def release(self, name: str) -> None:
        """Let those go on that are held, or will be, under that name."""
        with self._changed:
            self._released.add(name)
            self._changed.notify_all()

    def await_held(self, name: str, seconds: float) -> bool:
        """Wait until somebody is held under that name; False if nobody is in time."""
        with self._changed:
            return self._changed.wait_for(lambda: name in self._held, seconds)

    def close(self) -> None:
        """Wake everybody, now and from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, over: Callable[[], bool], seconds: float | None = None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or over(), seconds)
            if self._closed:
                raise Closed
