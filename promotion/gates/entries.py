"""How an image came into its stage: the promotion records that let it in."""

from __future__ import annotations

from collections.abc import Iterator

from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.by_hand import PromotionByHand
from promotion.evidence.record import PromotionRecord
from promotion.pipeline import Image, Promotion
from promotion.verdict import Decision, Finding


def first_record(image: Image, evidence: Evidence) -> Attested[PromotionRecord] | None:
    """The oldest record of the image's promotion into its stage."""
    records = [
        each
        for each in evidence.records
        if each.said.pipeline == image.pipeline.name
        and each.said.to_stage == image.stage.name
        and each.said.destination == image.reference
    ]
    return min(records, key=lambda each: (each.basis.at, each.basis), default=None)


def first_by_hand(image: Image, evidence: Evidence) -> Attested[PromotionByHand] | None:
    """The oldest promotion of the image into its stage that asked no gate."""
    promotions = [
        each
        for each in evidence.by_hand
        if each.said.pipeline == image.pipeline.name
        and each.said.to_stage == image.stage.name
        and each.said.destination == image.reference
    ]
    return min(promotions, key=lambda each: (each.basis.at, each.basis), default=None)


def judged(image: Image, promotion: Promotion, evidence: Evidence) -> Iterator[Finding]:
    """Whether the image came into its stage by a promotion, where that is asked for."""
    stage = image.stage
    if stage.entry == "any" or image.pipeline.observed or not image.pipeline.upstream_of(stage):
        return
    if first := first_record(image, evidence):
        message = f"it was promoted into {stage.name} from {first.said.from_stage}"
        yield Finding(Decision.PROMOTE, "promoted-here", message, basis=(first.basis,))
    else:
        past = first_by_hand(image, evidence)
        how = f": {past.said.author.name} promoted it by hand, past the gate" if past else ""
        message = (
            f"no promotion record says that {promotion.digest} was let into {stage.name} as"
            f" {image.reference}{how}; promote it from the stage before"
        )
        yield Finding(Decision.DENY, "no-record", message, basis=(past.basis,) if past else ())
