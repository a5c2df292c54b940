"""Threads for requests, which all copies of the process share.

There are three kinds, so that none keeps another waiting: for requests that are over in one round
trip, for look-ups that run beside them, and for blobs whose bytes travel, which may take minutes.
A task on any of them does requests, and waits for no task of its own kind to begin.
"""

from __future__ import annotations

import contextvars
import threading
from collections import Counter
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
        self._waiting: list[_Waiting[Any]] = []
        self._running = 0
        self._turns: Counter[HostLimit] = Counter()

    def start(self, task: Stream[Result]) -> Future[Result]:
        """Begin it as soon as there is a turn for it, in the caller's logging context."""
        waiting = _Waiting(task)
        with self._lock:
            self._waiting.append(waiting)
        self._begin_what_may()
        return waiting.future

    def _begin_what_may(self) -> None:
        with self._lock:
            self._waiting = [each for each in self._waiting if not self._began(each)]

    def _began(self, waiting: _Waiting[Any]) -> bool:
        if waiting.is_dropped():
            return True
        limits = waiting.task.limits
        if self._running == self._most or any(
            self._turns[limit] >= limit.streams for limit in limits
        ):
            return False
        self._running += 1
        self._turns.update(limits)
        self._threads.submit(self._run, waiting)
        return True

    def _run(self, waiting: _Waiting[Any]) -> None:
        try:
            waiting.run()
        finally:
            with self._lock:
                self._running -= 1
                self._turns.subtract(waiting.task.limits)
                self._turns += Counter()
            self._begin_what_may()


class _Waiting(Generic[Result]):
    """A stream that is to begin, and its outcome."""

    def __init__(self, task: Stream[Result]) -> None:
        self.task = task
        self.future: Future[Result] = Future()
        self._context = contextvars.copy_context()

    def is_dropped(self) -> bool:
        return self.future.cancelled() and not self.future.set_running_or_notify_cancel()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._context.run(self.task))
        except BaseException as error:
            self.future.set_exception(error)


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
