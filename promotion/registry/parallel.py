"""Threads for requests, which all copies of the process share.

There are three kinds, so that none keeps another waiting: for requests that are over in one round
trip, for look-ups that run beside them, and for blobs whose bytes travel, which may take minutes.
A task on any of them does requests, and waits for no task of its own kind to begin.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

REQUESTS = 32
LOOK_UPS = 16
STREAMS = 16

Result = TypeVar("Result")

_requests = ThreadPoolExecutor(REQUESTS, thread_name_prefix="registry-request")
_look_ups = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="registry-look-up")
_streams = ThreadPoolExecutor(STREAMS, thread_name_prefix="registry-stream")


def start(task: Callable[[], Result]) -> Future[Result]:
    """Begin a request beside the caller, in the caller's logging context."""
    return _requests.submit(contextvars.copy_context().run, task)


def start_look_up(task: Callable[[], Result]) -> Future[Result]:
    """Begin a request that nothing waits for yet."""
    return _look_ups.submit(contextvars.copy_context().run, task)


def start_stream(task: Callable[[], Result]) -> Future[Result]:
    """Begin to let bytes travel."""
    return _streams.submit(contextvars.copy_context().run, task)
