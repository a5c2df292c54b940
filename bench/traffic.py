"""What went through a proxy: the requests, and how many of them had to wait for one another."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# By method and path; what is written under a tag of referrers or signatures is a manifest.
_KINDS = (
    ("ping", r"\S+ /v2/?$"),
    ("look-up", r"GET .*/referrers/|(GET|HEAD) .*/manifests/sha\d+-"),
    ("manifest", r".*/manifests/"),
    ("mount", r".*/blobs/uploads/\?(.*&)?mount="),
    ("upload", r".*/blobs/uploads/"),
    ("blob", r".*/blobs/"),
    ("tags", r".*/tags/list"),
)


@dataclass
class Exchange:
    """A request and its answer; the figures grow while it is under way.

    Attributes:
        connection: The number of the client's connection, the first being 1.
        path: With the query string.
        began: When its first byte came, on the system's monotonic clock.
        ended: When the last bytes of the answer were sent.
        status: What the client was answered; 0 if it was not.
        sent: Bytes of the request's body that were passed on.
        received: Bytes of the answer's body that were passed on.
        fault: The name of the fault that was injected.
    """

    connection: int
    method: str
    path: str
    began: float
    ended: float
    status: int = 0
    sent: int = 0
    received: int = 0
    fault: str = ""

    @property
    def kind(self) -> str:
        """What it was about: "manifest", "mount", "upload", "blob", …; referrers: "look-up"."""
        asked = f"{self.method} {self.path}"
        return next((kind for kind, pattern in _KINDS if re.match(pattern, asked)), "other")


def longest_chain(exchanges: Iterable[Exchange]) -> int:
    """The most exchanges of which each began when the one before had ended."""
    longest = 0
    ended: list[tuple[float, int]] = []
    best_before = 0
    for exchange in sorted(exchanges, key=lambda each: each.began):
        while ended and ended[0][0] <= exchange.began:
            best_before = max(best_before, heapq.heappop(ended)[1])
        heapq.heappush(ended, (exchange.ended, best_before + 1))
        longest = max(longest, best_before + 1)
    return longest


def counts(exchanges: Iterable[Exchange]) -> Counter[tuple[str, str, int]]:
    """How often each method met each kind of path with each status."""
    return Counter((each.method, each.kind, each.status) for each in exchanges)


@dataclass(frozen=True)
class Traffic:
    """The figures of some exchanges; those that look for referrers are counted apart."""

    requests: int
    look_ups: int
    sequential: int

    @classmethod
    def of(cls, exchanges: Iterable[Exchange]) -> Traffic:
        """Count."""
        all_of_them = list(exchanges)
        others = [each for each in all_of_them if each.kind != "look-up"]
        return cls(len(others), len(all_of_them) - len(others), longest_chain(others))
