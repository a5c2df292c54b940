"""Manifests and what they point to (OCI Image Specification 1.1; Docker image manifest version 2).

A manifest is kept as the bytes that the registry gave, never re-serialised: its digest is its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from promotion.errors import UnsupportedContent
from promotion.registry.reference import Digest, parse_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
IMAGE_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
MANIFEST_TYPES = INDEX_TYPES | IMAGE_TYPES


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """Points to content: its media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest, byte for byte as its repository gave it."""

    media_type: str
    digest: Digest
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Blob:
    """What a manifest says of one of its blobs; the size is in bytes."""

    digest: Digest
    size: int


@dataclass(frozen=True)
class Successors:
    """What one manifest points to directly."""

    manifests: tuple[Digest, ...] = ()
    blobs: tuple[Blob, ...] = ()


class _Index(msgspec.Struct):
    manifests: list[Descriptor]


class _Image(msgspec.Struct):
    config: Descriptor
    layers: list[Descriptor]


def successors(manifest: Manifest) -> Successors:
    """What the manifest points to directly: the children of an index, the blobs of an image.

    Raises:
        UnsupportedContent: The media type is unknown, or the content is not of that type.
    """
    try:
        if manifest.media_type in INDEX_TYPES:
            index = msgspec.json.decode(manifest.content, type=_Index)
            return Successors(manifests=tuple(parse_digest(d.digest) for d in index.manifests))
        if manifest.media_type in IMAGE_TYPES:
            image = msgspec.json.decode(manifest.content, type=_Image)
            return Successors(blobs=tuple(_blob(d) for d in [image.config, *image.layers]))
    except msgspec.MsgspecError as error:
        raise UnsupportedContent(
            f"The manifest {manifest.digest} is not a valid {manifest.media_type}: {error}"
        ) from error
    raise UnsupportedContent(
        f"The manifest {manifest.digest} is of type {manifest.media_type!r}, which cannot be"
        " copied; push the image as an OCI or Docker schema 2 manifest or index"
    )


def _blob(descriptor: Descriptor) -> Blob:
    return Blob(parse_digest(descriptor.digest), descriptor.size)
