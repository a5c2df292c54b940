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

from promotion import typed
from promotion.dsse import BUNDLE_TYPE
from promotion.errors import BadReference
from promotion.evidence.statement import NotAStatement
from promotion.registry.manifest import OCI_MANIFEST, Blob, Descriptor, Manifest
from promotion.registry.reference import Digest, algorithm_of, digest_of, parse_digest
from promotion.registry.referrers import fallback_tag

EMPTY = b"{}"
EMPTY_DESCRIPTOR = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": digest_of(EMPTY),
    "size": len(EMPTY),
}

LARGEST = 16 * 1024
"""The bytes that an attestation's manifest may have; one that is written here has about 1 KiB."""

_TAG_DIGITS = 48


class _Subject(msgspec.Struct):
    digest: str


class _Attestation(msgspec.Struct):
    subject: _Subject
    config: Descriptor
    layers: Annotated[list[Descriptor], Meta(min_length=1, max_length=1)]


def manifest(subject: Manifest, bundle: bytes, predicate_type: str, at: datetime) -> Manifest:
    """The manifest that attaches a bundle to an image; the same bytes for the same arguments."""
    kept = digest_of(bundle)
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": BUNDLE_TYPE,
            "config": EMPTY_DESCRIPTOR,
            "layers": [
                {
                    "mediaType": BUNDLE_TYPE,
                    "digest": kept,
                    "size": len(bundle),
                    "annotations": {
                        "org.opencontainers.image.title": f"{kept.replace(':', '-')}.sigstore.json"
                    },
                }
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
        NotAStatement: It is no such attestation, about something else, or larger than that; or it
            is of a form in which it could not be attached again where its image goes.
    """
    if len(attestation.content) > LARGEST:
        size = len(attestation.content)
        raise NotAStatement(f"its manifest has {size:,} bytes, and {LARGEST:,} are read at most")
    try:
        read = typed.decode(attestation.content, _Attestation)
        bundle = Blob(parse_digest(read.layers[0].digest), read.layers[0].size)
    except (ValueError, RecursionError, BadReference) as error:
        raise NotAStatement(f"its manifest is not well formed: {error}") from error
    if read.subject.digest != subject:
        raise NotAStatement(f"its manifest is about {read.subject.digest}")
    if read.layers[0].media_type != BUNDLE_TYPE:
        raise NotAStatement(f"it holds {read.layers[0].media_type}, not {BUNDLE_TYPE}")
    if read.layers[0].urls:
        # Registries take such a manifest without it, so it could be waited for for ever.
        raise NotAStatement("its bundle may be kept elsewhere")
    if not 0 <= bundle.size <= largest:
        raise NotAStatement(f"it has {bundle.size:,} bytes, and {largest:,} are read at most")
    _check_can_be_carried(attestation.media_type, read.config.digest, bundle.digest)
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


def _check_can_be_carried(media_type: str, config: str, bundle: Digest) -> None:
    """Whoever wraps a statement of others anew must not keep it from going with its image."""
    if media_type != OCI_MANIFEST:
        raise NotAStatement(f"it is kept in a manifest of type {media_type}")
    if config != EMPTY_DESCRIPTOR["digest"]:
        raise NotAStatement(f"its config is {config}, and not the empty one")
    if algorithm_of(bundle) != "sha256":
        raise NotAStatement(f"its bundle is named by {algorithm_of(bundle)}, and not by sha256")
