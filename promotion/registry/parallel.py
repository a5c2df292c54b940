"""Threads for requests, which all copies of the process share.

There are three kinds, so that none keeps another waiting: for requests that are over in one round
trip, for look-ups that run beside them, and for blobs whose bytes travel, which may take minutes.
A task on any of them does requests, and waits for no task of its own kind to begin. Nor does a host
that stands still, or has asked for a pause, keep requests to others waiting: each has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Protocol, TypeVar

from promotion.registry.limits import HostLimit
from promotion.registry.lines import Lines

REQUESTS = 32
"""The requests that are under way to one host."""
LOOK_UPS = 16
"""The look-ups that are under way at one host."""
STREAMS = 16
"""The blobs that travel from or to one host."""
STREAMS_IN_ALL = 2 * STREAMS
"""The blobs that travel between all hosts."""
_HOSTS = 4

Result = TypeVar("Result")
Arrived_co = TypeVar("Arrived_co", covariant=True)


class Stream(Protocol[Arrived_co]):
    """A task that lets bytes travel."""

    @property
    def limits(self) -> Collection[HostLimit]:
        """The limits of the hosts that it takes part in, each once."""

    def __call__(self) -> Arrived_co:
        """Let them travel."""


_requests: Lines[str] = Lines(_HOSTS * REQUESTS, lambda _: REQUESTS, "registry-request")
_look_ups: Lines[str] = Lines(_HOSTS * LOOK_UPS, lambda _: LOOK_UPS, "registry-look-up")
_streams: Lines[HostLimit] = Lines(STREAMS_IN_ALL, lambda limit: limit.streams, "registry-stream")


def start(task: Callable[[], Result], host: str = "") -> Future[Result]:
    """Begin a request beside the caller, in the caller's logging context.

    Args:
        task: Does the request.
        host: Whom it asks; those that name none share one line.
    """
    return _requests.start(task, {host})


def start_look_up(task: Callable[[], Result], host: str) -> Future[Result]:
    """Begin a request to a host that nothing waits for yet."""
    return _look_ups.start(task, {host})


def start_stream(task: Stream[Result]) -> Future[Result]:
    """Begin to let bytes travel."""
    return _streams.start(task, task.limits)
