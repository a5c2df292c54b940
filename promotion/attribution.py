"""Which image an incident is about: the one that ran in the stage when it began.

That is the digest whose deployment, or, where none is reported, whose promotion into the stage is
the last before. An incident stays with the digest that it was first attributed to, so that it does
not matter which of its two messages comes first.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from promotion.errors import BeyondLimit
from promotion.evidence.attested import Evidence
from promotion.evidence.store import EvidenceStore
from promotion.pipeline import Image
from promotion.registry.client import RepositoryClient
from promotion.registry.lookup import versions_first
from promotion.registry.reference import Digest

MOST = 50
"""The versions of an image, the highest first, among which the one that ran is looked for."""


class Running(msgspec.Struct, frozen=True):
    """An image digest that ran, under which version, and since when."""

    version: str
    digest: Digest
    since: datetime


def running_at(
    moment: datetime,
    image: Image,
    incident: str,
    repository: RepositoryClient,
    store: EvidenceStore,
) -> Running | None:
    """The digest of an image that ran in its stage at a moment; None if that is not known.

    It is not where nothing says that any of them ran, nor where more is attached to one of them
    than can be read: that one may have run.

    Args:
        moment: When.
        image: The image in its stage; its tag does not matter.
        incident: An incident that stays where it was attributed to, if it was.
        repository: Where the image is.
        store: Reads what is stated about it.

    Raises:
        Retryable: The registry failed.
    """
    ran: list[Running] = []
    all_read = True
    for version in versions_first(repository.tags())[:MOST]:
        digest = repository.resolve(version)
        if digest is None:
            continue
        evidence = _attached_to(digest, repository, store)
        since = _since(moment, image, evidence)
        if any(each.said.incident == incident for each in evidence.alerts):
            return Running(version, digest, since or moment)
        if since:
            ran.append(Running(version, digest, since))
        all_read = all_read and not evidence.overflow
    return max(ran, key=lambda each: each.since, default=None) if all_read else None


def _attached_to(digest: Digest, repository: RepositoryClient, store: EvidenceStore) -> Evidence:
    try:
        return store.read(digest, [repository])
    except BeyondLimit:
        return Evidence(overflow=True)


def _since(moment: datetime, image: Image, evidence: Evidence) -> datetime | None:
    """Since when a digest ran, if it had begun to by then."""
    place = (image.pipeline.name, image.stage.name)
    deployed = [
        each.said.deployed_at
        for each in evidence.deployments
        if (each.said.pipeline, each.said.stage) == place
    ]
    promoted = [
        each.said.decided_at
        for each in evidence.promotions
        if (each.said.pipeline, each.said.to_stage) == place
    ]
    return max((each for each in deployed or promoted if each <= moment), default=None)
