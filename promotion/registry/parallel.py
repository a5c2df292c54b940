"""Threads for requests, which all copies of the process share.

A task on these threads does requests and nothing that waits for another task to begin.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 16

Result = TypeVar("Result")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="registry")


def start(task: Callable[[], Result]) -> Future[Result]:
    """Begin a task beside the caller, in the caller's logging context."""
    return _threads.submit(contextvars.copy_context().run, task)
