"""What follows from the runs of suites, in the image's own stage and in those before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.record import PromotionRecord
from promotion.evidence.suite_run import SuiteRun
from promotion.gates.wording import moment
from promotion.pipeline import Gate, Image, Suite
from promotion.verdict import Basis, Decision, Finding

Runs = Sequence[Attested[SuiteRun]]


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


def judged(image: Image, gate: Gate, evidence: Evidence) -> Iterator[Finding]:
    """Whether the gate's suites succeeded, and no earlier gate's has failed."""
    yield from _own(image, gate, evidence)
    yield from upstream(image, evidence)


def _own(image: Image, gate: Gate, evidence: Evidence) -> Iterator[Finding]:
    for suite in image.pipeline.suites_of(image.stage):
        runs = _runs_of(image, suite, evidence)
        admitted = _admitted(suite, runs)
        if failure := _standing_failure(admitted):
            yield _failed(failure, "suite-failed", f"suite {suite.name} failed")
        elif admitted:
            yield _succeeded(gate, suite, _last_successes(admitted))
        else:
            yield _missing(suite, runs)


def upstream(image: Image, evidence: Evidence) -> Iterator[Finding]:
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
    message = f"{said} at {moment(run.said.finished_at)}; a newer success lifts this"
    return Finding(Decision.DENY, code, message, run.said.url, (run.basis,))


def _succeeded(gate: Gate, suite: Suite, successes: Runs) -> Finding:
    """The suite's success, if one of its runs was on a ref that may leave."""
    allowed = [run for run in successes if not gate.refs or _is_allowed(run.said.ref, gate.refs)]
    if allowed:
        run = allowed[0]
        message = f"suite {suite.name} succeeded at {moment(run.said.finished_at)}"
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


def _is_allowed(ref: str, patterns: Sequence[str]) -> bool:
    return bool(ref) and any(fnmatchcase(ref, pattern) for pattern in patterns)
