"""Manifests and what they point to (OCI Image Specification 1.1; Docker image manifest version 2).

A manifest is kept as the bytes that the registry gave, never re-serialised: its digest is its name.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from promotion import typed
from promotion.errors import BadReference, BeyondLimit, UnsupportedContent
from promotion.registry.reference import Digest, algorithm_of, digest_of, parse_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGE_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
MANIFEST_TYPES = INDEX_TYPES | IMAGE_TYPES | {OCI_ARTIFACT}

MOST_ENTRIES = 1_000
"""What an index that is copied may hold; a list of referrers has a limit of its own."""


class Pointer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Points to content: its media type, digest and size in bytes.

    Attributes:
        urls: Where else it can be had: such content may be kept out of registries on purpose.
        data: The content itself, in base64, where it is short.
    """

    media_type: str
    digest: str
    size: Annotated[int, Meta(ge=0)]
    urls: tuple[str, ...] = ()
    data: str = ""


class Descriptor(Pointer, frozen=True):
    """Points to a manifest in a list, and says what kind it is of.

    Attributes:
        annotations: What the list repeats of the manifest's own, so that nobody need fetch it.
    """

    artifact_type: str = ""
    annotations: dict[str, str] = {}


@dataclass(frozen=True)
class Manifest:
    """A manifest, byte for byte as its repository gave it."""

    media_type: str
    digest: Digest
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Blob:
    """What a manifest says of one of its blobs.

    Attributes:
        size: In bytes.
        content: The blob itself, if the manifest holds it.
        external: Whether it may be missing from the registry, being had elsewhere.
    """

    digest: Digest
    size: int
    content: bytes | None = field(default=None, repr=False)
    external: bool = False


class Successors(msgspec.Struct, frozen=True):
    """What one manifest points to directly.

    Attributes:
        indexes: Those of the manifests that may point to manifests themselves.
        subject: What it is about.
    """

    manifests: tuple[Digest, ...] = ()
    blobs: tuple[Blob, ...] = ()
    subject: Digest | None = None
    indexes: frozenset[Digest] = frozenset()


class _Index(msgspec.Struct):
    manifests: list[Pointer]
    subject: Pointer | None = None


class _Image(msgspec.Struct):
    config: Pointer
    layers: list[Pointer] = []
    subject: Pointer | None = None


class _Artifact(msgspec.Struct):
    blobs: list[Pointer] = []
    subject: Pointer | None = None


class _List(msgspec.Struct):
    manifests: list[Descriptor]


def successors(manifest: Manifest) -> Successors:
    """What the manifest points to directly: the children of an index, the blobs of an image.

    Raises:
        BeyondLimit: It is an index with more entries than any that is of use.
        UnsupportedContent: The media type is unknown, or the content is not of that type, as where
            a digest is none.
    """
    try:
        return _successors(manifest)
    except (ValueError, RecursionError, BadReference) as error:
        raise UnsupportedContent(
            f"The manifest {manifest.digest} is not a valid {manifest.media_type}: {error}"
        ) from error


def index_entries(manifest: Manifest) -> list[Descriptor]:
    """The descriptors that an index holds.

    Raises:
        UnsupportedContent: It is not an index.
    """
    try:
        return typed.decode(manifest.content, _List).manifests
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(
            f"The manifest {manifest.digest} is not an index: {error}"
        ) from error


def _successors(manifest: Manifest) -> Successors:
    if manifest.media_type in INDEX_TYPES:
        index = typed.decode(manifest.content, _Index)
        _check_entries(manifest, len(index.manifests))
        children = {
            parse_digest(pointer.digest): pointer.media_type
            for pointer in index.manifests
            if pointer.media_type in MANIFEST_TYPES
        }
        # Some builders keep blobs, such as a cache, directly in an index.
        others = [p for p in index.manifests if p.media_type not in MANIFEST_TYPES]
        indexes = frozenset(digest for digest, kind in children.items() if kind in INDEX_TYPES)
        return Successors(tuple(children), _blobs(others), _subject(index.subject), indexes)
    if manifest.media_type in IMAGE_TYPES:
        image = typed.decode(manifest.content, _Image)
        return Successors((), _blobs([image.config, *image.layers]), _subject(image.subject))
    if manifest.media_type == OCI_ARTIFACT:
        artifact = typed.decode(manifest.content, _Artifact)
        return Successors((), _blobs(artifact.blobs), _subject(artifact.subject))
    raise UnsupportedContent(
        f"The manifest {manifest.digest} is of type {manifest.media_type!r}, which cannot be"
        " copied; push the image as an OCI or Docker schema 2 manifest or index"
    )


def _check_entries(manifest: Manifest, entries: int) -> None:
    if entries > MOST_ENTRIES:
        raise BeyondLimit(
            f"The index {manifest.digest} has {entries:,} entries, and {MOST_ENTRIES:,} are copied"
            " at most"
        )


def _blobs(pointers: list[Pointer]) -> tuple[Blob, ...]:
    """The blobs that are pointed to, each once."""
    return tuple({pointer.digest: _blob(pointer) for pointer in pointers}.values())


def _blob(pointer: Pointer) -> Blob:
    digest = parse_digest(pointer.digest)
    return Blob(digest, pointer.size, _inline(pointer, digest), bool(pointer.urls))


def _inline(pointer: Pointer, digest: Digest) -> bytes | None:
    """The content that a pointer holds itself, if it is what the digest names."""
    if not pointer.data:
        return None
    try:
        content = base64.b64decode(pointer.data, validate=True)
    except ValueError:
        return None
    same = len(content) == pointer.size and digest_of(content, algorithm_of(digest)) == digest
    return content if same else None


def _subject(pointer: Pointer | None) -> Digest | None:
    return parse_digest(pointer.digest) if pointer else None
