"""Decisions: whether an image leaves its stage. Pure functions of what is known, without I/O.

Nothing depends on the order in which statements arrived: a verdict follows from the set of them,
and from when each run says that it ended. What promotion.yaml can say beyond what is decided here
is refused at start (``check_supported``), never overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from promotion.errors import BadConfiguration
from promotion.evidence.attested import MOST, Attested, Evidence
from promotion.evidence.record import PromotionRecord
from promotion.evidence.suite_run import SuiteRun
from promotion.pipeline import Gate, Image, Pipeline, Pipelines, Promotion, Stage, Suite
from promotion.registry.reference import Digest
from promotion.verdict import Basis, Decision, Finding, Verdict

Runs = Sequence[Attested[SuiteRun]]


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


def looks_at_versions(gate: Gate, promotion: Promotion) -> bool:
    """Whether the verdict depends on which versions the next stage has."""
    from semver import Version

    return gate.order != "any" and Version.is_valid(promotion.version)


def decide(
    image: Image,
    gate: Gate,
    promotion: Promotion,
    evidence: Evidence,
    standing: Standing,
    now: datetime,  # noqa: ARG001 - for the gates that depend on time
) -> Verdict:
    """Judge whether an image qualifies for the next stage, with every reason for or against it."""
    return Verdict(
        (
            *_stated(image, gate, promotion, evidence),
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


def evidence_overflow(subject: str) -> Finding:
    """The finding that more is attached to an image, named in words, than can be judged upon."""
    return Finding(
        Decision.WAIT,
        "evidence-overflow",
        f"more than {MOST} statements are attached to {subject}, so not all of them can be read",
    )


def stands(image: Image, record: PromotionRecord, evidence: Evidence) -> bool:
    """Whether no run that a promotion record rests on was followed by a failure of its suite."""
    inputs = frozenset(record.evidence)
    for suite in dict.fromkeys(image.pipeline.suites_up_to(image.stage)):
        runs = _admitted(suite, _runs_of(image, suite, evidence))
        failure = _newest([run for run in runs if not run.said.passed])
        used = [run for run in runs if run.basis.attestation in inputs]
        if failure and any(run.said.finished_at <= failure.said.finished_at for run in used):
            return False
    return True


def check_supported(pipelines: Pipelines) -> None:
    """Refuse a configuration that asks for more than this version can decide upon.

    Raises:
        BadConfiguration: It does; the text has a line for each such key.
    """
    unsupported = []
    for pipeline in pipelines.pipelines:
        for stage in pipeline.stages.values():
            place = f"pipelines.{pipeline.name}.stages.{stage.name}.gate"
            unsupported += [f"{place}.{key}" for key in _unsupported(pipeline, stage)]
    if unsupported:
        raise BadConfiguration(
            "\n".join(f"promotion.yaml: {key} is not supported yet" for key in unsupported)
        )


def _stated(
    image: Image, gate: Gate, promotion: Promotion, evidence: Evidence
) -> Iterator[Finding]:
    """What follows from the statements; nothing does unless all of them have been read."""
    if evidence.overflow:
        yield evidence_overflow("it")
        return
    yield from _entry(image, promotion, evidence)
    yield from _suites(image, gate, evidence)
    yield from _upstream(image, evidence)


def _entry(image: Image, promotion: Promotion, evidence: Evidence) -> Iterator[Finding]:
    """Whether the image came into its stage by a promotion, where that is asked for."""
    stage = image.stage
    if stage.entry == "any" or image.pipeline.observed or not image.pipeline.upstream_of(stage):
        return
    records = [
        each
        for each in evidence.records
        if each.said.pipeline == image.pipeline.name
        and each.said.to_stage == stage.name
        and each.said.destination == image.reference
    ]
    if records:
        first = min(records, key=lambda each: (each.basis.at, each.basis))
        message = f"it was promoted into {stage.name} from {first.said.from_stage}"
        yield Finding(Decision.PROMOTE, "promoted-here", message, basis=(first.basis,))
    else:
        message = (
            f"no promotion record says that {promotion.digest} was let into {stage.name} as"
            f" {image.reference}; promote it from the stage before"
        )
        yield Finding(Decision.DENY, "no-record", message)


def _suites(image: Image, gate: Gate, evidence: Evidence) -> Iterator[Finding]:
    for suite in image.pipeline.suites_of(image.stage):
        runs = _runs_of(image, suite, evidence)
        admitted = _admitted(suite, runs)
        if failure := _standing_failure(admitted):
            yield _failed(failure, "suite-failed", f"suite {suite.name} failed")
        elif admitted:
            yield _succeeded(gate, suite, _last_successes(admitted))
        else:
            yield _missing(suite, runs)


def _upstream(image: Image, evidence: Evidence) -> Iterator[Finding]:
    """Failures of suites that the image's earlier gates ask for: they count from there on."""
    own = image.pipeline.suites_of(image.stage)
    for suite in dict.fromkeys(image.pipeline.suites_up_to(image.stage)):
        if suite in own:
            continue
        if failure := _standing_failure(_admitted(suite, _runs_of(image, suite, evidence))):
            said = f"suite {suite.name} has failed in {suite.stage}"
            yield _failed(failure, "suite-failed-upstream", said)


def _runs_of(image: Image, suite: Suite, evidence: Evidence) -> Runs:
    """The runs of a suite on this image, where it is to run; no other image's count."""
    repository = str(image.in_stage(image.pipeline.stages[suite.stage]).repository)
    return [
        run
        for run in evidence.runs
        if run.said.suite == suite.name
        and run.said.pipeline == image.pipeline.name
        and run.said.stage == suite.stage
        and run.said.repository == repository
    ]


def _admitted(suite: Suite, runs: Runs) -> Runs:
    """Those that came through the subscription that must report the suite."""
    return [run for run in runs if suite.via in ("", run.said.subscription)]


def _standing_failure(runs: Runs) -> Attested[SuiteRun] | None:
    """The newest failure, if no success is newer; of two at the same time the failure counts."""
    failure = _newest([run for run in runs if not run.said.passed])
    success = _newest([run for run in runs if run.said.passed])
    if failure and success and success.said.finished_at > failure.said.finished_at:
        return None
    return failure


def _last_successes(runs: Runs) -> Runs:
    """The successes since the last failure, the newest first."""
    failure = _newest([run for run in runs if not run.said.passed])
    since = [
        run
        for run in runs
        if run.said.passed and (not failure or run.said.finished_at > failure.said.finished_at)
    ]
    return sorted(since, key=_age, reverse=True)


def _newest(runs: Runs) -> Attested[SuiteRun] | None:
    return max(runs, key=_age, default=None)


def _age(run: Attested[SuiteRun]) -> tuple[datetime, Basis]:
    return run.said.finished_at, run.basis


def _failed(run: Attested[SuiteRun], code: str, said: str) -> Finding:
    message = f"{said} at {_moment(run)}; a newer success lifts this"
    return Finding(Decision.DENY, code, message, run.said.url, (run.basis,))


def _succeeded(gate: Gate, suite: Suite, successes: Runs) -> Finding:
    """The suite's success, if one of its runs was on a ref that may leave."""
    allowed = [run for run in successes if not gate.refs or _is_allowed(run.said.ref, gate.refs)]
    if allowed:
        run = allowed[0]
        message = f"suite {suite.name} succeeded at {_moment(run)}"
        return Finding(Decision.PROMOTE, "suite-succeeded", message, run.said.url, (run.basis,))
    run = successes[0]
    message = (
        f"suite {suite.name} ran on {run.said.ref or 'a ref that is not known'},"
        f" and only {', '.join(gate.refs)} may leave"
    )
    return Finding(Decision.DENY, "ref-not-allowed", message, run.said.url, (run.basis,))


def _missing(suite: Suite, runs: Runs) -> Finding:
    message = f"suite {suite.name} has not reported from {suite.stage}"
    if runs:
        others = ", ".join(sorted({run.said.subscription or "no subscription" for run in runs}))
        message += f" through {suite.via}, which alone counts; it did through {others}"
    return Finding(Decision.WAIT, "suite-missing", message)


def _moment(run: Attested[SuiteRun]) -> str:
    return run.said.finished_at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_allowed(ref: str, patterns: Sequence[str]) -> bool:
    return bool(ref) and any(fnmatchcase(ref, pattern) for pattern in patterns)


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


def _unsupported(pipeline: Pipeline, stage: Stage) -> Iterator[str]:
    gate = stage.gate
    if gate is None:
        return
    if not pipeline.suites_up_to(stage):
        # Only a result brings an image to a gate: nothing would ever have this one judged.
        yield "suites left empty"
    for key in ("soak", "approvals", "freeze"):
        if getattr(gate, key):
            yield key
    if gate.no_alerts:
        yield "alerts"
