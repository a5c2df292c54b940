"""Decisions: whether an image leaves its stage. Pure functions of what is known, without I/O.

This version decides upon one suite, refs and versions. What promotion.yaml can say beyond that is
refused at start (``check_supported``), never overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from promotion.errors import BadConfiguration
from promotion.events import Outcome, TestResult
from promotion.pipeline import Gate, Pipelines, Promotion
from promotion.registry.reference import Digest
from promotion.verdict import Decision, Finding, Verdict


class Standing(msgspec.Struct, frozen=True):
    """What the registry says of a version, at the source and at the destination.

    Attributes:
        source: What its tag names at the source; None: no such tag.
        destination: What its tag names at the destination; None: no such tag.
        versions: The tags that the destination has, as far as they matter.
    """

    source: Digest | None
    destination: Digest | None
    versions: Sequence[str] = ()


def concerns(gate: Gate, result: TestResult) -> bool:
    """Whether a gate asks for the suite that the result is of."""
    return result.suite in [suite.name for suite in gate.suites]


def looks_at_versions(gate: Gate, promotion: Promotion) -> bool:
    """Whether the verdict depends on which versions the next stage has."""
    from semver import Version

    return gate.order != "any" and Version.is_valid(promotion.version)


def decide(promotion: Promotion, gate: Gate, result: TestResult, standing: Standing) -> Verdict:
    """Judge whether an image qualifies for the next stage, with every reason for or against it."""
    return Verdict(
        (
            _suite(result),
            *_ref(gate, result),
            *_form(gate, promotion),
            *_order(gate, promotion, standing),
            *_source(promotion, standing),
            *_destination(promotion, standing),
        )
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
        if pipeline.observed:
            unsupported.append(f"pipelines.{pipeline.name}.mode")
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


def _ref(gate: Gate, result: TestResult) -> Iterator[Finding]:
    if gate.refs and not any(fnmatchcase(result.ref, pattern) for pattern in gate.refs):
        message = (
            f"suite {result.suite} ran on {result.ref or 'a ref that is not known'},"
            f" and only {', '.join(gate.refs)} may leave"
        )
        yield Finding(Decision.DENY, "ref-not-allowed", message, result.url)


def _form(gate: Gate, promotion: Promotion) -> Iterator[Finding]:
    """Whether the version is of the form that may leave."""
    from semver import Version

    version = promotion.version
    if gate.versions == "semver":
        if not Version.is_valid(version) or Version.parse(version).prerelease:
            message = f"{version} is not a release version, such as 1.4.2"
            yield Finding(Decision.DENY, "version-not-allowed", message)
    elif gate.versions and not re.fullmatch(gate.versions, version):
        message = f"{version} is not a version like {gate.versions}"
        yield Finding(Decision.DENY, "version-not-allowed", message)


def _order(gate: Gate, promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    """Whether the next stage is ahead of the version; what is there already is not in question."""
    if standing.destination is not None or not looks_at_versions(gate, promotion):
        return
    from semver import Version

    own = Version.parse(promotion.version)
    others = [Version.parse(text) for text in standing.versions if Version.is_valid(text)]
    if gate.order == "minor":
        others = [each for each in others if (each.major, each.minor) == (own.major, own.minor)]
    highest = max(others, default=own)
    if highest > own:
        message = f"{promotion.to_stage} has {highest} already, which is newer than {own}"
        yield Finding(Decision.DENY, "superseded", message)


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
    if any(suite.stage or suite.via for suite in gate.suites):
        yield "suites with from or via"
    for key in ("soak", "approvals", "freeze"):
        if getattr(gate, key):
            yield key
    if gate.no_alerts:
        yield "alerts"
