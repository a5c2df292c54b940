"""Where an image is, why it did or did not move, and what it waits for: asked of the registries.

The policy comes from a file or, where there is none, from what the function has stored beside the
images. Nothing is written, and the right to read is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from promotion import configuration, policy
from promotion.errors import AccessDenied, NotFound, Retryable
from promotion.evidence.attested import Attested, Evidence, Ignored
from promotion.evidence.by_hand import PromotionByHand
from promotion.evidence.store import EvidenceStore
from promotion.gates import first_by_hand, first_record
from promotion.judgement import Case, judge
from promotion.pipeline import Gate, Image, Pipelines
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
        by_hand: That it was promoted into this stage past the gate, where no gate has let it in.
        problem: Why no more can be said, where a registry could not be asked.
    """

    stage: str
    repository: Repository
    named: Digest | None
    since: datetime | None = None
    outlooks: tuple[Outlook, ...] = ()
    problem: str = ""
    by_hand: Attested[PromotionByHand] | None = None


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

    def by_hand(self, stage: str, to_stage: str) -> PromotionByHand | None:
        """That the image went from one stage to the other past the gate, and how."""
        found = self.at(to_stage).by_hand
        return found.said if found and found.said.from_stage == stage else None


class Found(msgspec.Struct, frozen=True):
    """A policy that was found beside images, and where."""

    policy: Policy
    place: Reference


def status(image: Image, digest: Digest, transport: Transport, store: EvidenceStore) -> Status:
    """Ask the registries about an image digest in every stage of its pipeline.

    A stage that cannot be asked says why, and the others are asked all the same.
    """
    stages = []
    ignored: dict[Digest, Ignored] = {}
    for stage in image.pipeline.stages.values():
        here = Image(image.pipeline, stage, image.name, image.in_stage(stage))
        asked = _Asked(here, digest, transport, store)
        stages.append(asked.status())
        ignored |= {each.attestation: each for each in asked.ignored}
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


class _Asked:
    """One stage that is asked about an image; keeps what it was told as far as it got."""

    def __init__(
        self, image: Image, digest: Digest, transport: Transport, store: EvidenceStore
    ) -> None:
        self._image = image
        self._digest = digest
        self._transport = transport
        self._store = store
        self._repository = RepositoryClient(image.reference.repository, transport)
        self._named: Digest | None = None
        self._since: datetime | None = None
        self._by_hand: Attested[PromotionByHand] | None = None
        self._outlooks: list[Outlook] = []
        self.ignored: list[Ignored] = []

    def status(self) -> StageStatus:
        problem = ""
        try:
            self._ask()
        except Retryable as error:
            problem = str(error)
        return StageStatus(
            self._image.stage.name,
            self._repository.repository,
            self._named,
            self._since,
            tuple(self._outlooks),
            problem,
            self._by_hand,
        )

    def _ask(self) -> None:
        self._named = self._repository.resolve(self._image.reference.tag)
        if self._named is None:
            return
        evidence = self._store.read(self._digest, [self._repository])
        self.ignored.extend(evidence.ignored)
        if self._named == self._digest:
            self._since = _promoted_at(self._image, evidence)
            if not first_record(self._image, evidence):
                self._by_hand = first_by_hand(self._image, evidence)
        if self._image.stage.gate is not None:
            self._judge(self._image.stage.gate)

    def _judge(self, gate: Gate) -> None:
        for promotion in self._image.promotions(self._digest):
            case = Case.to_look_at(self._image, gate, promotion, self._transport)
            judgement = judge(case, self._store, datetime.now(UTC))
            self.ignored.extend(judgement.evidence.ignored)
            arrived = judgement.standing.destination == self._digest
            self._outlooks.append(Outlook(promotion.to_stage, judgement.verdict, arrived))


def _promoted_at(image: Image, evidence: Evidence) -> datetime | None:
    records = [
        each.said
        for each in evidence.promotions
        if each.said.pipeline == image.pipeline.name and each.said.destination == image.reference
    ]
    return min((each.decided_at for each in records), default=None)


def _folders(repository: Repository) -> Iterator[Repository]:
    """The paths above a repository, the nearest first: one of them is its stage's."""
    path = repository.path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield Repository(repository.host, path)
