"""Decisions: whether an image leaves its stage. Pure functions of what is known, without I/O.

This version decides upon one suite. What promotion.yaml can say beyond that is refused at start
(``check_supported``), never overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from promotion.errors import BadConfiguration
from promotion.events import Outcome, TestResult
from promotion.pipeline import Gate, Pipelines, Promotion
from promotion.registry.reference import Digest
from promotion.verdict import Decision, Finding, Verdict


class Standing(msgspec.Struct, frozen=True):
    """What the version's tag names, at the source and at the destination; None: no such tag."""

    source: Digest | None
    destination: Digest | None


def concerns(gate: Gate | None, result: TestResult) -> bool:
    """Whether a gate asks for the suite that the result is of."""
    return gate is not None and result.suite in gate.suites


def decide(promotion: Promotion, result: TestResult, standing: Standing) -> Verdict:
    """Judge whether an image qualifies for the next stage, with every reason for or against it."""
    return Verdict(
        (_suite(result), *_source(promotion, standing), *_destination(promotion, standing))
    )


def tag_conflict(promotion: Promotion, named: Digest) -> Finding:
    """The finding that the version is taken at the destination, by other content."""
    return Finding(
        Decision.DENY,
        "tag-conflict",
        f"{promotion.destination} already names {named}, not {promotion.digest};"
        " a version is never overwritten: build a new one",
    )


def check_supported(pipelines: Pipelines) -> None:
    """Refuse a configuration that asks for more than this version can decide upon.

    Raises:
        BadConfiguration: It does; the text has a line for each such key.
    """
    unsupported = ["signing"] if pipelines.signing else []
    for pipeline in pipelines.pipelines:
        for stage in pipeline.stages.values():
            place = f"pipelines.{pipeline.name}.stages.{stage.name}.gate"
            unsupported += [f"{place}.{key}" for key in _unsupported(stage.gate)]
    if unsupported:
        raise BadConfiguration(
            "\n".join(f"promotion.yaml: {key} is not supported yet" for key in unsupported)
        )


def _suite(result: TestResult) -> Finding:
    said = f"suite {result.suite} ended with {result.outcome}"
    match result.outcome:
        case Outcome.SUCCESS:
            return Finding(Decision.PROMOTE, "suite-succeeded", said, result.url)
        case Outcome.FAILURE:
            return Finding(Decision.DENY, "suite-failed", said, result.url)
        case _:
            message = f"{said}, which says nothing about the image; run it again"
            return Finding(Decision.WAIT, "suite-inconclusive", message, result.url)


def _source(promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    if standing.source is None:
        message = f"{promotion.source} is not there; push the image before its result is published"
        yield Finding(Decision.DENY, "not-at-source", message)
    elif standing.source != promotion.digest:
        yield Finding(
            Decision.DENY,
            "tag-moved",
            f"the tag moved after the test: {promotion.source} names {standing.source} now,"
            f" but {promotion.digest} was tested",
        )


def _destination(promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    if standing.destination not in (None, promotion.digest):
        yield tag_conflict(promotion, standing.destination)


def _unsupported(gate: Gate | None) -> Iterator[str]:
    if gate is None:
        return
    if len(gate.suites) != 1:
        yield "suites with other than one entry"
    for key in ("refs", "versions", "soak", "approvals", "freeze"):
        if getattr(gate, key):
            yield key
    if gate.no_alerts:
        yield "alerts"
