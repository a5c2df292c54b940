"""The decision: all findings about an image at a gate, as one verdict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from promotion.evidence.attested import MOST, Evidence
from promotion.gates import acts, entries, freezes, incidents, overrides, soaking, suites, versions
from promotion.gates.versions import Standing
from promotion.pipeline import Gate, Image, Promotion
from promotion.verdict import Decision, Finding, Verdict

_HERE = "it, or to its stage as a whole"


def decide(
    image: Image,
    gate: Gate,
    promotion: Promotion,
    evidence: Evidence,
    standing: Standing,
    now: datetime,
) -> Verdict:
    """Judge whether an image qualifies for the next stage, with every reason for or against it."""
    findings = (
        *_stated(image, gate, promotion, evidence, now),
        *freezes.judged(gate, now),
        *versions.judged(gate, promotion, standing),
    )
    return Verdict(tuple(overrides.overridden(findings, image, evidence, now)))


def barred(image: Image, evidence: Evidence, now: datetime) -> tuple[Finding, ...]:
    """What keeps an image from being used where it is: revocations, holds, late failures."""
    if evidence.overflow:
        return (evidence_overflow(_HERE),)
    return (
        *acts.revocations(image, evidence),
        *suites.upstream(image, evidence),
        *acts.holds(image, evidence, now),
    )


def forbidden(image: Image, evidence: Evidence, now: datetime) -> tuple[Finding, ...]:
    """What people have decided against an image's leaving its stage: it binds by hand as well."""
    if evidence.overflow:
        return (evidence_overflow(_HERE),)
    return (*acts.revocations(image, evidence), *acts.holds(image, evidence, now))


def evidence_overflow(subject: str) -> Finding:
    """The finding that more is attached to an image, named in words, than can be judged upon.

    It says nothing that another statement would change: a further one makes no further event.
    """
    return Finding(
        Decision.DENY,
        "evidence-overflow",
        f"more than {MOST} statements are attached to {subject}, so none of them counts: build a"
        " new version, and see who attaches that much",
    )


def _stated(
    image: Image, gate: Gate, promotion: Promotion, evidence: Evidence, now: datetime
) -> Iterator[Finding]:
    """What follows from the statements; nothing does unless all of them have been read."""
    if evidence.overflow:
        yield evidence_overflow(_HERE)
        return
    yield from entries.judged(image, promotion, evidence)
    yield from suites.judged(image, gate, evidence)
    yield from soaking.judged(image, gate, evidence, now)
    yield from incidents.judged(image, gate, evidence, now)
    yield from acts.approvals(image, gate, evidence, now)
    yield from acts.by_hand(image, promotion, evidence, now)
    yield from acts.holds(image, evidence, now)
    yield from acts.revocations(image, evidence)
