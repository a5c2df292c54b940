"""Two sides of a copy, and what tests attach to images."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from dev import images
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import copy
from promotion.registry.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from promotion.registry.referrers import (
    fallback_tag,
    list_referrers,
)
from promotion.registry.report import Copied
from promotion.registry.transport import Request

EMPTY = "application/vnd.oci.empty.v1+json"
SBOM = "application/vnd.example.sbom"


@dataclass
class Sides:
    """A source and a destination, each with the referrers API or without it."""

    source: RepositoryClient
    destination: RepositoryClient

    def copy(self, image: Manifest, tag: str = "1.0") -> Copied:
        """Copy the image and set its tag."""
        copied = copy(image, self.source, self.destination)
        self.destination.put_manifest(image, tag)
        return copied

    def listed(self, subject: Manifest) -> set[str]:
        """What refers to a manifest at the destination."""
        return {each.digest for each in list_referrers(self.destination, subject.digest)}


def descriptor(manifest: Manifest) -> dict[str, object]:
    """What points to a manifest."""
    size = len(manifest.content)
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size}


def refer(
    repository: RepositoryClient,
    subject: Manifest,
    content: bytes,
    kind: str = SBOM,
    **more: object,
) -> Manifest:
    """Attach an artifact to a manifest, as oras does: with the fallback tag where it is needed."""
    fields = {
        "artifactType": kind,
        "config": images.push_blob(repository, b"{}", EMPTY),
        "layers": [images.push_blob(repository, content, "text/plain")],
        "subject": descriptor(subject),
        **more,
    }
    referrer = images.push_manifest(repository, fields, OCI_MANIFEST)
    if repository.referrers(subject.digest) is None:
        listed = msgspec.to_builtins(list_referrers(repository, subject.digest))
        entries = [*listed, {**descriptor(referrer), "artifactType": kind}]
        tag = fallback_tag(subject.digest)
        images.push_manifest(repository, {"manifests": entries}, OCI_INDEX, tag)
    return referrer


def delete(repository: RepositoryClient, manifest: Manifest) -> None:
    """Remove a manifest."""
    host, path = repository.repository.host, repository.repository.path
    url = f"/v2/{path}/manifests/{manifest.digest}"
    request = Request("DELETE", host, url, "delete", accept=frozenset({202}))
    repository.transport.send(request)


def overtake(
    monkeypatch: pytest.MonkeyPatch, repository: RepositoryClient, tag: str, rival: Manifest
) -> None:
    """Let another writer set a tag right before it is written."""
    put_manifest = repository.put_manifest

    def overtaken(manifest: Manifest, name: str = "") -> bool:
        if name == tag:
            monkeypatch.undo()
            put_manifest(rival, tag)
        return put_manifest(manifest, name)

    monkeypatch.setattr(repository, "put_manifest", overtaken)
