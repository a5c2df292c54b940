"""What the registries say of an image at a gate, and the verdict that follows from it.

All that is asked is asked at once. Evidence is looked for in the image's own stage, in those before
it, since a failure counts everywhere downstream, and where a suite is said to run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from promotion import control_log, gates
from promotion.deadline import NEVER, Deadline
from promotion.errors import EvidenceMissing
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.record import PromotionRecord
from promotion.evidence.store import EvidenceStore
from promotion.gates import Standing
from promotion.pipeline import Gate, Image, Promotion, Stage
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient, between
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from promotion.verdict import Decision, Finding, Verdict

BARRING = frozenset({"suite-failed", "suite-failed-upstream", "revoked"})
"""What bars an image from a stage that it has reached; any other denial comes too late for it."""


@dataclass(frozen=True)
class Case:
    """One image at one gate, and whom to ask about it.

    Attributes:
        gate: The conditions for leaving the image's stage.
        source: The repository that the image is in.
        destination: The repository that it would go to.
        elsewhere: Further repositories in which there may be evidence about it.
        control: Where statements about its stage are.
    """

    image: Image
    gate: Gate
    promotion: Promotion
    source: RepositoryClient
    destination: RepositoryClient
    elsewhere: tuple[RepositoryClient, ...]
    control: RepositoryClient

    @classmethod
    def to_promote(
        cls,
        image: Image,
        gate: Gate,
        promotion: Promotion,
        transport: Transport,
        deadline: Deadline,
    ) -> Case:
        """The case of a promotion, with the rights that it takes to do it."""
        source, destination = between(
            promotion.source.repository,
            promotion.destination.repository,
            reader=transport,
            writer=transport,
            deadline=deadline,
        )
        elsewhere = _elsewhere(image, transport, deadline)
        control = _control(image, transport, deadline)
        return cls(image, gate, promotion, source, destination, elsewhere, control)

    @classmethod
    def by_hand(
        cls,
        image: Image,
        promotion: Promotion,
        source: RepositoryClient,
        destination: RepositoryClient,
    ) -> Case:
        """The case of a promotion by a person, who may be somebody else on either side.

        What is asked beside the two is asked as whoever reads the source. Where promotion.yaml
        knows no way between the two stages, the gate is an empty one.
        """
        leads_on = promotion.to_stage in image.stage.promotes_to
        gate = image.stage.gate if leads_on and image.stage.gate else Gate(suites=())
        elsewhere = _elsewhere(image, source.transport, NEVER)
        control = _control(image, source.transport, NEVER)
        return cls(image, gate, promotion, source, destination, elsewhere, control)

    @classmethod
    def to_look_at(
        cls, image: Image, gate: Gate, promotion: Promotion, transport: Transport
    ) -> Case:
        """The case of a promotion that is only to be judged: nothing can be written."""
        source = RepositoryClient(promotion.source.repository, transport)
        destination = RepositoryClient(promotion.destination.repository, transport)
        elsewhere = _elsewhere(image, transport, NEVER)
        control = _control(image, transport, NEVER)
        return cls(image, gate, promotion, source, destination, elsewhere, control)

    @property
    def next_stage(self) -> Repository:
        """The repository of the stage that the image would go to."""
        return self.image.pipeline.stages[self.promotion.to_stage].repository

    @property
    def places(self) -> tuple[RepositoryClient, ...]:
        """Where evidence about the image may be."""
        return (self.source, *self.elsewhere)

    def has_arrived(self, standing: Standing) -> bool:
        """Whether the version names the image in the next stage."""
        return standing.destination == self.promotion.digest

    def reached(self) -> list[str]:
        """The stages after the image's own, on all ways out, where the version names this digest.

        Raises:
            Retryable: A registry failed.
        """
        own = self.image.stage
        holding = stages_holding(self.image, self.promotion.digest, own, self.source)
        return [name for name in holding if name != own.name]

    def records(self, there: Evidence) -> list[Attested[PromotionRecord]]:
        """The records of this promotion, the first one first.

        Args:
            there: What is attached to the image at its destination.
        """
        promotion = self.promotion
        return [
            each
            for each in sorted(there.records, key=lambda each: (each.basis.at, each.basis))
            if each.said.pipeline == promotion.pipeline
            and each.said.from_stage == promotion.from_stage
            and each.said.destination == promotion.destination
        ]

    def standing(self, there: Evidence, known: Evidence) -> list[Attested[PromotionRecord]]:
        """Those records of this promotion that no failure follows, the first one first.

        Args:
            there: What is attached to the image at its destination.
            known: What is known of the image.
        """
        return [each for each in self.records(there) if gates.stands(self.image, each.said, known)]


def check_counted(stated: Digest | None, evidence: Evidence) -> None:
    """One's own statement must be among those that are read: only then none is missed.

    Raises:
        EvidenceMissing: It is not, though all that there are have been read.
    """
    if stated is None or evidence.overflow or evidence.holds(stated):
        return
    ignored = [f"{each.attestation} does not count: {each.reason}" for each in evidence.ignored]
    raise EvidenceMissing(
        f"The statement {stated} was attached, and is not among those that count;"
        f" {'; '.join(ignored) or 'the registry does not list it yet'}"
    )


def stages_holding(
    image: Image, digest: Digest, first: Stage, reader: RepositoryClient
) -> list[str]:
    """The stages, from one stage on, in which an image's version names a digest.

    Args:
        image: The image, in any stage.
        digest: What it should name.
        first: The stage to begin with.
        reader: Asks, as the identity and by the deadline that it has.

    Raises:
        Retryable: A registry failed.
    """
    pipeline = image.pipeline
    further = [
        stage
        for stage in pipeline.stages.values()
        if stage is first or first in pipeline.upstream_of(stage)
    ]
    places = [(stage.name, image.in_stage(stage)) for stage in further]
    return [
        name
        for name, place in places
        if RepositoryClient(place.repository, reader.transport, reader.deadline).resolve(place.tag)
        == digest
    ]


def _elsewhere(
    image: Image, transport: Transport, deadline: Deadline
) -> tuple[RepositoryClient, ...]:
    own = image.reference.repository
    places = [place for place in image.evidence_places() if place != own]
    return tuple(RepositoryClient(place, transport, deadline) for place in places)


def _control(image: Image, transport: Transport, deadline: Deadline) -> RepositoryClient:
    place = control_log.repository_of(image.stage.repository)
    return RepositoryClient(place, transport, deadline)


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what it follows from.

    Attributes:
        evidence: What is stated about the image itself.
        known: That, and what is stated about its stage.
        subject: The image at the source, by its digest; None if it is not there.
    """

    verdict: Verdict
    evidence: Evidence
    known: Evidence
    standing: Standing
    subject: Manifest | None

    def with_finding(self, finding: Finding) -> Judgement:
        """The same with one finding more."""
        return replace(self, verdict=Verdict((*self.verdict.findings, finding)))


def can_leave(case: Case, store: EvidenceStore, stated: Digest | None, now: datetime) -> bool:
    """Whether the image is in its stage and waits for no statement; the next stage is not asked.

    Args:
        case: The image at its gate.
        store: Reads the evidence.
        stated: One's own statement, which must be among what is read; None if there is none.
        now: The time.

    Raises:
        Retryable: A registry failed, or does not list the statement yet.
    """
    promotion = case.promotion
    if case.source.resolve(promotion.version) != promotion.digest:
        return False
    standing = Standing(source=promotion.digest, destination=None)
    evidence, known = _stated(case, store)
    check_counted(stated, evidence)
    return _decided(case, known, standing, now).decision is not Decision.WAIT


def judge(case: Case, store: EvidenceStore, now: datetime) -> Judgement:
    """Ask, and decide.

    Raises:
        Retryable: A registry failed.
    """
    subject = parallel.start(
        partial(case.source.find, case.promotion.digest), case.source.repository.host
    )
    standing, evidence, known = _asked(case, store)
    verdict = _decided(case, known, standing, now)
    return Judgement(verdict, evidence, known, standing, subject.result())


def judge_again(case: Case, before: Judgement, store: EvidenceStore, now: datetime) -> Judgement:
    """Judge once more, upon all that may have changed meanwhile; the image itself cannot.

    Raises:
        EvidenceMissing: Less is listed than before: so some of what is new may be missing, too.
        Retryable: A registry failed.
    """
    standing, evidence, known = _asked(case, store)
    for statement in before.known.statements - known.statements:
        check_counted(statement, known)
    verdict = _decided(case, known, standing, now)
    return Judgement(verdict, evidence, known, standing, before.subject)


def _asked(case: Case, store: EvidenceStore) -> tuple[Standing, Evidence, Evidence]:
    """How the version stands, what is stated of the image, and that with what is of its stage."""
    version = case.promotion.version
    here, there = case.source.repository.host, case.destination.repository.host
    versions = parallel.start(partial(_versions, case), there)
    at_destination = parallel.start(partial(case.destination.resolve, version), there)
    at_source = parallel.start(partial(case.source.resolve, version), here)
    evidence, known = _stated(case, store)
    standing = Standing(at_source.result(), at_destination.result(), versions.result())
    return standing, evidence, known


def _versions(case: Case) -> tuple[str, ...]:
    """The versions that the next stage has, where they matter."""
    if not gates.looks_at_versions(case.gate, case.promotion):
        return ()
    return tuple(case.destination.tags())


def _stated(case: Case, store: EvidenceStore) -> tuple[Evidence, Evidence]:
    """What is stated about the image, and that with what is stated about its stage."""
    evidence = store.read(case.promotion.digest, case.places)
    return evidence, evidence.beside(control_log.read(case.control, store))


def _decided(case: Case, known: Evidence, standing: Standing, now: datetime) -> Verdict:
    return gates.decide(case.image, case.gate, case.promotion, known, standing, now)
