"""Remembers, in the registry, which promotions have been announced.

The mark is an OCI artifact whose subject is the promoted image. Its bytes follow from the promotion
alone, so its digest is known before it exists: one request tells whether it is there, on every
registry, and any number of writers write the same.
"""

from __future__ import annotations

import msgspec

from promotion.pipeline import Promotion
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.reference import digest_of

ARTIFACT_TYPE = "application/vnd.promotion.announced.v1+json"

_EMPTY = b"{}"
_EMPTY_BLOB = Blob(digest_of(_EMPTY), len(_EMPTY))
_EMPTY_DESCRIPTOR = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": _EMPTY_BLOB.digest,
    "size": _EMPTY_BLOB.size,
}


def is_announced(promotion: Promotion, image: Manifest, destination: RepositoryClient) -> bool:
    """Whether this image has been announced, in this stage, under this version."""
    return destination.has_manifest(_mark(promotion, image).digest)


def mark_announced(promotion: Promotion, image: Manifest, destination: RepositoryClient) -> None:
    """Remember that it has been announced."""
    if not destination.has_blob(_EMPTY_BLOB.digest):
        destination.upload(destination.start_upload(_EMPTY_BLOB), _EMPTY_BLOB, [_EMPTY])
    destination.put_manifest(_mark(promotion, image))


def _mark(promotion: Promotion, image: Manifest) -> Manifest:
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": _EMPTY_DESCRIPTOR,
            "layers": [_EMPTY_DESCRIPTOR],
            "subject": {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.content),
            },
            "annotations": {
                "promotion.destination": str(promotion.destination),
                "promotion.from-stage": promotion.from_stage,
                "promotion.to-stage": promotion.to_stage,
            },
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)
