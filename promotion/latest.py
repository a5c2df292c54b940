"""The highest version of an image in a stage that may be used: neither revoked nor held."""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec

from promotion import control_log, gates
from promotion.errors import NotFound
from promotion.evidence.store import EvidenceStore
from promotion.pipeline import Image, Pipeline, Stage
from promotion.registry.client import RepositoryClient
from promotion.registry.lookup import versions_first
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from promotion.verdict import Finding

_logger = logging.getLogger(__name__)


class Latest(msgspec.Struct, frozen=True):
    """The version that was found.

    Attributes:
        image: Its name in the stage, with the version as its tag.
        since: When it was promoted into the stage, if that is on record.
        skipped: The higher versions, each with the findings that keep it from being used.
    """

    image: Reference
    digest: Digest
    since: datetime | None
    skipped: tuple[tuple[str, tuple[Finding, ...]], ...]


def latest(
    name: str,
    pipeline: Pipeline,
    stage: Stage,
    transport: Transport,
    store: EvidenceStore,
    now: datetime,
) -> Latest:
    """Find the highest release version of an image in a stage that is neither revoked nor held.

    Raises:
        BadReference: The name is none.
        NotFound: There is no such version.
        Retryable: A registry failed.
    """
    repository = Repository.parse(f"{stage.repository}/{name}")
    client = RepositoryClient(repository, transport)
    control = RepositoryClient(control_log.repository_of(stage.repository), transport)
    of_stage = control_log.read(control, store)
    skipped: list[tuple[str, tuple[Finding, ...]]] = []
    for version in _releases(client.tags()):
        digest = client.resolve(version)
        if digest is None:
            continue
        image = Image(pipeline, stage, name, Reference(repository, version))
        places = [RepositoryClient(place, transport) for place in image.evidence_places()]
        evidence = store.read(digest, places)
        against = gates.barred(image, evidence.beside(of_stage), now)
        if not against:
            entry = gates.first_record(image, evidence) or gates.first_by_hand(image, evidence)
            since = entry.said.decided_at if entry else None
            return Latest(image.reference, digest, since, tuple(skipped))
        _logger.info("%s is skipped: %s", version, against[0].message)
        skipped.append((version, against))
    raise NotFound(_nothing(repository, skipped))


def _releases(tags: list[str]) -> list[str]:
    """The versions that are no pre-releases, the highest first."""
    from semver import Version

    versions = [tag for tag in versions_first(tags) if Version.is_valid(tag)]
    return [version for version in versions if not Version.parse(version).prerelease]


def _nothing(repository: Repository, skipped: list[tuple[str, tuple[Finding, ...]]]) -> str:
    if not skipped:
        return f"{repository} has no release version, such as 1.4.2"
    reasons = "; ".join(f"{version}: {against[0].message}" for version, against in skipped)
    return f"No version of {repository} may be used: {reasons}"
