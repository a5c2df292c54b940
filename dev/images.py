"""Makes small images of any shape and pushes them: for the demonstration, tests and benches."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Blob,
    Manifest,
)
from promotion.registry.reference import digest_of


@dataclass(frozen=True)
class Format:
    """The media types that make an image one of a kind."""

    index: str
    manifest: str
    config: str
    layer: str


OCI = Format(
    OCI_INDEX,
    OCI_MANIFEST,
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER = Format(
    DOCKER_LIST,
    DOCKER_MANIFEST,
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


def layer(files: Mapping[str, bytes]) -> bytes:
    """A layer that holds these files, the same bytes for the same files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(archive.getvalue(), mtime=0)


def push_image(
    repository: RepositoryClient,
    layers: Sequence[bytes],
    tag: str = "",
    architecture: str = "amd64",
    form: Format = OCI,
) -> Manifest:
    """Push an image of these layers, under a tag or by digest alone."""
    config = json.dumps({"architecture": architecture, "os": "linux"}).encode()
    content = {
        "config": push_blob(repository, config, form.config),
        "layers": [push_blob(repository, content, form.layer) for content in layers],
    }
    return push_manifest(repository, content, form.manifest, tag)


def push_index(
    repository: RepositoryClient, children: Sequence[Manifest], tag: str = "", form: Format = OCI
) -> Manifest:
    """Push an index of manifests that are there already."""
    descriptors = [
        {"mediaType": child.media_type, "digest": child.digest, "size": len(child.content)}
        for child in children
    ]
    return push_manifest(repository, {"manifests": descriptors}, form.index, tag)


def push_manifest(
    repository: RepositoryClient, content: Mapping[str, Any], media_type: str, tag: str = ""
) -> Manifest:
    """Push a manifest whose JSON is laid out by hand, so that a re-serialised copy would show."""
    text = json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}, indent=3)
    manifest = Manifest(media_type, digest_of(text.encode()), text.encode())
    repository.put_manifest(manifest, tag)
    return manifest


def push_blob(repository: RepositoryClient, content: bytes, media_type: str) -> dict[str, Any]:
    """Push a blob and return its descriptor."""
    blob = Blob(digest_of(content), len(content))
    if not repository.has_blob(blob.digest):
        repository.upload(repository.start_upload(blob), blob, [content])
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}
