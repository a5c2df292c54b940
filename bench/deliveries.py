"""Delivers messages as Pub/Sub's push does, by so many publishers at once, and takes the time."""

from __future__ import annotations

import base64
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import urllib3

_AT_ONCE = 8
_PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 600.0


@dataclass(frozen=True)
class Message:
    """A message to be published; ``kind`` is evidence, promotion or malformed."""

    kind: str
    data: bytes


@dataclass
class Taken:
    """What became of the messages.

    Attributes:
        seconds: How long each message took, from its publication to its acknowledgement, by kind.
        again: How many deliveries were not acknowledged.
        wall: Seconds for all of them.
    """

    seconds: dict[str, list[float]] = field(
        default_factory=lambda: {kind: [] for kind in ("evidence", "promotion", "malformed")}
    )
    again: int = 0
    wall: float = 0.0

    def milliseconds(self, percent: int, kind: str = "promotion") -> float:
        """The time that so many percent of the messages of a kind took at most; 0 without any."""
        ordered = sorted(self.seconds[kind])
        if not ordered:
            return 0.0
        return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

    @property
    def count(self) -> int:
        """How many messages were taken."""
        return sum(map(len, self.seconds.values()))


def _unwatched(_: int) -> None:
    """Show nothing."""


def deliver(
    messages: Iterable[Message],
    urls: Sequence[str],
    at_once: int = _AT_ONCE,
    watch: Callable[[int], None] = _unwatched,
) -> Taken:
    """Publish them all, each instance taking so many at once, until all are acknowledged.

    Args:
        messages: They are begun in this order.
        urls: The instances.
        at_once: How many messages are under way to each instance.
        watch: Is told after each message how many have been taken.

    Returns:
        What became of them.

    Raises:
        urllib3.exceptions.HTTPError: An instance is not there, or does not answer.
    """
    taken, lock = Taken(), threading.Lock()
    waiting = enumerate(messages, start=1)

    def publish(url: str) -> None:
        with urllib3.PoolManager(retries=False, timeout=_ANSWER_SECONDS) as http:
            while True:
                with lock:
                    number, message = next(waiting, (0, None))
                if message is None:
                    return
                began = time.perf_counter()
                again = _until_taken(http, url, message, number)
                with lock:
                    taken.seconds[message.kind].append(time.perf_counter() - began)
                    taken.again += again
                    watch(taken.count)

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once * len(urls)) as publishers:
        try:
            for each in [publishers.submit(publish, url) for url in list(urls) * at_once]:
                each.result()
        finally:
            # Whatever ends this early, no publisher goes on.
            waiting = enumerate(())
    taken.wall = time.perf_counter() - began
    return taken


def _until_taken(http: urllib3.PoolManager, url: str, message: Message, number: int) -> int:
    """Deliver a message until it is acknowledged; how often it was not.

    The function puts a message aside that has come too often, so this ends.
    """
    content = {
        "data": base64.b64encode(message.data).decode(),
        "messageId": str(number),
        "publishTime": datetime.now(UTC).isoformat(),
    }
    for again in itertools.count():
        if _is_taken(http, url, content, attempt=again + 1):
            return again
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("counting ends only by an answer")


def _is_taken(http: urllib3.PoolManager, url: str, content: dict[str, str], attempt: int) -> bool:
    """Deliver a message once; a connection that breaks is no acknowledgement."""
    pushed = {
        "message": content,
        "subscription": "projects/load/subscriptions/results",
        "deliveryAttempt": attempt,
    }
    try:
        return http.request("POST", f"{url}/", json=pushed).status == 200
    except urllib3.exceptions.ProtocolError:
        return False
