"""Doing a thing once for all threads that want it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from promotion.deadline import current
from promotion.errors import DeadlineExceeded

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """Whoever asks while the answer is on its way waits for it, and shares it.

    An error is shared as well, unless it is of the kind ``own``: such errors are the matter of the
    thread that ran into them, such as the end of its time. Whoever waited for it tries by itself.
    """

    def __init__(self, own: type[Exception] = DeadlineExceeded) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._under_way: dict[Key, Future[Result]] = {}

    def do(self, key: Key, task: Callable[[], Result]) -> Result:
        """The result of the task, done by this thread or by one that has begun it.

        Raises:
            DeadlineExceeded: It took the other one longer than this thread has time.
        """
        while True:
            with self._lock:
                begun = self._under_way.get(key)
                flight = self._under_way.setdefault(key, Future())
            if begun is None:
                return self._fly(key, flight, task)
            _await(flight)
            error = flight.exception()
            if error is None or not self._is_own(error):
                return flight.result()

    def _fly(self, key: Key, flight: Future[Result], task: Callable[[], Result]) -> Result:
        try:
            result = task()
        except BaseException as error:
            self._land(key)
            flight.set_exception(error)
            raise
        self._land(key)
        flight.set_result(result)
        return result

    def _land(self, key: Key) -> None:
        # Before those who wait for it are told: one of them may set out again.
        with self._lock:
            del self._under_way[key]

    def _is_own(self, error: BaseException) -> bool:
        return isinstance(error, self._own) or not isinstance(error, Exception)


def _await(flight: Future[Result]) -> None:
    landed = threading.Event()
    flight.add_done_callback(lambda _: landed.set())
    current().wait(landed)
    if not flight.done():
        raise DeadlineExceeded(
            "The time for this attempt is used up, waiting for another one that does the same"
        )
