"""The order of a copy: a manifest is written when the last of what it needs has arrived.

Pure bookkeeping: it is told what is met and what arrives, and answers what can be written now.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

import msgspec

from promotion.errors import BeyondLimit
from promotion.registry.manifest import Manifest, successors
from promotion.registry.reference import Digest

MOST_MANIFESTS = 12_000
"""The manifests of one image: its own, and all that are attached to any of them."""
MOST_BLOBS = 40_000
"""The blobs of all these manifests."""
MOST_BYTES = 64 * 1024 * 1024
"""The bytes of all these manifests, which are kept until each of them is written."""
DEEPEST = 16
"""How far a manifest may be from the image, down through indexes or out to what refers to it."""


class Kind(Enum):
    """What a digest can name: a registry keeps the two apart."""

    BLOB = "blob"
    MANIFEST = "manifest"


class Vertex(NamedTuple):
    """A part of the graph. One digest may name two of them, a manifest and a layer like it."""

    kind: Kind
    digest: Digest


class Writing(msgspec.Struct, eq=False):
    """A manifest that is to be written, under its digest or under a tag, and what it waits for."""

    manifest: Manifest
    tag: str
    subject: Digest | None
    waits_for: set[Vertex]


class Order:
    """What has been met and what has arrived, and so what can be written."""

    def __init__(self) -> None:
        self._met: set[Vertex] = set()
        self._levels: dict[Vertex, int] = {}
        self._left = {Kind.MANIFEST: MOST_MANIFESTS, Kind.BLOB: MOST_BLOBS}
        self._bytes_left = MOST_BYTES
        self._arrived: set[Vertex] = set()
        self._waiting: dict[Vertex, list[Writing]] = {}
        self._held_back: dict[Vertex, Manifest] = {}

    def meet(self, vertex: Vertex, above: Vertex | None = None) -> bool:
        """Note that a part of the graph was met; whether that is the first time.

        Args:
            vertex: The part.
            above: The manifest that led to it; None for the image itself, and for blobs.

        Raises:
            BeyondLimit: There are more of its kind than one image can have, or it is too far away.
        """
        first = vertex not in self._met
        self._met.add(vertex)
        if first and vertex not in self._levels:
            self._levels[vertex] = self._levels[above] + 1 if above else 0
            self._left[vertex.kind] -= 1
            self._check_extent(vertex)
        return first

    def has_met(self, vertex: Vertex) -> bool:
        """Whether it is a part of the graph, so far as that is known."""
        return vertex in self._met

    def write(self, manifest: Manifest, tag: str = "") -> list[Writing]:
        """Have a manifest written; what can be written now.

        Raises:
            BeyondLimit: All that is to be written is more than can be kept.
        """
        self._bytes_left -= len(manifest.content)
        self._check_extent(Vertex(Kind.MANIFEST, manifest.digest))
        points_to = successors(manifest)
        needs = {Vertex(Kind.BLOB, blob.digest) for blob in points_to.blobs}
        needs |= {Vertex(Kind.MANIFEST, child) for child in points_to.manifests}
        if points_to.subject:
            # What it is about comes first, if it comes at all.
            needs |= {Vertex(Kind.MANIFEST, points_to.subject)} & self._met
        writing = Writing(manifest, tag, points_to.subject, needs - self._arrived)
        ready = [] if writing.waits_for else [writing]
        for vertex in writing.waits_for:
            self._waiting.setdefault(vertex, []).append(writing)
            ready += self.release(vertex)
        return ready

    def hold_back(self, manifest: Manifest) -> None:
        """Have a manifest written by its digest only if something else needs it there."""
        self._held_back[Vertex(Kind.MANIFEST, manifest.digest)] = manifest

    def release(self, vertex: Vertex) -> list[Writing]:
        """Something needs what may have been held back; what can be written now."""
        held_back = self._held_back.pop(vertex, None)
        return self.write(held_back) if held_back else []

    def arrive(self, vertex: Vertex) -> list[Writing]:
        """Note that a part of the graph is at the destination; what can be written now."""
        self._arrived.add(vertex)
        return _without(vertex, self._waiting.pop(vertex, []))

    def lose(self, vertex: Vertex) -> list[Writing]:
        """Note that a manifest that was met does not exist; what can be written now.

        What is about it need not wait for it any more; what holds it can never be whole.
        """
        self._met.discard(vertex)
        waiting = self._waiting.pop(vertex, [])
        held_by = [each for each in waiting if vertex.digest in successors(each.manifest).manifests]
        if held_by:
            self._waiting[vertex] = held_by
        return _without(vertex, (each for each in waiting if each not in held_by))

    def _check_extent(self, vertex: Vertex) -> None:
        limits = {
            f"more than {MOST_MANIFESTS:,} manifests": self._left[Kind.MANIFEST] < 0,
            f"more than {MOST_BLOBS:,} blobs": self._left[Kind.BLOB] < 0,
            f"more than {MOST_BYTES:,} bytes of manifests": self._bytes_left < 0,
            f"more than {DEEPEST} levels": self._levels.get(vertex, 0) > DEEPEST,
        }
        for limit, is_passed in limits.items():
            if is_passed:
                raise BeyondLimit(
                    f"The image has, with all that is attached to it, {limit}; it was met with"
                    f" {vertex.digest}. It is copied as a whole or not at all: remove what is not"
                    " needed"
                )

    @property
    def missing(self) -> list[Digest]:
        """What something still waits for."""
        return sorted(vertex.digest for vertex in self._waiting)


def _without(vertex: Vertex, waiting: Iterable[Writing]) -> list[Writing]:
    ready = []
    for writing in waiting:
        writing.waits_for.discard(vertex)
        if not writing.waits_for:
            ready.append(writing)
    return ready
