"""Delivers messages as Pub/Sub may: several times, in any order, to several functions at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from random import Random

import urllib3

from bench.proxy import Proxy
from tests.chaos.stock import Message
from tests.integration.shop import encode, wrapped

_AT_ONCE = 12
_MOST_COPIES = 5
_MOST_ATTEMPTS = 100
_PAUSE = 0.3
_TIME_OUT = 120.0


class NotAcknowledged(Exception):
    """A delivery was refused more often than Pub/Sub would have made it."""


class Courier:
    """Delivers again what is refused, until it is acknowledged."""

    def __init__(self, project: str, doorways: Sequence[Proxy], random: Random) -> None:
        self._project = project
        self._doorways = doorways
        self._random = random
        self._published_at = datetime.now(UTC).isoformat()
        self._http = urllib3.PoolManager(retries=False, timeout=_TIME_OUT)

    def deliver(self, messages: Sequence[Message]) -> None:
        """Deliver each message between once and five times, and wait until all are acknowledged.

        Raises:
            NotAcknowledged: One never was.
        """
        copies = [each for each in messages for _ in range(self._random.randint(1, _MOST_COPIES))]
        self._random.shuffle(copies)
        ways = [self._random.choices(self._doorways, k=_MOST_ATTEMPTS) for _ in copies]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            begun: list[Future[None]] = [
                threads.submit(self._push, message, way)
                for message, way in zip(copies, ways, strict=True)
            ]
        for each in begun:
            each.result()
        self._http.clear()

    def _push(self, message: Message, way: Sequence[Proxy]) -> None:
        """Deliver once, and again elsewhere while that is refused."""
        body = self._body(message)
        for doorway in way:
            if self._is_acknowledged(doorway, body):
                return
            time.sleep(_PAUSE)
        raise NotAcknowledged(repr(message.content))

    def _body(self, message: Message) -> bytes:
        """What is pushed, the same each time."""
        content, said = message.content, message.attributes
        return encode(wrapped(content, said, self._project, publishTime=self._published_at))

    def _is_acknowledged(self, doorway: Proxy, body: bytes) -> bool:
        """Deliver once; whoever dies meanwhile has acknowledged nothing."""
        # A connection that is kept would hold up the end of the server.
        headers = {"Content-Type": "application/json", "Connection": "close"}
        url = f"http://{doorway.host}/"
        try:
            return self._http.request("POST", url, body=body, headers=headers).status == 200
        except urllib3.exceptions.HTTPError:
            return False
