"""Doing a thing once for all threads that want it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """Whoever asks while the answer is on its way waits for it, and shares it or its error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Key, Future[Result]] = {}

    def do(self, key: Key, task: Callable[[], Result]) -> Result:
        """The result of the task, done by this thread or by one that has begun it."""
        with self._lock:
            begun = self._under_way.get(key)
            flight = self._under_way.setdefault(key, Future())
        if begun is None:
            self._fly(key, flight, task)
        return flight.result()

    def _fly(self, key: Key, flight: Future[Result], task: Callable[[], Result]) -> None:
        try:
            flight.set_result(task())
        except BaseException as error:
            flight.set_exception(error)
        finally:
            with self._lock:
                del self._under_way[key]
