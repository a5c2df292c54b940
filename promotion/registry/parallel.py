"""Threads for requests, which all copies of the process share.

There are three kinds, so that none keeps another waiting: for requests that are over in one round
trip, for look-ups that run beside them, and for blobs whose bytes travel, which may take minutes.
A task on any of them does requests, and waits for no task of its own kind to begin.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from promotion.registry.limits import HostLimit

REQUESTS = 32
LOOK_UPS = 16
STREAMS = 16

Result = TypeVar("Result")
Arrived_co = TypeVar("Arrived_co", covariant=True)


class Stream(Protocol[Arrived_co]):
    """A task that lets bytes travel."""

    @property
    def limits(self) -> Collection[HostLimit]:
        """The limits of the hosts that it takes part in, each once."""

    def __call__(self) -> Arrived_co:
        """Let them travel."""


class Streams:
    """Begins streams in their order, as many at once as each of their hosts bears.

    One whose host has no turn for it lets others go first, and holds no thread meanwhile. Every
    host bears one stream at least, so that whenever one ends, or none is under way, another begins.
    """

    def __init__(self, most: int) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="registry-stream")
        self._most = most
        self._lock = threading.Lock()
        # By the hosts that they take part in: what keeps one from beginning keeps all behind it.
        self._lines: dict[frozenset[HostLimit], deque[_Waiting[Any]]] = {}
        self._numbers = itertools.count()
        self._running = 0
        self._turns: Counter[HostLimit] = Counter()

    def start(self, task: Stream[Result]) -> Future[Result]:
        """Begin it as soon as there is a turn for it, in the caller's logging context."""
        limits = frozenset(task.limits)
        with self._lock:
            waiting = _Waiting(task, limits, next(self._numbers))
            self._lines.setdefault(limits, deque()).append(waiting)
        self._begin_what_may()
        return waiting.future

    def _begin_what_may(self) -> None:
        with self._lock:
            while self._running < self._most and (first := self._first_that_may()):
                self._running += 1
                self._turns.update(first.limits)
                self._threads.submit(self._run, first)

    def _first_that_may(self) -> _Waiting[Any] | None:
        """Of all that may begin, the one that came first; it waits no more."""
        open_lines = [line for limits, line in self._lines.items() if self._has_turn(limits)]
        heads = [line for line in open_lines if _skip_dropped(line)]
        self._lines = {limits: line for limits, line in self._lines.items() if line}
        nearest = min(heads, key=lambda line: line[0].number, default=None)
        return nearest.popleft() if nearest else None

    def _has_turn(self, limits: Collection[HostLimit]) -> bool:
        return all(self._turns[limit] < limit.streams for limit in limits)

    def _run(self, waiting: _Waiting[Any]) -> None:
        try:
            waiting.run()
        finally:
            with self._lock:
                self._running -= 1
                self._turns.subtract(waiting.limits)
                self._turns += Counter()
            self._begin_what_may()


class _Waiting(Generic[Result]):
    """A stream that is to begin, and its outcome."""

    def __init__(self, task: Stream[Result], limits: frozenset[HostLimit], number: int) -> None:
        self.limits = limits
        self.number = number
        self._task = task
        self.future: Future[Result] = Future()
        self._context = contextvars.copy_context()

    def is_dropped(self) -> bool:
        return self.future.cancelled() and not self.future.set_running_or_notify_cancel()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._context.run(self._task))
        except BaseException as error:
            self.future.set_exception(error)


def _skip_dropped(line: deque[_Waiting[Any]]) -> bool:
    """Drop what was cancelled from the head of a line; whether anything is left."""
    while line and line[0].is_dropped():
        line.popleft()
    return bool(line)


_requests = ThreadPoolExecutor(REQUESTS, thread_name_prefix="registry-request")
_look_ups = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="registry-look-up")
_streams = Streams(STREAMS)


def start(task: Callable[[], Result]) -> Future[Result]:
    """Begin a request beside the caller, in the caller's logging context."""
    return _requests.submit(contextvars.copy_context().run, task)


def start_look_up(task: Callable[[], Result]) -> Future[Result]:
    """Begin a request that nothing waits for yet."""
    return _look_ups.submit(contextvars.copy_context().run, task)


def start_stream(task: Stream[Result]) -> Future[Result]:
    """Begin to let bytes travel."""
    return _streams.start(task)
