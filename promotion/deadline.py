"""Deadlines: how long work may still take, measured on a clock that is never set.

A deadline can be kept to by whoever looks at it now and then, and holds for whoever cannot because
they wait for something: they register what ends their wait, and one thread for the whole process
does that when the time has come. The same ends work that is cancelled.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec


class Cancellation:
    """Ends the waits of a piece of work that nobody wants any more, before their deadline."""

    def __init__(self) -> None:
        self._called = threading.Event()

    @property
    def is_called(self) -> bool:
        """Whether the work is to end."""
        return self._called.is_set()

    def call(self) -> None:
        """Let the work end, in whatever threads it is done."""
        self._called.set()
        _watch.look()


class Deadline(msgspec.Struct, frozen=True):
    """A moment on the monotonic clock, which a cancellation may bring forward.

    Attributes:
        at: The moment, in seconds.
        length: The seconds that a whole attempt has, from its begin to its deadline.
        cancellation: What else ends the work.
    """

    at: float
    length: float = math.inf
    cancellation: Cancellation | None = None

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment that is so many seconds away, for an attempt that begins now."""
        return cls(time.monotonic() + seconds, seconds)

    def within(self, seconds: float) -> Deadline:
        """The moment that is so many seconds away, or this one, if it is sooner."""
        return Deadline(min(self.at, time.monotonic() + seconds), self.length, self.cancellation)

    def unless(self, cancellation: Cancellation) -> Deadline:
        """The same moment, for work that can be cancelled."""
        return Deadline(self.at, self.length, cancellation)

    @property
    def left(self) -> float:
        """How many seconds are left; zero or negative when it has passed."""
        if self.cancellation and self.cancellation.is_called:
            return 0.0
        return self.at - time.monotonic()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """See to it that a wait ends: if the deadline passes meanwhile, ``end`` is called.

        It is called from another thread, and must neither wait nor raise.
        """
        if self.cancellation is None and math.isinf(self.at):
            yield
            return
        key = _watch.add(self, end)
        try:
            yield
        finally:
            _watch.remove(key)

    def wait(self, event: threading.Event, seconds: float = math.inf) -> None:
        """Wait for an event, so many seconds at most, and not beyond the deadline."""
        with self.ending(event.set):
            event.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))


class _Watch:
    """Ends the waits whose deadline has passed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: dict[object, tuple[Deadline, Callable[[], None]]] = {}
        self._looks_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline, end: Callable[[], None]) -> object:
        key = object()
        with self._changed:
            self._waits[key] = deadline, end
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            if deadline.left <= 0 or deadline.at < self._looks_at:
                self._changed.notify()
        return key

    def remove(self, key: object) -> None:
        with self._changed:
            self._waits.pop(key, None)

    def look(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                for key, (deadline, end) in list(self._waits.items()):
                    if deadline.left <= 0:
                        del self._waits[key]
                        end()
                self._looks_at = min(
                    (each.at for each, _ in self._waits.values()), default=math.inf
                )
                pause = self._looks_at - time.monotonic()
                self._changed.wait(min(max(pause, 0.0), threading.TIMEOUT_MAX))


_watch = _Watch()

NEVER = Deadline(math.inf)
"""For people at a terminal, who can interrupt."""

_current: ContextVar[Deadline] = ContextVar("deadline", default=NEVER)


def current() -> Deadline:
    """The deadline of what is being done: it reaches what no argument does."""
    return _current.get()


@contextmanager
def attempting(seconds: float) -> Iterator[Deadline]:
    """Do what follows by a deadline so many seconds away, or by one that is kept to, if sooner."""
    deadline = Deadline.after(seconds)
    with keeping(min(deadline, current(), key=lambda each: each.at)) as sooner:
        yield sooner


@contextmanager
def keeping(deadline: Deadline) -> Iterator[Deadline]:
    """Do what follows by a deadline."""
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)
