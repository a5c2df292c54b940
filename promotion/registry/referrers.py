"""What belongs to an image without being part of it: signatures, SBOMs, attestations.

OCI 1.1 lists them by the referrers API or, where a registry has none, under a fallback tag;
cosign's earlier form is three tags beside the image (OCI Distribution Specification 1.1, "Listing
Referrers" and "Referrers Tag Schema").
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from promotion import typed
from promotion.deadline import Cancellation
from promotion.errors import (
    AccessDenied,
    BadReference,
    RegistryRefused,
    RegistryUnavailable,
    UnsupportedContent,
)
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import (
    INDEX_TYPES,
    OCI_INDEX,
    Descriptor,
    Manifest,
    Pointer,
    index_entries,
)
from promotion.registry.reference import Digest, digest_of, is_tag, parse_digest

COSIGN_SUFFIXES = (".sig", ".att", ".sbom")

_logger = logging.getLogger(__name__)


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
        self._unwanted = Cancellation()
        self._begun: dict[Digest, Attached] = {}

    def __enter__(self) -> Self:
        self._source = self._source.until(self._source.deadline.unless(self._unwanted))
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
        begun_too = [future for future in futures if not future.cancel()]
        self._unwanted.call()
        wait(begun_too)

    def look_up(self, digest: Digest) -> Attached:
        """Begin to look up referrers and cosign's tags, all at once."""
        if digest not in self._begun:
            start = partial(parallel.start_look_up, host=self._source.repository.host)
            self._begun[digest] = Attached(
                start(partial(list_referrers, self._source, digest)),
                {tag: start(partial(self._source.find, tag)) for tag in cosign_tags(digest)},
            )
        return self._begun[digest]


class NoAttachments(AbstractContextManager["NoAttachments", None]):
    """Leaves behind whatever belongs to a manifest."""

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def look_up(self, digest: Digest) -> Attached:  # noqa: ARG002 - the protocol's parameter
        """Nothing."""
        return Attached()


def fallback_tag(digest: Digest) -> str:
    """The tag under which a registry without the referrers API keeps what refers to a digest.

    Parts that are longer than a tag may be are cut, as the "Referrers Tag Schema" says.
    """
    algorithm, _, encoded = digest.partition(":")
    return re.sub("[^a-zA-Z0-9._-]", "-", f"{algorithm[:32]}-{encoded[:64]}")


def cosign_tags(digest: Digest) -> list[str]:
    """The tags under which cosign keeps what belongs to a digest; none, if they would be too long.

    Cosign cuts nothing, so there are no such tags for digests of sha512.
    """
    tags = (f"{digest.replace(':', '-')}{suffix}" for suffix in COSIGN_SUFFIXES)
    return [tag for tag in tags if is_tag(tag)]


def list_referrers(repository: RepositoryClient, digest: Digest) -> list[Descriptor]:
    """What refers to a manifest, by the API or, where there is none, by the fallback tag."""
    found = repository.referrers(digest)
    return _entries(repository.find(fallback_tag(digest))) if found is None else found


def listed_digest(descriptor: Descriptor, subject: Digest) -> Digest:
    """The digest under which something is listed as a referrer.

    Raises:
        UnsupportedContent: It is none.
    """
    try:
        return parse_digest(descriptor.digest)
    except BadReference as error:
        raise UnsupportedContent(
            f"The list of what refers to {subject} is damaged: {error}"
        ) from error


def keep_listed(
    repository: RepositoryClient, subject: Digest, written: Sequence[Descriptor]
) -> None:
    """Make sure that what was written for a subject is listed, by the API or the fallback tag."""
    if repository.referrers(subject) is None:
        keep_listed_by_tag(repository, subject, written)


def keep_listed_by_tag(
    repository: RepositoryClient, subject: Digest, written: Sequence[Descriptor]
) -> None:
    """Make sure that what was written for a subject is listed under its fallback tag.

    It is read, added to, and written: writers at the same moment can lose each other's additions,
    which the specification has no way to prevent. It is a convenience for other tools, so where it
    cannot be moved, or has been put to another use, that is logged and no error.
    """
    tag = fallback_tag(subject)
    index = repository.find(tag)
    if index and index.media_type not in INDEX_TYPES:
        _logger.warning("%s:%s is no list of referrers, and is kept", repository.repository, tag)
        return
    missing = _missing(index, written)
    if not missing:
        return
    try:
        _put_list(repository, tag, index, missing)
    except (AccessDenied, RegistryRefused) as error:
        _give_way(repository, tag, written, error)


def _put_list(
    repository: RepositoryClient, tag: str, index: Manifest | None, missing: Sequence[Descriptor]
) -> None:
    try:
        repository.put_manifest(_rewritten(index, missing), tag)
    except RegistryUnavailable:
        # Registries refuse a list of what they lack, and say no more than that something is absent.
        listed = {each.digest for each in _entries(index)}
        gone = {digest for digest in listed if not repository.has_manifest(parse_digest(digest))}
        if not gone:
            raise
        repository.put_manifest(_rewritten(index, missing, gone), tag)


def _give_way(
    repository: RepositoryClient, tag: str, written: Sequence[Descriptor], error: Exception
) -> None:
    """The fallback tag could not be written: good, if another writer has set it.

    Raises:
        AccessDenied, RegistryRefused: Nobody has: it was refused for another reason.
    """
    index = repository.find(tag)
    if index is None:
        raise error
    if _missing(index, written):
        _logger.warning(
            "%s:%s cannot be moved: other tools may not find all referrers there (%s)",
            repository.repository,
            tag,
            error,
        )


def described(manifest: Manifest) -> Descriptor:
    """The descriptor under which a referrer is listed, with its kind and its annotations.

    Raises:
        UnsupportedContent: It is not a manifest.
    """
    try:
        fields = typed.decode(manifest.content, _Described)
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(
            f"The manifest {manifest.digest} cannot be listed: {error}"
        ) from error
    kind = fields.artifact_type or (fields.config.media_type if fields.config else "")
    annotations = {
        name: value for name, value in (fields.annotations or {}).items() if isinstance(value, str)
    }
    size = len(manifest.content)
    return Descriptor(
        manifest.media_type, manifest.digest, size, artifact_type=kind, annotations=annotations
    )


class _Described(msgspec.Struct, rename="camel"):
    artifact_type: str = ""
    config: Pointer | None = None
    annotations: dict[str, Any] | None = None


def _entries(index: Manifest | None) -> list[Descriptor]:
    return index_entries(index) if index and index.media_type in INDEX_TYPES else []


def _missing(index: Manifest | None, written: Sequence[Descriptor]) -> list[Descriptor]:
    listed = {descriptor.digest for descriptor in _entries(index)}
    return [descriptor for descriptor in written if descriptor.digest not in listed]


def _rewritten(
    index: Manifest | None, more: Sequence[Descriptor], gone: Collection[str] = ()
) -> Manifest:
    """The index with more entries, and without those gone; what else it says, it goes on saying.

    Raises:
        UnsupportedContent: It says something that cannot be said again, such as 1e999.
    """
    media_type = index.media_type if index else OCI_INDEX
    fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type, "manifests": []}
    if index:
        fields = _fields(index)
    entries = [entry for entry in fields["manifests"] if entry["digest"] not in gone]
    content = msgspec.json.encode({**fields, "manifests": entries + msgspec.to_builtins(more)})
    return Manifest(media_type, digest_of(content), content)


def _fields(index: Manifest) -> dict[str, Any]:
    try:
        return typed.decode(index.content, dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(
            f"The index {index.digest} cannot be written again: {error}"
        ) from error
