"""One blob on its way from one registry to another, never held in memory or on disk.

Its digest and length are checked on the way, and its last piece is held back until the whole is
known to be right, so a damaged blob is never completed. Where the source breaks off, reading goes
on from the same byte with the hash as it stands; where the destination does, the blob begins anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator

from promotion.deadline import keeping
from promotion.errors import (
    ContentMismatch,
    NotFound,
    PromotionError,
    RegistryUnavailable,
    Retryable,
)
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob
from promotion.registry.pace import Pace
from promotion.registry.reference import algorithm_of
from promotion.registry.report import Watcher
from promotion.registry.retry import Tries


class Passage:
    """The passage of one blob.

    Attributes:
        retries: How often it had to begin or go on anew.
        is_missing: Whether it ended because the source does not have the blob.
    """

    def __init__(
        self,
        blob: Blob,
        source: RepositoryClient,
        destination: RepositoryClient,
        pace: Pace,
        watcher: Watcher,
    ) -> None:
        self.retries = 0
        self.is_missing = False
        self._blob = blob
        self._source = source
        self._destination = destination
        self._pace = pace
        self._watcher = watcher

    def take(self, location: str) -> None:
        """Bring the blob over, through an upload that is open already.

        Raises:
            CannotFinish: Time is up, and would be in every attempt.
            ContentMismatch: The source's bytes do not have the blob's digest or length.
            NotFound: The source does not have it, or the destination lost every upload of it.
            Retryable: Time is up, or a registry failed more often than there is patience for.
        """
        try:
            with keeping(self._pace.deadline):
                self._take(location)
        except Retryable as error:
            if self._pace.deadline.left <= 0:
                raise self._pace.out_of_time() from error
            raise
        finally:
            self._pace.ended(self._blob)

    def _take(self, location: str) -> None:
        tries = self._destination.transport.tries()
        while True:
            pieces = self._pieces()
            try:
                self._destination.upload(location, self._blob, pieces)
                return
            except _SourceFailed as error:
                self.is_missing = isinstance(error.cause, NotFound)
                raise error.cause from error.cause.__cause__
            except (RegistryUnavailable, NotFound, ContentMismatch) as error:
                self._try_again(tries, error)
            finally:
                pieces.close()
            location = self._destination.start_upload(self._blob)

    def _pieces(self) -> Generator[bytes, None, None]:
        """The blob's bytes, once they are known to be its own."""
        if self._blob.content is not None:
            yield self._blob.content
            return
        try:
            yield from self._checked()
        except PromotionError as error:
            raise _SourceFailed(error) from error

    def _checked(self) -> Iterator[bytes]:
        blob = self._blob
        self._pace.began(blob)
        self._watcher.began(blob)
        whole = hashlib.new(algorithm_of(blob.digest))
        length = 0
        held_back = b""
        for piece in self._read():
            length += len(piece)
            if length > blob.size:
                break
            whole.update(piece)
            self._pace.advanced(blob, len(piece))
            self._watcher.advanced(blob, len(piece))
            if held_back:
                yield held_back
            held_back = piece
        if length != blob.size or whole.hexdigest() != blob.digest.partition(":")[2]:
            raise ContentMismatch(
                f"{self._source.repository} sent bytes for {blob.digest} that are not"
                f" {blob.size} bytes long or do not have that digest; the upload was abandoned"
            )
        yield held_back

    def _read(self) -> Iterator[bytes]:
        """All bytes from the source, over as many answers as it takes."""
        read = 0
        tries = self._source.transport.tries()
        while True:
            try:
                with self._source.blob(self._blob, read, tries) as pieces:
                    for piece in pieces:
                        tries.got_on()
                        read += len(piece)
                        yield piece
                return
            except RegistryUnavailable as error:
                if read >= self._blob.size:
                    return
                self._try_again(tries, error)

    def _try_again(self, tries: Tries, error: PromotionError) -> None:
        tries.failed(error)
        self.retries += 1


class _SourceFailed(Exception):
    """Carries the source's failure through the destination's request, which it ends."""

    def __init__(self, cause: PromotionError) -> None:
        super().__init__(str(cause))
        self.cause = cause
