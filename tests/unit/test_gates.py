"""Decisions: every combination of what is known has its verdict and its reasons."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import msgspec
import pytest

from promotion import configuration, gates
from promotion.errors import BadConfiguration
from promotion.events import Outcome, TestResult
from promotion.gates import Standing
from promotion.pipeline import Gate, Promotion, Suite
from promotion.registry.reference import Digest, Reference
from promotion.verdict import Decision

TESTED = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
SOURCE = Reference.parse("gcr.io/acme/fast-feedback/shop:1.4.2")
DESTINATION = Reference.parse("gcr.io/acme/extended-test/shop:1.4.2")
PROMOTION = Promotion("shop", "shop", TESTED, "fast-feedback", "extended-test", SOURCE, DESTINATION)

GATE = Gate(suites=(Suite("functional"),))


def result(outcome: Outcome) -> TestResult:
    """A result of the suite functional."""
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    return TestResult(SOURCE, TESTED, "functional", outcome, moment, moment, url="https://ci/7")


@pytest.mark.parametrize(
    ("outcome", "source", "destination", "decision", "codes"),
    [
        (Outcome.SUCCESS, TESTED, None, Decision.PROMOTE, {"suite-succeeded"}),
        (Outcome.SUCCESS, TESTED, TESTED, Decision.PROMOTE, {"suite-succeeded"}),
        (Outcome.SUCCESS, OTHER, None, Decision.DENY, {"suite-succeeded", "tag-moved"}),
        (Outcome.SUCCESS, None, None, Decision.DENY, {"suite-succeeded", "not-at-source"}),
        (Outcome.SUCCESS, TESTED, OTHER, Decision.DENY, {"suite-succeeded", "tag-conflict"}),
        (Outcome.FAILURE, TESTED, None, Decision.DENY, {"suite-failed"}),
        (
            Outcome.FAILURE,
            OTHER,
            OTHER,
            Decision.DENY,
            {"suite-failed", "tag-moved", "tag-conflict"},
        ),
        (Outcome.CANCEL, TESTED, None, Decision.WAIT, {"suite-inconclusive"}),
        (Outcome.ERROR, TESTED, None, Decision.WAIT, {"suite-inconclusive"}),
        (Outcome.ERROR, OTHER, None, Decision.DENY, {"suite-inconclusive", "tag-moved"}),
    ],
)
def test_every_situation_has_its_verdict(
    outcome: Outcome,
    source: Digest | None,
    destination: Digest | None,
    decision: Decision,
    codes: set[str],
) -> None:
    """The weightiest finding decides, and all of them are kept."""
    verdict = gates.decide(PROMOTION, GATE, result(outcome), Standing(source, destination))
    assert verdict.decision is decision
    assert {finding.code for finding in verdict.findings} == codes


def test_a_verdict_says_why_in_words() -> None:
    """A person reads in the verdict what was tested, what is there now, and what conflicts."""
    standing = Standing(OTHER, OTHER)
    text = str(gates.decide(PROMOTION, GATE, result(Outcome.SUCCESS), standing))
    assert text.startswith("DENY: ")
    assert "the tag moved after the test" in text
    assert text.count(TESTED) == text.count(OTHER) == 2


def test_a_finding_links_to_the_run() -> None:
    """What a suite said leads to where it said it."""
    verdict = gates.decide(PROMOTION, GATE, result(Outcome.FAILURE), Standing(TESTED, None))
    assert verdict.findings[0].url == "https://ci/7"


def test_a_gate_concerns_its_own_suites() -> None:
    """Results of other suites ask for no verdict."""
    assert gates.concerns(GATE, result(Outcome.SUCCESS))
    assert not gates.concerns(Gate(suites=(Suite("nft"),)), result(Outcome.SUCCESS))


@pytest.mark.parametrize(
    ("condition", "key"),
    [
        ("suites: [a, b]", "gate.suites with other than one entry"),
        ("{suites: [a], soak: 4h}", "gate.soak"),
        ("suites: [{suite: a, from: two}]", "gate.suites with from or via"),
        ("suites: [{suite: a, via: projects/p/subscriptions/s}]", "gate.suites with from or via"),
        ("{suites: [a], approvals: 1}", "gate.approvals"),
        ("{suites: [a], alerts: none}", "gate.alerts"),
        ("{suites: [a], freeze: [{from: fri 16:00, to: mon 08:00, reason: r}]}", "gate.freeze"),
    ],
)
def test_what_cannot_be_decided_yet_is_refused_at_start(condition: str, key: str) -> None:
    """A condition that is written down is never silently left out of the decision."""
    gate = condition if condition.startswith("{") else f"{{{condition}}}"
    text = (
        "pipelines: {shop: {stages: {"
        f"one: {{registry: gcr.io/acme, promotes_to: two, gate: {gate}}},"
        "two: {registry: gcr.io/acme}}}}"
    )
    with pytest.raises(BadConfiguration, match=f"shop.stages.one.{key} is not supported yet"):
        gates.check_supported(configuration.parse("promotion.yaml", text))


@pytest.mark.parametrize(
    ("ref", "allowed"),
    [("refs/heads/main", True), ("refs/tags/1.4.2", True), ("refs/heads/x", False), ("", False)],
)
def test_only_some_refs_may_leave(ref: str, allowed: bool) -> None:
    """Refs are matched by globs; a result without one satisfies none."""
    gate = Gate(GATE.suites, refs=("refs/heads/main", "refs/tags/*"))
    ran_on = dataclasses.replace(result(Outcome.SUCCESS), ref=ref)
    verdict = gates.decide(PROMOTION, gate, ran_on, Standing(TESTED, None))
    codes = [finding.code for finding in verdict.findings]
    assert codes == ["suite-succeeded"] + ([] if allowed else ["ref-not-allowed"])
    assert verdict.decision is (Decision.PROMOTE if allowed else Decision.DENY)


@pytest.mark.parametrize(
    ("versions", "order", "tag", "there", "expected"),
    [
        ("semver", "minor", "1.4.2", [], []),
        ("semver", "minor", "1.4.2-rc1", [], ["version-not-allowed"]),
        ("semver", "minor", "main-123", [], ["version-not-allowed"]),
        ("[0-9]+", "minor", "17", [], []),
        ("[0-9]+", "minor", "17b", [], ["version-not-allowed"]),
        ("", "minor", "1.4.2", ["1.4.3"], ["superseded"]),
        ("", "minor", "1.4.2", ["1.4.10"], ["superseded"]),
        ("", "minor", "1.4.10", ["1.4.9"], []),
        ("", "minor", "1.4.2", ["1.5.0", "2.0.0", "latest"], []),
        ("", "strict", "1.4.2", ["1.5.0"], ["superseded"]),
        ("", "any", "1.4.2", ["1.4.3", "9.0.0"], []),
        ("", "strict", "main-123", ["1.5.0"], []),
        ("", "minor", "1.4.3", ["1.4.3-rc1"], []),
    ],
)
def test_versions(
    versions: str, order: str, tag: str, there: list[str], expected: list[str]
) -> None:
    """Only versions of the wanted form leave, and none that the next stage is ahead of."""
    gate = Gate(GATE.suites, versions=versions, order=order)
    promotion = msgspec.structs.replace(
        PROMOTION,
        source=Reference(SOURCE.repository, tag),
        destination=Reference(DESTINATION.repository, tag),
    )
    for at_destination in (None, TESTED):
        standing = Standing(TESTED, at_destination, there)
        verdict = gates.decide(promotion, gate, result(Outcome.SUCCESS), standing)
        found = [finding.code for finding in verdict.findings][1:]
        done = at_destination is not None and expected == ["superseded"]
        assert found == ([] if done else expected)


def test_observing_is_refused_at_start() -> None:
    """A pipeline that is only to be observed is not promoted by mistake."""
    text = "pipelines: {shop: {mode: observe, stages: {one: {registry: gcr.io/acme}}}}"
    with pytest.raises(BadConfiguration, match=r"shop\.mode is not supported yet"):
        gates.check_supported(configuration.parse("promotion.yaml", text))
