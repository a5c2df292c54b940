"""Overrides: who lets an image pass a gate that it does not pass, and what that can never lift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Attested, Evidence
from promotion.gates import acts
from promotion.gates.wording import until
from promotion.pipeline import Image
from promotion.verdict import Decision, Finding

GATES: Mapping[str, tuple[str, ...]] = {
    "suites": ("suite-missing", "suite-failed", "suite-failed-upstream"),
    "refs": ("ref-not-allowed",),
    "versions": ("version-not-allowed",),
    "order": ("superseded",),
    "soak": ("soaking", "not-deployed"),
    "alerts": ("alert-open", "alert-open-upstream"),
    "approvals": ("approvals-missing",),
    "freeze": ("frozen",),
    "hold": ("held",),
    "auto": ("needs-promote",),
}
"""The gates that can be overridden, with the findings that each of them makes. What is not here
stands whoever says what: other content than was tested, no record, a revocation."""

_GATE_OF = {code: gate for gate, codes in GATES.items() for code in codes}


def overridden(
    findings: Iterable[Finding], image: Image, evidence: Evidence, now: datetime
) -> Iterator[Finding]:
    """The findings, with those that a person lets the image pass in spite of."""
    if evidence.overflow:
        yield from findings
        return
    decided = acts.in_stage(image, Kind.OVERRIDE, evidence, now)
    for finding in findings:
        gate = _GATE_OF.get(finding.code)
        act = acts.latest_of([each for each in decided if gate in each.said.gates])
        yield _passed(finding, gate, act) if gate and act else finding


def _passed(finding: Finding, gate: str, act: Attested[Act]) -> Finding:
    said = act.said
    message = (
        f"{said.author} overrides {gate}{until(said)}: {said.reason};"
        f" overridden is: {finding.message}"
    )
    return Finding(Decision.PROMOTE, "overridden", message, finding.url, (act.basis,))
