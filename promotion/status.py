"""Where an image is, why it did or did not move, and what it waits for: asked of the registries.

The policy comes from a file or, where there is none, from what the function has stored beside the
images. Nothing is written, and the right to read is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from promotion import configuration, policy
from promotion.errors import AccessDenied, NotFound
from promotion.evidence.attested import Ignored
from promotion.evidence.store import EvidenceStore
from promotion.judgement import Case, Judgement, judge
from promotion.pipeline import Image, Pipelines
from promotion.policy import Policy
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from promotion.verdict import Verdict


class Outlook(msgspec.Struct, frozen=True):
    """What an image's way from one stage to another looks like.

    Attributes:
        arrived: Whether it is there already.
    """

    to_stage: str
    verdict: Verdict
    arrived: bool

    @property
    def state(self) -> str:
        """``promoted``, or the verdict in small letters."""
        return "promoted" if self.arrived else self.verdict.decision.name.lower()


class StageStatus(msgspec.Struct, frozen=True):
    """What one stage knows of an image.

    Attributes:
        named: The digest that the version's tag names in this stage; None: no such tag.
        since: When the image was promoted into this stage, if that is on record.
        problem: Why nothing can be said, where the stage may not be read.
    """

    stage: str
    repository: Repository
    named: Digest | None
    since: datetime | None = None
    outlooks: tuple[Outlook, ...] = ()
    problem: str = ""


class Status(msgspec.Struct, frozen=True):
    """What all stages of a pipeline know of one image digest under one version."""

    pipeline: str
    image: str
    version: str
    digest: Digest
    stages: tuple[StageStatus, ...]
    ignored: tuple[Ignored, ...]

    def at(self, stage: str) -> StageStatus:
        """What the stage with this name knows."""
        return next(each for each in self.stages if each.stage == stage)


class Found(msgspec.Struct, frozen=True):
    """A policy that was found beside images, and where."""

    policy: Policy
    place: Reference


def status(image: Image, digest: Digest, transport: Transport, store: EvidenceStore) -> Status:
    """Ask the registries about an image digest in every stage of its pipeline.

    Raises:
        Retryable: A registry failed.
    """
    stages = []
    ignored: dict[Digest, Ignored] = {}
    for stage in image.pipeline.stages.values():
        here = Image(image.pipeline, stage, image.name, image.in_stage(stage))
        try:
            known, judgements = _in_stage(here, digest, transport, store)
        except AccessDenied as error:
            place = here.reference.repository
            known, judgements = StageStatus(stage.name, place, None, problem=str(error)), []
        stages.append(known)
        ignored |= {each.attestation: each for one in judgements for each in one.evidence.ignored}
    return Status(
        image.pipeline.name,
        image.name,
        image.reference.tag,
        digest,
        tuple(stages),
        tuple(ignored.values()),
    )


def find_policy(reference: Reference, transport: Transport) -> Found:
    """The policy in force that is stored beside an image.

    Raises:
        NotFound: There is none in any folder above the image's repository.
        Retryable: The registry failed.
    """
    repository = reference.repository
    for folder in _folders(repository):
        place = policy.repository_of(folder)
        try:
            tag, found = policy.in_force(RepositoryClient(place, transport))
        except (NotFound, AccessDenied):
            continue
        return Found(found, Reference(place, tag))
    raise NotFound(
        f"No policy is stored beside {repository}: the function stores its promotion.yaml with the"
        " first result that it takes for a stage; name the file with --config"
    )


def pipelines_of(found: Found) -> Pipelines:
    """The pipelines that a stored policy describes.

    Raises:
        BadConfiguration: It is of another version, which this one cannot read.
    """
    return configuration.parse(str(found.place), found.policy.text.decode(errors="replace"))


def _in_stage(
    image: Image, digest: Digest, transport: Transport, store: EvidenceStore
) -> tuple[StageStatus, Sequence[Judgement]]:
    stage = image.stage
    repository = RepositoryClient(image.reference.repository, transport)
    named = repository.resolve(image.reference.tag)
    judgements = list(_judgements(image, digest, transport, store)) if named else []
    outlooks = [
        Outlook(
            case.promotion.to_stage,
            judgement.verdict,
            judgement.standing.destination == digest,
        )
        for case, judgement in judgements
    ]
    since = _since(image, digest, repository, store) if named == digest else None
    known = StageStatus(stage.name, repository.repository, named, since, tuple(outlooks))
    return known, [judgement for _, judgement in judgements]


def _judgements(
    image: Image, digest: Digest, transport: Transport, store: EvidenceStore
) -> Iterator[tuple[Case, Judgement]]:
    if image.stage.gate is None:
        return
    for promotion in image.promotions(digest):
        case = Case.to_look_at(image, image.stage.gate, promotion, transport)
        yield case, judge(case, store)


def _since(
    image: Image, digest: Digest, repository: RepositoryClient, store: EvidenceStore
) -> datetime | None:
    records = [
        each.said
        for each in store.read(digest, [repository]).records
        if each.said.pipeline == image.pipeline.name and each.said.destination == image.reference
    ]
    return min((each.decided_at for each in records), default=None)


def _folders(repository: Repository) -> Iterator[Repository]:
    """The paths above a repository, the nearest first: one of them is its stage's."""
    path = repository.path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield Repository(repository.host, path)
