"""What ``copy`` and ``promote`` have in common: an image is brought over, and told of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from promotion.errors import UnsupportedContent
from promotion.registry.blobs import bring
from promotion.registry.client import RepositoryClient
from promotion.registry.copy import Bring, complete, copy
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Reference, is_canonical
from promotion.registry.referrers import Attachments
from promotion.registry.rehearsal import Rehearsal, rehearse
from promotion.registry.report import Copied, Unwatched, Watcher, Way

Writing = Callable[[RepositoryClient], tuple[RepositoryClient, Bring]]
"""Where to write, given the destination, and how to bring blobs there: ``for_real`` or not."""


def check_tag(image: Manifest, source: Reference, destination: Reference) -> None:
    """See whether the destination's tag can name the image, before anything is sent.

    Raises:
        UnsupportedContent: Registries would let the tag name it by another digest.
    """
    if destination.tag and not is_canonical(image.digest):
        raise UnsupportedContent(
            f"{source} cannot be copied to a tag: registries name what has a tag by sha256, so"
            f" {destination} would not name {image.digest}; copy it by its digest, to"
            f" {destination.repository}@{image.digest}"
        )


def transfer(
    image: Manifest,
    present: bool,
    reader: RepositoryClient,
    target: RepositoryClient,
    attachments: Attachments,
    bring: Bring = bring,
) -> Copied:
    """Bring what belongs to an image, or what is missing of that, so that only its name is left.

    Raises:
        PromotionError: As for ``copy``.
    """
    bring_over = complete if present else copy
    with watched() as watcher:
        return bring_over(image, reader, target, attachments, watcher, bring)


def for_real(writer: RepositoryClient) -> tuple[RepositoryClient, Bring]:
    """Where to write, and how to bring blobs there."""
    return writer, bring


def rehearsed(writer: RepositoryClient) -> tuple[RepositoryClient, Bring]:
    """The same for a run that writes nothing."""
    return Rehearsal(writer), rehearse


def watched() -> AbstractContextManager[Watcher]:
    """Progress on a terminal; silence elsewhere."""
    if sys.stderr.isatty():
        from promotion.commands.progress import shown

        return shown()
    return nullcontext(Unwatched())


def summary(copied: Copied) -> str:
    """What travelled and how, with all that is attached, in half a line."""
    ways = [f"{number} {way}" for way in Way if (number := copied.count(way))]
    return f"{len(copied.blobs)} blobs in all: {', '.join(ways) or 'none'}"


def attached(copied: Copied) -> list[str]:
    """What else went along, in words."""
    also = [f"{len(copied.referrers)} referrers"] if copied.referrers else []
    return also + ([f"{len(copied.tags)} signature tags"] if copied.tags else [])


def blob_reports(copied: Copied) -> Sequence[dict[str, object]]:
    """What became of each blob, for machines."""
    return [
        {
            "digest": blob.digest,
            "size": blob.size,
            "way": blob.way.value,
            "retries": blob.retries,
            "reason": blob.reason,
        }
        for blob in copied.blobs
    ]
