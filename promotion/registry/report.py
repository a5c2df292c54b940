"""What a copy did, blob by blob, and who is told while it does it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from promotion.registry.manifest import Blob
from promotion.registry.reference import Digest


class Way(StrEnum):
    """How a blob came to be at the destination."""

    MOUNTED = "mounted"
    PRESENT = "present"
    COPIED = "copied"
    LEFT_OUT = "left out"


KEPT_ELSEWHERE = "it is kept elsewhere, as its manifest says"
"""Why a blob that the source lacks may be left out."""


class BlobReport(msgspec.Struct, frozen=True):
    """What became of one blob.

    Attributes:
        size: In bytes.
        retries: How often its transfer had to begin or go on anew.
        reason: Why it was not mounted although both repositories are in one registry; or why it
            was left out.
    """

    digest: Digest
    size: int
    way: Way
    retries: int = 0
    reason: str = ""


class Copied(msgspec.Struct, frozen=True):
    """What a copy did.

    Attributes:
        manifests: How many were written, the image itself left out.
        blobs: A report for each blob, in no particular order.
        referrers: The manifests that refer to the image or to a part of it, and went with it.
        tags: The tags that went with it, such as cosign's.
        kept: Tags of that kind that the destination has with other content, and keeps.
    """

    manifests: int
    blobs: tuple[BlobReport, ...]
    referrers: tuple[Digest, ...] = ()
    tags: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def count(self, way: Way) -> int:
        """How many blobs came this way."""
        return sum(blob.way is way for blob in self.blobs)

    @property
    def bytes_copied(self) -> int:
        """How many bytes travelled."""
        return sum(blob.size for blob in self.blobs if blob.way is Way.COPIED)


class Watcher(Protocol):
    """Is told what happens to blobs, from several threads."""

    def began(self, blob: Blob) -> None:
        """A blob's bytes begin to travel; again, if they have to begin anew."""

    def advanced(self, blob: Blob, count: int) -> None:
        """So many more bytes of it have been read."""

    def finished(self, report: BlobReport) -> None:
        """A blob is at the destination."""


class Unwatched:
    """A watcher that nobody needs."""

    def began(self, blob: Blob) -> None:
        """Nothing."""

    def advanced(self, blob: Blob, count: int) -> None:
        """Nothing."""

    def finished(self, report: BlobReport) -> None:
        """Nothing."""
