"""Promotions by hand between the stages of a promotion.yaml: past the gate, or by the gate.

Past the gate an image is put on record as what it is, and what people have decided against it holds
all the same. By the gate it is promoted as the function does it, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from promotion import control_log, events, gates
from promotion.announcement import Recorded
from promotion.by_hand.errand import Found, tag_unless_taken
from promotion.effects import Effects
from promotion.errors import BadConfiguration, BadMessage
from promotion.evidence.attested import Evidence
from promotion.evidence.by_hand import Author, PromotionByHand
from promotion.evidence.store import EvidenceStore
from promotion.judgement import Case, Judgement, check_counted, judge
from promotion.pipeline import Image, Pipelines, Promotion
from promotion.registry.reference import Digest, Reference
from promotion.verdict import Decision, Finding, Verdict


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
        stated = store.attach(destination, self._found.image, self._said(), there).basis.statement
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
        return self._recorded.statement

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


def _in_stage(reference: Reference, pipelines: Pipelines) -> Image | None:
    try:
        return pipelines.find(Reference(reference.repository, reference.tag))
    except BadMessage:
        return None
