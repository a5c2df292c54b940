"""What belongs to an image without being part of it: signatures, SBOMs, attestations.

OCI 1.1 lists them by the referrers API or, where a registry has none, under a fallback tag;
cosign's earlier form is three tags beside the image (OCI Distribution Specification 1.1, "Listing
Referrers" and "Referrers Tag Schema").
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, wait
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from promotion.registry import parallel
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import INDEX_TYPES, OCI_INDEX, Descriptor, Manifest, index_entries
from promotion.registry.reference import Digest, digest_of, parse_digest

COSIGN_SUFFIXES = (".sig", ".att", ".sbom")


class Attached(msgspec.Struct, frozen=True):
    """What belongs to one manifest, while it is being looked up."""

    referrers: Future[list[Descriptor]] | None = None
    tags: dict[str, Future[Manifest | None]] = {}


class Attachments(Protocol):
    """Finds what belongs to manifests."""

    def look_up(self, digest: Digest) -> Attached:
        """Begin to look up what belongs to a manifest."""


class AllAttachments:
    """Finds everything; asks once for each manifest, however often it is told to begin.

    Used as a context, it leaves no look-up running behind.
    """

    def __init__(self, source: RepositoryClient) -> None:
        self._source = source
        self._begun: dict[Digest, Attached] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        begun = self._begun.values()
        futures: list[Future[Any]] = [each.referrers for each in begun if each.referrers]
        futures += [future for each in begun for future in each.tags.values()]
        for future in futures:
            future.cancel()
        wait(futures)

    def look_up(self, digest: Digest) -> Attached:
        """Begin to look up referrers and cosign's tags, all at once."""
        if digest not in self._begun:
            self._begun[digest] = Attached(
                parallel.start_look_up(partial(list_referrers, self._source, digest)),
                {
                    tag: parallel.start_look_up(partial(self._source.find, tag))
                    for tag in cosign_tags(digest)
                },
            )
        return self._begun[digest]


class NoAttachments:
    """Leaves behind whatever belongs to a manifest."""

    def look_up(self, digest: Digest) -> Attached:  # noqa: ARG002 - the protocol's parameter
        """Nothing."""
        return Attached()


def fallback_tag(digest: Digest) -> str:
    """The tag under which a registry without the referrers API keeps what refers to a digest."""
    return digest.replace(":", "-")


def cosign_tags(digest: Digest) -> list[str]:
    """The tags under which cosign keeps what belongs to a digest."""
    return [f"{fallback_tag(digest)}{suffix}" for suffix in COSIGN_SUFFIXES]


def list_referrers(repository: RepositoryClient, digest: Digest) -> list[Descriptor]:
    """What refers to a manifest, by the API or, where there is none, by the fallback tag."""
    found = repository.referrers(digest)
    if found is not None:
        return found
    index = repository.find(fallback_tag(digest))
    return index_entries(index) if index and index.media_type in INDEX_TYPES else []


def keep_listed(
    repository: RepositoryClient, subject: Digest, written: Sequence[Descriptor]
) -> None:
    """Make sure that what was written for a subject is listed, in a repository without the API.

    The fallback tag is read, added to, and written: writers at the same moment can lose each
    other's additions, which the specification has no way to prevent.
    """
    listed = repository.referrers(subject)
    if listed is not None:
        return
    index = repository.find(fallback_tag(subject))
    present = index_entries(index) if index and index.media_type in INDEX_TYPES else []
    known = {descriptor.digest for descriptor in present}
    missing = [descriptor for descriptor in written if descriptor.digest not in known]
    if missing:
        repository.put_manifest(_index([*present, *missing]), fallback_tag(subject))


def described(manifest: Manifest) -> Descriptor:
    """The descriptor under which a referrer is listed."""
    fields = msgspec.json.decode(manifest.content, type=_Described)
    kind = fields.artifact_type or (fields.config.media_type if fields.config else "")
    size = len(manifest.content)
    return Descriptor(manifest.media_type, manifest.digest, size, artifact_type=kind)


class _Described(msgspec.Struct, rename="camel"):
    artifact_type: str = ""
    config: Descriptor | None = None


def _index(descriptors: Sequence[Descriptor]) -> Manifest:
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {
                    "mediaType": descriptor.media_type,
                    "digest": parse_digest(descriptor.digest),
                    "size": descriptor.size,
                    **(
                        {"artifactType": descriptor.artifact_type}
                        if descriptor.artifact_type
                        else {}
                    ),
                }
                for descriptor in descriptors
            ],
        }
    )
    return Manifest(OCI_INDEX, digest_of(content), content)
