"""Remembers, in the registry, which events about an image have been published.

The mark is an OCI artifact whose subject is the image. Its bytes follow from the event's id and the
image alone, so its digest is known before it exists: one request tells whether it is there, on
every registry, and any number of writers write the same. Like all referrers it goes with the image,
and means nothing there: an event's id names the places that it is about.
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
            "subject": {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.content),
            },
            "annotations": {"promotion.event": event_id},
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)
