"""A statement as a registry keeps it: an OCI 1.1 referrer that holds a Sigstore bundle.

    manifest   artifactType  application/vnd.dev.sigstore.bundle.v0.3+json
               subject       the image
               layers        the bundle, in it a DSSE envelope, in it the statement

This is how cosign attaches attestations (its bundle specification), so cosign, oras and whatever
else lists referrers finds them. A registry without the referrers API gets a tag for each as well,
made of both digests: writers never share one, so none can lose another's, and none ever moves.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from promotion.dsse import BUNDLE_TYPE
from promotion.errors import BadReference
from promotion.evidence.statement import NotAStatement
from promotion.registry.manifest import OCI_MANIFEST, Blob, Descriptor, Manifest
from promotion.registry.reference import Digest, digest_of, parse_digest
from promotion.registry.referrers import fallback_tag

EMPTY = b"{}"
EMPTY_DESCRIPTOR = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": digest_of(EMPTY),
    "size": len(EMPTY),
}

_TAG_DIGITS = 48


class _Subject(msgspec.Struct):
    digest: str


class _Attestation(msgspec.Struct, rename={"artifact_type": "artifactType"}):
    subject: _Subject
    layers: Annotated[list[Descriptor], Meta(min_length=1, max_length=1)]
    artifact_type: str = ""


def manifest(subject: Manifest, bundle: bytes, predicate_type: str, at: datetime) -> Manifest:
    """The manifest that attaches a bundle to an image; the same bytes for the same arguments."""
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": BUNDLE_TYPE,
            "config": EMPTY_DESCRIPTOR,
            "layers": [
                {"mediaType": BUNDLE_TYPE, "digest": digest_of(bundle), "size": len(bundle)}
            ],
            "subject": {
                "mediaType": subject.media_type,
                "digest": subject.digest,
                "size": len(subject.content),
            },
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": predicate_type,
                "org.opencontainers.image.created": at.isoformat().replace("+00:00", "Z"),
            },
        }
    )
    return Manifest(OCI_MANIFEST, digest_of(content), content)


def bundle_in(attestation: Manifest, subject: Digest, largest: int) -> Blob:
    """The blob that an attestation keeps its bundle in.

    Raises:
        NotAStatement: It is no such attestation, about something else, or larger than that.
    """
    try:
        read = msgspec.json.decode(attestation.content, type=_Attestation)
        bundle = Blob(parse_digest(read.layers[0].digest), read.layers[0].size)
    except (ValueError, RecursionError, BadReference) as error:
        raise NotAStatement(f"its manifest is not well formed: {error}") from error
    if read.subject.digest != subject:
        raise NotAStatement(f"its manifest is about {read.subject.digest}")
    if read.layers[0].media_type != BUNDLE_TYPE:
        raise NotAStatement(f"it holds {read.layers[0].media_type}, not {BUNDLE_TYPE}")
    if not 0 <= bundle.size <= largest:
        raise NotAStatement(f"it has {bundle.size:,} bytes, and {largest:,} are read at most")
    return bundle


def tag_of(subject: Digest, attestation: Digest) -> str:
    """The tag of an attestation in a registry without the referrers API."""
    return f"{fallback_tag(subject)}.{attestation.partition(':')[2][:_TAG_DIGITS]}"


def is_tag_for(subject: Digest, tag: str) -> bool:
    """Whether a tag has the form of those of a subject's attestations."""
    prefix, _, digits = tag.rpartition(".")
    return prefix == fallback_tag(subject) and bool(
        re.fullmatch(f"[0-9a-f]{{{_TAG_DIGITS}}}", digits)
    )
