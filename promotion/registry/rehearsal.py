"""A copy that writes nothing: the same walk, which ends in a report of what would be done."""

from __future__ import annotations

from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob, Manifest
from promotion.registry.pace import Pace
from promotion.registry.report import KEPT_ELSEWHERE, BlobReport, Watcher, Way


class Rehearsal(RepositoryClient):
    """A repository that is read as it is, and to which writing has no effect."""

    def __init__(self, repository: RepositoryClient) -> None:
        super().__init__(
            repository.repository, repository.transport, repository.deadline, repository.scopes
        )

    def put_manifest(self, manifest: Manifest, tag: str = "") -> bool:  # noqa: ARG002
        """Write nothing, and claim that the manifest is listed where it should be."""
        return True


def rehearse(
    blob: Blob,
    source: RepositoryClient,
    destination: RepositoryClient,
    pace: Pace,  # noqa: ARG001 - nothing travels
    watcher: Watcher,
) -> BlobReport:
    """Say how a blob would be brought over."""
    if destination.has_blob(blob.digest):
        way = Way.PRESENT
    elif blob.external and not source.has_blob(blob.digest):
        way = Way.LEFT_OUT
    elif source.repository.host == destination.repository.host:
        way = Way.MOUNTED
    else:
        way = Way.COPIED
    reason = KEPT_ELSEWHERE if way is Way.LEFT_OUT else ""
    report = BlobReport(blob.digest, blob.size, way, reason=reason)
    watcher.finished(report)
    return report
