"""A promotion by hand: what a person at a terminal, or a CI job, does without the function.

An image's errand is looked at from both sides first. On what terms it is promoted follows from how
it was asked for: as a plain copy; between two stages past their gate, which is put on record and
bows to what people have decided; or by the gate, as the function does it. On any terms it is
recorded before its tag is set, and no tag that names other content is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import msgspec

from promotion import control_log, events, gates
from promotion.effects import Effects, Recorded
from promotion.errors import BadConfiguration, BadMessage, NotFound, TagMoved, TagTaken
from promotion.evidence import kinds
from promotion.evidence.attested import Evidence
from promotion.evidence.by_hand import Author, PromotionByHand
from promotion.evidence.store import EvidenceStore
from promotion.judgement import Case, Judgement, check_counted, judge
from promotion.pipeline import Image, Pipelines, Promotion
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient, between
from promotion.registry.manifest import Manifest, successors
from promotion.registry.probe import try_writing
from promotion.registry.reference import Digest, Reference, digest_of
from promotion.registry.tagging import set_tag
from promotion.registry.transport import Transport
from promotion.verdict import Decision, Finding, Verdict


@dataclass(frozen=True)
class Errand:
    """An image that is to be promoted, and its repositories, each as whom its side knows.

    Attributes:
        name: What people call it: NAME:TAG.
        origin: What it is called where it is, with its tag; a digest says what that must name.
        target: What it is to be called.
    """

    name: str
    origin: Reference
    target: Reference
    source: RepositoryClient
    destination: RepositoryClient

    @classmethod
    def of(
        cls, name: str, origin: Reference, target: Reference, reader: Transport, writer: Transport
    ) -> Errand:
        """An errand with the rights that it takes."""
        sides = between(origin.repository, target.repository, reader, writer)
        return cls(name, origin, target, *sides)

    def validate(self) -> None:
        """See that the destination can be written to; that the source can be read shows by itself.

        Raises:
            AccessDenied, NotFound, RegistryRefused, RegistryUnavailable: It cannot.
        """
        try_writing(self.target.repository, self.destination.transport)

    def resolve(self) -> Found:
        """The image by its digest, and whether it is there already; both sides are asked at once.

        Raises:
            NotFound: There is no such image.
            TagMoved: It is not the digest that was named.
            TagTaken: Its tag names something else at the destination.
            Retryable: A registry failed.
        """
        there = parallel.start(partial(self.destination.resolve, self.target.tag))
        try:
            image = self.source.find(self.origin.tag)
        finally:
            wait([there])
        if image is None:
            raise NotFound(f"{self._named} does not exist; check the name and the tag")
        if self.origin.digest not in (None, image.digest):
            raise TagMoved(
                f"{self._named} names {image.digest} now, not {self.origin.digest}; look at what"
                " it is, and decide anew"
            )
        named = there.result()
        if named not in (None, image.digest):
            raise taken(self.target, named, image.digest)
        return Found(self, image, present=named is not None)

    @property
    def _named(self) -> Reference:
        return msgspec.structs.replace(self.origin, digest=None)


@dataclass(frozen=True)
class Found:
    """An errand whose image was found.

    Attributes:
        image: Its manifest.
        present: Whether the tag at the destination names it already.
    """

    errand: Errand
    image: Manifest
    present: bool

    @property
    def contents(self) -> str:
        """How much the image consists of, in words."""
        if self.present:
            return "it is there already; what was attached to it since may not be"
        parts = successors(self.image)
        if parts.manifests:
            return f"{len(parts.manifests)} manifests with their blobs"
        return f"{len(parts.blobs)} blobs"

    @property
    def arrived(self) -> Reference:
        """What the image is called at the destination, by tag and digest."""
        return self.errand.target.at(self.image.digest)


class Terms(Protocol):
    """On what terms an image is promoted."""

    @property
    def verdict(self) -> Verdict:
        """Whether it may be, with what speaks for and against it."""

    def record(self) -> Digest | None:
        """Have it on record at the destination, where the image is; the digest of what is stated.

        Raises:
            Retryable: It could not be signed or written.
        """

    def tag(self) -> Verdict:
        """Set the image's tag, if nothing speaks against it by now; the verdict.

        Raises:
            TagTaken: The tag names something else by now.
            Retryable: It could not be written.
        """


class Unrecorded:
    """The terms of a plain copy: between two places that are no stages of one pipeline."""

    def __init__(self, found: Found, why: str = "") -> None:
        """Say why it is not put on record, where one might expect that it is."""
        self._found = found
        said = (Finding(Decision.PROMOTE, "not-on-record", why),) if why else ()
        self.verdict = Verdict(said)

    def record(self) -> None:
        """There is no stage to state anything in."""

    def tag(self) -> Verdict:
        """Set the tag.

        Raises:
            TagTaken: It names something else by now.
            Retryable: It could not be written.
        """
        tag_unless_taken(self._found)
        return self.verdict


@dataclass(frozen=True)
class Keeper:
    """What is needed to write a record of a promotion by hand.

    Attributes:
        author: Who promotes.
    """

    store: EvidenceStore
    author: Author
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class PastTheGate:
    """The terms of a promotion between stages that asks no gate.

    It is recorded as what it is, and revocations and holds forbid it all the same: they are asked
    for where the image is, where it comes from, and where it goes to.
    """

    def __init__(self, found: Found, case: Case, keeper: Keeper) -> None:
        """Ask what people have decided.

        Raises:
            Retryable: A registry failed.
        """
        self._found = found
        self._case = case
        self._keeper = keeper
        self._evidence, self.verdict = self._asked()

    def record(self) -> Digest | None:
        """Attach the evidence that counts, and who promotes the image; none if it was there."""
        if self._found.present:
            return None
        destination, digest = self._case.destination, self._found.image.digest
        store = self._keeper.store
        there = store.read(digest, [destination])
        store.carry(self._evidence, digest, self._case.places, destination, there)
        known = [each for each in there.by_hand if self._is_same(each.said)]
        if known:
            return known[0].basis.statement
        stated = store.attach(destination, self._found.image, self._said(), there)
        check_counted(stated, store.read(digest, [destination]))
        return stated

    def tag(self) -> Verdict:
        """Set the tag, unless somebody has revoked or held the image meanwhile."""
        self._evidence, self.verdict = self._asked()
        if self.verdict.decision is Decision.PROMOTE:
            tag_unless_taken(self._found)
        return self.verdict

    def _asked(self) -> tuple[Evidence, Verdict]:
        """What is stated about the image where it is, and whether anybody forbids it."""
        store, case, digest = self._keeper.store, self._case, self._found.image.digest
        evidence = store.read(digest, case.places)
        there = store.read(digest, [case.destination])
        known = evidence.beside(there).beside(control_log.read(case.control, store))
        against = gates.forbidden(case.image, known, self._keeper.now())
        return evidence, Verdict(against or (self._finding,))

    @property
    def _finding(self) -> Finding:
        author, stage = self._keeper.author.name, self._case.promotion.from_stage
        message = f"{author} promotes it by hand, past the gate of {stage}"
        return Finding(Decision.PROMOTE, "past-the-gate", message)

    def _said(self) -> PromotionByHand:
        promotion = self._case.promotion
        return PromotionByHand(
            pipeline=promotion.pipeline,
            from_stage=promotion.from_stage,
            to_stage=promotion.to_stage,
            source=promotion.source,
            destination=promotion.destination,
            author=self._keeper.author,
            decided_at=self._keeper.now(),
        )

    def _is_same(self, said: PromotionByHand) -> bool:
        """Whether it was stated by an attempt at this that did not get to the tag."""
        return msgspec.structs.replace(self._said(), decided_at=said.decided_at) == said


class ByTheGate:
    """The terms of a promotion that the gate of promotion.yaml has to agree to, as ever."""

    def __init__(
        self, found: Found, case: Case, effects: Effects, store: EvidenceStore, now: datetime
    ) -> None:
        """Have it judged.

        Raises:
            BadConfiguration: There is no gate between the two stages.
            Retryable: A registry failed.
        """
        promotion = case.promotion
        if promotion.to_stage not in case.image.stage.promotes_to:
            raise BadConfiguration(
                f"promotion.yaml lets nothing go from {promotion.from_stage} to"
                f" {promotion.to_stage}, so there is no gate to ask; leave --gate out, or promote"
                f" to {', '.join(case.image.stage.promotes_to) or 'nowhere from there'}"
            )
        self._found = found
        self._case = case
        self._effects = effects
        self._judgement: Judgement = judge(case, store, now)
        self._recorded: Recorded | None = None
        self.verdict = self._judgement.verdict

    def record(self) -> Digest | None:
        """Attach the evidence that counts, and the record of a promotion by the gate."""
        self._recorded = self._effects.record(self._case, self._judgement, self._found.image)
        if self._recorded is None:
            overflow = gates.evidence_overflow(f"it in {self._case.promotion.to_stage}")
            self.verdict = Verdict((*self.verdict.findings, overflow))
            return None
        return digest_of(kinds.write(self._recorded.records[0], self._found.image.digest))

    def tag(self) -> Verdict:
        """Judge once more, and set the tag if the gate still agrees."""
        if self._recorded is not None:
            self.verdict = self._effects.tag(self._case, self._judgement, self._found.image)
        return self.verdict

    def announce(self) -> str:
        """Publish the promoted event, unless that has been done; its id.

        Raises:
            Retryable: It could not be published.
        """
        if self._recorded is not None:
            self._effects.announce_promotion(self._case, self._recorded, self._found.image)
        return events.promoted_id(self._case.promotion)


def case_of(found: Found, pipelines: Pipelines) -> Case | None:
    """The promotion that an errand is; None where it is not between stages of one pipeline."""
    errand = found.errand
    image, there = (_in_stage(each, pipelines) for each in (errand.origin, errand.target))
    if image is None or there is None or image.pipeline != there.pipeline:
        return None
    if image.name != there.name or image.stage == there.stage:
        return None
    promotion = Promotion(
        pipeline=image.pipeline.name,
        image=image.name,
        digest=found.image.digest,
        from_stage=image.stage.name,
        to_stage=there.stage.name,
        source=image.reference,
        destination=there.reference,
    )
    return Case.by_hand(image, promotion, errand.source, errand.destination)


def tag_unless_taken(found: Found) -> None:
    """Let the tag name the image, if it names nothing yet.

    Raises:
        TagTaken: It names something else by now.
        NotFound, RegistryRefused, Retryable: It could not be set.
    """
    if found.present:
        return
    destination, target = found.errand.destination, found.errand.target
    named = destination.resolve(target.tag) or set_tag(destination, found.image, target.tag)
    if named != found.image.digest:
        raise taken(target, named, found.image.digest)


def taken(target: Reference, named: Digest | None, wanted: Digest) -> TagTaken:
    """The error that a tag names other content."""
    return TagTaken(
        f"{target} names {named} already, not {wanted}; a version is never overwritten: build a"
        " new one, or look at which of the two is meant"
    )


def _in_stage(reference: Reference, pipelines: Pipelines) -> Image | None:
    try:
        return pipelines.find(Reference(reference.repository, reference.tag))
    except BadMessage:
        return None
