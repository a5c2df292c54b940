"""Remembers, in the registry, which events about an image have been published.

The mark is an OCI artifact whose bytes follow from the event's id and the image alone. So its
digest is known before it exists: one request tells whether it is there, on every registry, and any
number of writers write the same. It has no subject, for it is not to go on with the image: whoever
can write to one stage could then mark, in advance, what the next stage is to announce.
"""

from __future__ import annotations

import msgspec

from promotion.evidence.attestation import EMPTY, EMPTY_DESCRIPTOR
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Manifest
from promotion.registry.reference import digest_of

ARTIFACT_TYPE = "application/vnd.promotion.announced.v1+json"


def is_announced(event_id: str, image: Manifest, repository: RepositoryClient) -> bool:
    """Whether the event has been published."""
    return repository.has_manifest(_mark(event_id, image).digest)


def mark_announced(event_id: str, image: Manifest, repository: RepositoryClient) -> None:
    """Remember that it has been published."""
    repository.put_blob(EMPTY)
    repository.put_manifest(_mark(event_id, image))


def _mark(event_id: str, image: Manifest) -> Manifest:
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": EMPTY_DESCRIPTOR,
            "layers": [EMPTY_DESCRIPTOR],
            "annotations": {"promotion.event": event_id, "promotion.image": image.digest},
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)
