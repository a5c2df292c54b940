"""What people have decided: whose decisions count for an image, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Attested, Evidence
from promotion.gates.wording import moment, until
from promotion.pipeline import Gate, Image, Promotion
from promotion.verdict import Decision, Finding

Acts = Sequence[Attested[Act]]


def in_stage(image: Image, kind: Kind, evidence: Evidence, now: datetime) -> Acts:
    """What was decided about the image in its stage and has not expired; nothing else's counts."""
    own = str(image.reference.repository)
    return [
        each
        for each in _of(image, kind, evidence)
        if each.said.subject == own
        and each.said.stage == image.stage.name
        and each.said.holds_at(now)
    ]


def about_stage(image: Image, kind: Kind, evidence: Evidence, now: datetime) -> Acts:
    """What was decided about the image's stage, or its whole pipeline, and has not expired."""
    stage = str(image.stage.repository)
    return [
        each
        for each in _of(image, kind, evidence)
        if each.said.subject == stage
        and each.said.stage in (image.stage.name, "")
        and each.said.holds_at(now)
    ]


def latest_of(decided: Acts) -> Attested[Act] | None:
    """The decision that was made last."""
    return max(decided, key=lambda each: (each.said.decided_at, each.basis), default=None)


def approvals(image: Image, gate: Gate, evidence: Evidence, now: datetime) -> Iterator[Finding]:
    """Whether as many people have approved as must, of those who may."""
    if not gate.approvals:
        return
    may = {address.casefold() for address in gate.approvers}
    by: dict[str, list[Attested[Act]]] = {}
    for each in in_stage(image, Kind.APPROVE, evidence, now):
        author = each.said.author.casefold()
        if not may or author in may:
            by.setdefault(author, []).append(each)
    latest = [found for author in sorted(by) if (found := latest_of(by[author]))]
    people = ", ".join(f"{each.said.author}{until(each.said)}" for each in latest)
    basis = tuple(each.basis for each in latest)
    if len(latest) >= gate.approvals:
        yield Finding(Decision.PROMOTE, "approved", f"approved by {people}", basis=basis)
        return
    message = f"{len(latest)} of {gate.approvals} approvals for {image.stage.name}"
    message += f", by {people}" if people else ""
    message += f"; {', '.join(gate.approvers) or 'any who may use the control function'} may"
    yield Finding(Decision.WAIT, "approvals-missing", message, basis=basis)


def by_hand(
    image: Image, promotion: Promotion, evidence: Evidence, now: datetime
) -> Iterator[Finding]:
    """Whether a person let the image go, from a stage that it does not leave by itself."""
    if image.stage.auto:
        return
    decided = in_stage(image, Kind.PROMOTE, evidence, now)
    to_stage = promotion.to_stage
    if act := latest_of([each for each in decided if each.said.to_stage in ("", to_stage)]):
        message = f"{act.said.author} promotes it to {to_stage}: {act.said.reason}"
        yield Finding(Decision.PROMOTE, "promoted-by-hand", message, basis=(act.basis,))
    else:
        message = f"nothing leaves {image.stage.name} by itself: a person advances it to {to_stage}"
        yield Finding(Decision.WAIT, "needs-promote", message)


def holds(image: Image, evidence: Evidence, now: datetime) -> Iterator[Finding]:
    """Who holds the image, its stage or its pipeline, and has not released that since."""
    held = [*_of_image(image, Kind.HOLD, evidence), *about_stage(image, Kind.HOLD, evidence, now)]
    releases = [each for each in _of(image, Kind.RELEASE, evidence) if each.said.holds_at(now)]
    by_scope: dict[tuple[str, str], list[Attested[Act]]] = {}
    for each in held:
        if each.said.holds_at(now) and not any(_releases(one, each) for one in releases):
            by_scope.setdefault((each.said.subject, each.said.stage), []).append(each)
    yield from (_held(image, by_scope[scope]) for scope in sorted(by_scope))


def _held(image: Image, by: Acts) -> Finding:
    """That one thing is held, by each who holds it."""
    ordered = sorted(set(by), key=lambda each: (each.said.decided_at, each.basis))
    acts = [each.said for each in ordered]
    people = "; ".join(f"by {each.author}{until(each)}: {each.reason}" for each in acts)
    message = f"{_scope(image, acts[0])} is held {people}"
    return Finding(Decision.WAIT, "held", message, basis=tuple(each.basis for each in ordered))


def revocations(image: Image, evidence: Evidence) -> Iterator[Finding]:
    """Who has revoked the image, in whichever stage: that counts in all, and for good."""
    if act := latest_of(_of_image(image, Kind.REVOKE, evidence)):
        message = (
            f"{act.said.author} revoked it at {moment(act.said.decided_at)}: {act.said.reason};"
            " build a new version"
        )
        yield Finding(Decision.DENY, "revoked", message, basis=(act.basis,))


def _of(image: Image, kind: Kind, evidence: Evidence) -> Acts:
    pipeline = image.pipeline.name
    return [
        each for each in evidence.acts if each.said.kind is kind and each.said.pipeline == pipeline
    ]


def _of_image(image: Image, kind: Kind, evidence: Evidence) -> Acts:
    """What was decided about the image, in whichever stage of its pipeline."""
    stages = image.pipeline.stages.values()
    places = {str(image.in_stage(stage).repository) for stage in stages}
    return [each for each in _of(image, kind, evidence) if each.said.subject in places]


def _releases(release: Attested[Act], hold: Attested[Act]) -> bool:
    """Whether it lifts a hold: of two at the same moment the hold counts."""
    scope = (release.said.subject, release.said.stage)
    return (
        scope == (hold.said.subject, hold.said.stage)
        and release.said.decided_at > hold.said.decided_at
    )


def _scope(image: Image, act: Act) -> str:
    if act.subject != str(image.stage.repository):
        return f"{act.subject}:{image.reference.tag}"
    return f"the stage {act.stage}" if act.stage else f"the pipeline {act.pipeline}"
