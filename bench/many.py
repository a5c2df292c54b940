"""Many images promoted by one process inside one registry: what grows, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.cases import CASES, Content
from bench.cost import Cost
from bench.places import Places, behind_proxies
from bench.traffic import Traffic
from bench.warm import Pair, warm

NAME = "many"

_BATCHES = 10
_AT_ONCE = 4
_PUSHED_AT_ONCE = 4


@dataclass(frozen=True)
class Batch:
    """Some of the images, promoted by a process that has promoted those of the batches before.

    Attributes:
        images: How many.
        made: How many connections were made for them.
        open: How many connections were open afterwards.
    """

    images: int
    traffic: Traffic | None
    made: int
    open: int
    cost: Cost

    @property
    def requests(self) -> int:
        """All requests, those that look for referrers too."""
        return self.traffic.requests + self.traffic.look_ups if self.traffic else 0


def measure_many(images: int, layers: int, folder: Path) -> Iterator[Batch]:
    """Push images that share nothing, and promote them, four at once."""
    with behind_proxies(folder, round_trip=0.0) as places, warm() as process:
        pairs = _push(places, images, layers)
        size = -(-images // _BATCHES)
        for start in range(0, images, size):
            batch = pairs[start : start + size]
            places.forget()
            before, _ = places.connections()
            cost = process.copy_all(batch, _AT_ONCE)
            made, opened = places.connections()
            yield Batch(len(batch), places.traffic(), made - before, opened, cost)


def _push(places: Places, images: int, layers: int) -> list[Pair]:
    near = places.near
    repository = near.repository("many/source")

    def push(number: int) -> Pair:
        digest = Content.new(CASES[0], layers).push(repository).digest
        return f"{near.host}/many/source@{digest}", f"{near.host}/many/destination:{number}"

    with ThreadPoolExecutor(_PUSHED_AT_ONCE) as threads:
        return list(threads.map(push, range(images)))
