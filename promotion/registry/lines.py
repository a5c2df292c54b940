"""Tasks that wait in lines until the hosts that they take part in have a turn for them."""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Host = TypeVar("Host", bound=Hashable)
Result = TypeVar("Result")


class Lines(Generic[Host]):
    """Begins tasks in their order, as many at once as each of their hosts bears.

    One whose host has no turn for it lets others go first, and holds no thread meanwhile. Every
    host bears one task at least, so that whenever one ends, or none is under way, another begins.
    """

    def __init__(self, most: int, borne: Callable[[Host], int], name: str) -> None:
        """Begin with no task.

        Args:
            most: How many tasks are under way at once, for all hosts together.
            borne: How many of them a host bears now.
            name: What the threads' names begin with.
        """
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._most = most
        self._borne = borne
        self._lock = threading.Lock()
        # By the hosts that they take part in: what keeps one from beginning keeps all behind it.
        self._lines: dict[frozenset[Host], deque[_Waiting[Any, Host]]] = {}
        self._numbers = itertools.count()
        self._running = 0
        self._turns: Counter[Host] = Counter()

    def start(self, task: Callable[[], Result], hosts: Collection[Host]) -> Future[Result]:
        """Begin it as soon as there is a turn for it, in the caller's logging context."""
        waiting = _Waiting(task, frozenset(hosts), next(self._numbers))
        with self._lock:
            self._lines.setdefault(waiting.hosts, deque()).append(waiting)
        self._begin_what_may()
        return waiting.future

    def _begin_what_may(self) -> None:
        with self._lock:
            while first := self._taken():
                self._threads.submit(self._run, first)

    def _run(self, task: _Waiting[Any, Host]) -> None:
        try:
            task.run()
        finally:
            with self._lock:
                self._give_back(task)
            self._begin_what_may()

    def _taken(self) -> _Waiting[Any, Host] | None:
        """Of all that may begin, the one that came first: it waits no more, and has its turns."""
        if self._running == self._most:
            return None
        open_lines = [line for hosts, line in self._lines.items() if self._have_turn(hosts)]
        heads = [line for line in open_lines if _skip_dropped(line)]
        self._lines = {hosts: line for hosts, line in self._lines.items() if line}
        nearest = min(heads, key=lambda line: line[0].number, default=None)
        if nearest is None:
            return None
        first = nearest.popleft()
        self._running += 1
        self._turns.update(first.hosts)
        return first

    def _have_turn(self, hosts: Collection[Host]) -> bool:
        return all(self._turns[host] < self._borne(host) for host in hosts)

    def _give_back(self, task: _Waiting[Any, Host]) -> None:
        self._running -= 1
        self._turns.subtract(task.hosts)
        self._turns += Counter()


class _Waiting(Generic[Result, Host]):
    """A task that is to begin, and its outcome."""

    def __init__(self, task: Callable[[], Result], hosts: frozenset[Host], number: int) -> None:
        self.hosts = hosts
        self.number = number
        self.future: Future[Result] = Future()
        self._task = task
        self._context = contextvars.copy_context()

    def is_dropped(self) -> bool:
        return self.future.cancelled() and not self.future.set_running_or_notify_cancel()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._context.run(self._task)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


def _skip_dropped(line: deque[_Waiting[Any, Host]]) -> bool:
    """Drop what was cancelled from the head of a line; whether anything is left."""
    while line and line[0].is_dropped():
        line.popleft()
    return bool(line)
