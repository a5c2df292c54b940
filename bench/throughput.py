"""How fast many bytes go from one registry to another, with nothing between."""

from __future__ import annotations

import gzip
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.cases import TAG, Measurement, check
from bench.peers import Contestant
from bench.places import Places, without_proxies
from bench.rounds import rounds
from dev import images

NAME = "throughput"
LAYERS = 8
LAYER_BYTES = 64 * 1024 * 1024


class Bulk:
    """Makes large layers that no registry has seen, faster than all of it can be random."""

    def __init__(self, size: int) -> None:
        self._common = gzip.compress(os.urandom(size), compresslevel=0)

    def layer(self) -> bytes:
        """A layer like no other: a gzip file may be several, one after the other."""
        return gzip.compress(secrets.token_bytes()) + self._common


def measure_throughput(
    contestants: Sequence[Contestant], folder: Path, runs: int, layers: int
) -> Iterator[Measurement]:
    """Let everybody copy an image of their own, of so many large layers, in each run."""
    little, much = Bulk(0), Bulk(LAYER_BYTES)
    with without_proxies(folder) as places:
        # What a process has in memory when it is idle shows before it has ever copied much.
        yield from rounds(contestants, 0, lambda each: _measure(each, places, little, layers))
        yield from rounds(contestants, runs, lambda each: _measure(each, places, much, layers))


def _measure(contestant: Contestant, places: Places, bulk: Bulk, layers: int) -> Measurement:
    path = secrets.token_hex(4)
    source, destination = f"{path}/source", f"{path}/destination"
    repository = places.near.repository(source)
    image = images.push_image(repository, [bulk.layer() for _ in range(layers)], TAG)
    cost = contestant.copy(
        f"{places.near.host}/{source}@{image.digest}", f"{places.far.host}/{destination}:{TAG}"
    )
    check(places.far.repository(destination), image.digest)
    for place in (places.near, places.far):
        place.clear()
    return Measurement(NAME, contestant.name, cost)
