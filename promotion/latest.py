"""The highest version of an image in a stage that may be used: neither revoked nor held."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from semver import Version

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


Counts = Callable[["Version"], bool]
"""Whether a semantic version is one that may be found."""


def is_release(version: Version) -> bool:
    """Whether it is no pre-release."""
    return not version.prerelease


def is_any(_: Version) -> bool:
    """Every version, pre-releases too."""
    return True


def latest(
    name: str,
    pipeline: Pipeline,
    stage: Stage,
    transport: Transport,
    store: EvidenceStore,
    now: datetime,
    counts: Counts = is_release,
) -> Latest:
    """Find the highest version of an image in a stage that is neither revoked nor held.

    Args:
        name: The image's, in the stage.
        pipeline: Whose stage it is.
        stage: Where to look.
        transport: To read with.
        store: What is stated of images.
        now: When holds are to be in force.
        counts: Which versions are looked at; default: releases alone.

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
    for version in _versions(client.tags(), counts):
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


def _versions(tags: list[str], counts: Counts) -> list[str]:
    """The versions that count, the highest first."""
    from semver import Version

    versions = [tag for tag in versions_first(tags) if Version.is_valid(tag)]
    return [version for version in versions if counts(Version.parse(version))]


def _nothing(repository: Repository, skipped: list[tuple[str, tuple[Finding, ...]]]) -> str:
    if not skipped:
        return f"{repository} has no release version, such as 1.4.2"
    reasons = "; ".join(f"{version}: {against[0].message}" for version, against in skipped)
    return f"No version of {repository} may be used: {reasons}"
