"""Verdicts: what several findings come to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from promotion.registry.reference import digest_of
from promotion.verdict import Basis, Decision, Finding, Verdict, basis_of

PROMOTE = Finding(Decision.PROMOTE, "suite-succeeded", "it succeeded")
WAIT = Finding(Decision.WAIT, "suite-missing", "it has not reported")
DENY = Finding(Decision.DENY, "suite-failed", "it failed")


@pytest.mark.parametrize(
    ("findings", "decision", "reasons"),
    [
        ((), Decision.PROMOTE, ()),
        ((PROMOTE,), Decision.PROMOTE, (PROMOTE,)),
        ((PROMOTE, WAIT), Decision.WAIT, (WAIT,)),
        ((DENY, WAIT, PROMOTE, DENY), Decision.DENY, (DENY, DENY)),
    ],
)
def test_the_weightiest_finding_decides(
    findings: tuple[Finding, ...], decision: Decision, reasons: tuple[Finding, ...]
) -> None:
    """DENY outweighs WAIT, which outweighs PROMOTE; the reasons are those that weigh the most."""
    verdict = Verdict(findings)
    assert (verdict.decision, verdict.reasons) == (decision, reasons)


def test_a_verdict_is_written_with_all_findings() -> None:
    """A log line says what was decided, and everything that is known."""
    assert str(Verdict((PROMOTE, WAIT))) == "WAIT: it succeeded; it has not reported"


def test_what_findings_rest_on_is_named_once_and_in_one_order() -> None:
    """Two findings that rest on one statement name it once, in whichever order they come."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    first, second = sorted(Basis(digest_of(each), digest_of(each), at) for each in (b"a", b"b"))
    one = Finding(Decision.DENY, "suite-failed", "", basis=(second, first))
    other = Finding(Decision.DENY, "ref-not-allowed", "", basis=(first,))
    assert basis_of((one, other)) == basis_of((other, one)) == [first, second]
