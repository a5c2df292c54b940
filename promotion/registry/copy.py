"""Copying an image between repositories: a walk over the graph of its manifests.

Top down, each level of manifests is read at once; then all blobs are brought over at once; then the
manifests are written bottom up, so that nothing ever points to what is not there. Manifests keep
their bytes, hence their digests. The tag is not set here: it comes last, when all else is in place.

Inside one registry a blob is mounted, and one request says whether it was there, is mounted now, or
must be sent. Between registries it streams from one to the other, and its last piece is held back
until the digest of the whole is known to be right, so a damaged blob is never completed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from promotion.errors import ContentMismatch
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob, Manifest, successors
from promotion.registry.reference import Digest, algorithm_of


@dataclass(frozen=True)
class Copied:
    """What a copy did: numbers of blobs, and the bytes that travelled."""

    manifests: int
    mounted: int
    present: int
    streamed: int
    streamed_bytes: int


@dataclass(frozen=True)
class _Graph:
    """All manifests of an image by their depth, the root first, and their blobs, each once."""

    levels: list[list[Manifest]]
    blobs: list[Blob]


def copy(image: Manifest, source: RepositoryClient, destination: RepositoryClient) -> Copied:
    """Bring an image, with everything it points to, into another repository, by digest.

    Raises:
        Retryable: A registry failed; what has arrived by then is found by the next attempt.
        UnsupportedContent: The image holds a manifest that cannot be copied faithfully.
    """
    graph = _explore(image, source)
    ways = parallel.each(lambda blob: _bring(blob, source, destination), graph.blobs)
    for level in reversed(graph.levels):
        parallel.each(destination.put_manifest, level)
    return Copied(
        manifests=sum(len(level) for level in graph.levels),
        mounted=ways.count("mounted"),
        present=ways.count("present"),
        streamed=ways.count("streamed"),
        streamed_bytes=sum(
            blob.size for blob, way in zip(graph.blobs, ways, strict=True) if way == "streamed"
        ),
    )


def _explore(image: Manifest, source: RepositoryClient) -> _Graph:
    levels: list[list[Manifest]] = []
    blobs: dict[Digest, Blob] = {}
    depth_of: dict[Digest, int] = {}
    level = [image]
    while level:
        children: dict[Digest, None] = {}
        for manifest in level:
            depth_of[manifest.digest] = len(levels)
            points_to = successors(manifest)
            children.update(dict.fromkeys(points_to.manifests))
            blobs.update((blob.digest, blob) for blob in points_to.blobs)
        levels.append(level)
        level = parallel.each(source.manifest, children)
    # A manifest that two levels share is written once, with the deeper one, before all its parents.
    return _Graph(
        [[m for m in level if depth_of[m.digest] == depth] for depth, level in enumerate(levels)],
        list(blobs.values()),
    )


def _bring(blob: Blob, source: RepositoryClient, destination: RepositoryClient) -> str:
    if source.repository.host == destination.repository.host:
        location = destination.mount(blob, source.repository)
        if location is None:
            return "mounted"
    elif destination.has_blob(blob.digest):
        return "present"
    else:
        location = destination.start_upload(blob)
    with source.blob(blob) as pieces:
        destination.upload(location, blob, _verified(pieces, blob))
    return "streamed"


def _verified(pieces: Iterable[bytes], blob: Blob) -> Iterator[bytes]:
    """Pass the pieces on, the last only when the whole has the blob's length and digest."""
    whole = hashlib.new(algorithm_of(blob.digest))
    length = 0
    held_back = b""
    for piece in pieces:
        length += len(piece)
        if length > blob.size:
            break
        whole.update(piece)
        if held_back:
            yield held_back
        held_back = piece
    if length != blob.size or whole.hexdigest() != blob.digest.partition(":")[2]:
        raise ContentMismatch(
            f"The source sent bytes for {blob.digest} that are not {blob.size} bytes long"
            " or do not have that digest; the upload was abandoned"
        )
    yield held_back
