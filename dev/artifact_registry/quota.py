"""The quota: so many requests a minute in a project and region, and a 429 for each one more."""

import re
import time
from collections import deque
from dataclasses import dataclass
from threading import Lock

from werkzeug.wrappers import Request

from dev.artifact_registry.refusal import Refusal

_MESSAGE = (
    "Quota exceeded for quota metric 'Requests per project per region' and limit 'Requests per"
    " project per region per minute per region' of service 'artifactregistry.googleapis.com' for"
    " consumer 'project_number:123456789012'."
)
_READS = ("GET", "HEAD")


@dataclass
class _Order:
    """So many requests that are still to be refused."""

    count: int
    matching: re.Pattern[str]
    retry_after: str | None


class Quota:
    """Counts the requests of the last `seconds`; what it refuses does not count.

    The limits are those of every new project. Of `writes` it counts what is no GET or HEAD.
    """

    def __init__(
        self,
        requests: int = 60_000,
        writes: int = 18_000,
        seconds: float = 60.0,
        retry_after: str | None = None,
    ) -> None:
        self._limits = {"requests": requests, "writes": writes}
        self._times: dict[str, deque[float]] = {"requests": deque(), "writes": deque()}
        self._seconds = seconds
        self._retry_after = retry_after
        self._orders: list[_Order] = []
        self._lock = Lock()

    def refuse_next(
        self, count: int = 1, matching: str = "", retry_after: str | None = None
    ) -> None:
        """Refuse the next requests whose method and path, as in `GET /v2/`, have a match."""
        with self._lock:
            self._orders.append(_Order(count, re.compile(matching), retry_after))

    def admit(self, request: Request) -> None:
        """Count a request, or refuse it."""
        with self._lock:
            self._follow_orders(f"{request.method} {request.environ['RAW_URI']}")
            self._count(["requests"] if request.method in _READS else ["requests", "writes"])

    def _follow_orders(self, line: str) -> None:
        for order in self._orders:
            if order.count and order.matching.search(line):
                order.count -= 1
                raise _exceeded(order.retry_after)

    def _count(self, kinds: list[str]) -> None:
        now = time.monotonic()
        for kind in kinds:
            times = self._times[kind]
            while times and times[0] <= now - self._seconds:
                times.popleft()
            if len(times) >= self._limits[kind]:
                raise _exceeded(self._retry_after)
        for kind in kinds:
            self._times[kind].append(now)


def _exceeded(retry_after: str | None) -> Refusal:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Refusal(429, "TOOMANYREQUESTS", _MESSAGE, headers)
