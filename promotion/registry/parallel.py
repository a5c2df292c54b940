"""Doing one thing to many items at once, on threads that all promotions of the process share."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

THREADS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="registry")


def start(task: Callable[[], Result]) -> Future[Result]:
    """Begin a task beside the caller, in the caller's logging context."""
    return _threads.submit(contextvars.copy_context().run, task)


def each(task: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do a task to every item at once; the results, in the order of the items.

    The first error ends it: what has not begun is dropped, what has begun is waited for, and the
    error is raised. A task must not call this function: the threads might wait for each other.
    """
    futures = [start(partial(task, item)) for item in items]
    wait(futures, return_when=FIRST_EXCEPTION)
    for future in futures:
        future.cancel()
    wait([future for future in futures if not future.cancelled()])
    for future in futures:
        if not future.cancelled() and (error := future.exception()):
            raise error
    return [future.result() for future in futures]
