"""What can go wrong between a client and a registry, and the rules that say when it does.

proxy.inject(
    Rule(throttled(seconds=2), method="POST", path="mount=", times=3),
    Rule(BreakDownload(after=1000), path="/blobs/sha256"),
)
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime


@dataclass(frozen=True)
class Answer:
    """The registry is not asked; this is the answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class LoseRequest:
    """The connection is reset before the registry sees the request."""


@dataclass(frozen=True)
class LoseAnswer:
    """The registry does what it was asked, and the connection is reset before it can say so."""


@dataclass(frozen=True)
class BreakUpload:
    """The connection is reset when so many bytes of the request's body were passed on."""

    after: int


@dataclass(frozen=True)
class BreakDownload:
    """The connection is reset when so many bytes of the answer's body were passed on."""

    after: int


@dataclass(frozen=True)
class Stall:
    """Nothing happens for a while.

    Attributes:
        seconds: For how long.
        after: How many bytes of the answer's body come before it; None: the request has to wait.
    """

    seconds: float
    after: int | None = None


@dataclass(frozen=True)
class Drip:
    """Bodies pass in small pieces, both ways, with a pause before each."""

    size: int
    seconds: float


@dataclass(frozen=True)
class Corrupt:
    """One byte of the answer's body is another one."""

    at: int = 0


@dataclass(frozen=True)
class CutShort:
    """The answer's body ends early, in order, and so does the connection.

    Attributes:
        after: How many bytes come.
        honest: Whether Content-Length says so; else it speaks of the whole.
    """

    after: int
    honest: bool = False


@dataclass(frozen=True)
class Relabel:
    """Header fields of the answer have other values; those that are None are not there."""

    headers: Mapping[str, str | None]


@dataclass(frozen=True)
class Hold:
    """The exchange waits until the proxy is told to release that name.

    Attributes:
        name: What the proxy is told.
        done: Whether the registry has done what it was asked when the exchange is held.
    """

    name: str
    done: bool = False


Fault = (
    Answer
    | LoseRequest
    | LoseAnswer
    | BreakUpload
    | BreakDownload
    | Stall
    | Drip
    | Corrupt
    | CutShort
    | Relabel
    | Hold
)


def throttled(status: int = 429, seconds: float | None = None, *, as_date: bool = False) -> Answer:
    """Too much: come again after so many seconds, or at that time, or when you like."""
    if seconds is None:
        return Answer(status)
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    when = format_datetime(moment, usegmt=True) if as_date else f"{seconds:g}"
    return Answer(status, {"Retry-After": when})


def unauthorized(challenge: str) -> Answer:
    """The token is not taken, or not any more."""
    return Answer(401, {"WWW-Authenticate": challenge})


@dataclass(frozen=True)
class Rule:
    """When a fault occurs: at matching requests, from the ``first``-th on, so many ``times``.

    Attributes:
        fault: What happens then.
        method: A regular expression that the whole method matches.
        path: A regular expression that is found in the path with its query string.
        first: The number of the first matching request that meets the fault.
        times: How many matching requests in a row meet it; None for all that follow.
    """

    fault: Fault
    method: str = ".*"
    path: str = ""
    first: int = 1
    times: int | None = 1

    def matches(self, method: str, path: str) -> bool:
        """Whether it is about such requests."""
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))

    def holds_at(self, number: int) -> bool:
        """Whether the matching request of that number meets the fault."""
        return self.first <= number and (self.times is None or number < self.first + self.times)


class Rules:
    """The rules in force. Each counts its requests; of several that hold, the first counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, int] = {}
        self._rules: list[Rule] = []

    def add(self, *rules: Rule) -> None:
        """Put further rules in force."""
        with self._lock:
            self._rules += rules

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._rules, self._seen = [], {}

    def fault(self, method: str, path: str) -> Fault | None:
        """Count a request, and say what it meets."""
        with self._lock:
            met = [
                rule.fault
                for place, rule in enumerate(self._rules)
                if rule.matches(method, path) and rule.holds_at(self._count(place))
            ]
        return met[0] if met else None

    def _count(self, place: int) -> int:
        self._seen[place] = self._seen.get(place, 0) + 1
        return self._seen[place]
