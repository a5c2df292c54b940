"""Bringing one blob into a repository, in the cheapest way that there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from promotion.deadline import keeping
from promotion.errors import AccessDenied, NotFound, RegistryRefused
from promotion.registry.client import RepositoryClient
from promotion.registry.limits import HostLimit
from promotion.registry.manifest import Blob
from promotion.registry.pace import Pace
from promotion.registry.reference import Digest, Repository
from promotion.registry.report import KEPT_ELSEWHERE, BlobReport, Watcher, Way
from promotion.registry.single_flight import SingleFlight
from promotion.registry.stream import Passage

# A larger blob is asked for before it is sent: to ask takes less time than to send this much.
_WORTH_ASKING = 1024 * 1024

# In a copy that takes long, everything is asked for before it is sent: it may be one of many
# attempts, of which each would use up its time on small blobs that the last one brought over.
_LONG_SECONDS = 10.0

_under_way: SingleFlight[tuple[Repository, Digest], None] = SingleFlight(own=Exception)


def bring(
    blob: Blob,
    source: RepositoryClient,
    destination: RepositoryClient,
    pace: Pace,
    watcher: Watcher,
) -> BlobReport | Sending:
    """Have a blob at the destination, if that takes a request or two and no bytes.

    Returns:
        What became of it or, where its bytes have to travel, the task that lets them.

    Raises:
        Retryable: A registry failed.
    """
    if source.repository.host == destination.repository.host:
        location, reason = _mount(blob, source, destination)
        way = Way.MOUNTED
    else:
        location, reason = _ask(blob, destination), ""
        way = Way.PRESENT
    if location is not None:
        return Sending(blob, location, reason, source, destination, pace, watcher)
    report = BlobReport(blob.digest, blob.size, way)
    watcher.finished(report)
    return report


@dataclass(frozen=True)
class Sending:
    """Lets a blob's bytes travel, through an upload that is open.

    When several copies send the same blob to the same place at the same time, one of them sends it
    for all. Should it fail, the others try for themselves: they have other sources and deadlines.
    """

    blob: Blob
    location: str
    reason: str
    source: RepositoryClient
    destination: RepositoryClient
    pace: Pace
    watcher: Watcher

    @cached_property
    def limits(self) -> frozenset[HostLimit]:
        """The limits of the hosts that it takes part in."""
        sides = (self.source, self.destination)
        return frozenset(side.transport.limit(side.repository.host) for side in sides)

    def __call__(self) -> BlobReport:
        """Let them travel.

        Raises:
            CannotFinish: No attempt has the time for it.
            Retryable: A registry failed, or time is up.
        """
        passage = Passage(self.blob, self.source, self.destination, self.pace, self.watcher)
        report = self._sent(passage)
        self.watcher.finished(report)
        return report

    def _sent(self, passage: Passage) -> BlobReport:
        blob = self.blob
        sent: list[Blob] = []

        def send() -> None:
            if not (self.pace.lasts > _LONG_SECONDS and self.destination.has_blob(blob.digest)):
                passage.take(self.location)
                sent.append(blob)

        try:
            with keeping(self.pace.deadline):
                _under_way.do((self.destination.repository, blob.digest), send)
        except NotFound:
            if not (blob.external and passage.is_missing):
                raise
            retries = passage.retries
            return BlobReport(blob.digest, blob.size, Way.LEFT_OUT, retries, KEPT_ELSEWHERE)
        if not sent:
            return BlobReport(blob.digest, blob.size, Way.PRESENT, reason=self.reason)
        return BlobReport(blob.digest, blob.size, Way.COPIED, passage.retries, self.reason)


def _mount(
    blob: Blob, source: RepositoryClient, destination: RepositoryClient
) -> tuple[str | None, str]:
    """An upload to send the blob to, and why; no upload if the blob is there now.

    A registry that is busy raises: a mount is tried again as a mount, not paid for in bytes.
    """
    try:
        location = destination.mount(blob, source.repository)
        return location, "" if location is None else "the registry opened an upload instead"
    except (AccessDenied, NotFound, RegistryRefused) as error:
        return destination.start_upload(blob), str(error)


def _ask(blob: Blob, destination: RepositoryClient) -> str | None:
    """An upload to send the blob to, unless the destination has it."""
    if blob.size > _WORTH_ASKING and destination.has_blob(blob.digest):
        return None
    return destination.mount(blob, None)
