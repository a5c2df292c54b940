"""Bringing one blob into a repository, in the cheapest way that there is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from promotion.errors import AccessDenied, NotFound, RegistryRefused
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob
from promotion.registry.pace import Pace
from promotion.registry.reference import Digest, Repository
from promotion.registry.report import BlobReport, Watcher, Way
from promotion.registry.single_flight import SingleFlight
from promotion.registry.stream import Passage

# A larger blob is asked for before it is sent: to ask takes less time than to send this much.
_WORTH_ASKING = 1024 * 1024

Outcome = BlobReport | Callable[[], BlobReport]
"""What became of a blob or, where its bytes have to travel, the task that lets them."""

_under_way: SingleFlight[tuple[Repository, Digest], BlobReport] = SingleFlight()


def bring(
    blob: Blob,
    source: RepositoryClient,
    destination: RepositoryClient,
    pace: Pace,
    watcher: Watcher,
) -> Outcome:
    """Have a blob at the destination, if that takes a request or two and no bytes.

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
        passage = Passage(blob, source, destination, pace, watcher)
        return partial(_send, blob, location, reason, passage, watcher)
    report = BlobReport(blob.digest, blob.size, way)
    watcher.finished(report)
    return report


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


def _send(blob: Blob, location: str, reason: str, passage: Passage, watcher: Watcher) -> BlobReport:
    """Let a blob's bytes travel.

    When several copies send the same blob to the same place at the same time, one of them sends it
    for all.

    Raises:
        Retryable: A registry failed.
    """
    own: list[BlobReport] = []

    def task() -> BlobReport:
        own.append(_sent(blob, location, reason, passage))
        return own[0]

    report = _under_way.do((passage.destination.repository, blob.digest), task)
    if not own and report.way is not Way.LEFT_OUT:
        report = msgspec.structs.replace(report, way=Way.PRESENT, retries=0)
    watcher.finished(report)
    return report


def _sent(blob: Blob, location: str, reason: str, passage: Passage) -> BlobReport:
    if blob.content is not None:
        passage.destination.upload(location, blob, [blob.content])
        return BlobReport(blob.digest, blob.size, Way.COPIED, reason=reason)
    try:
        passage.take(location)
    except NotFound:
        if not blob.external:
            raise
        reason = "it is kept elsewhere, as its manifest says"
        return BlobReport(blob.digest, blob.size, Way.LEFT_OUT, passage.retries, reason)
    return BlobReport(blob.digest, blob.size, Way.COPIED, passage.retries, reason)
