"""Decisions: what is stated about an image, and the verdict that follows from it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from promotion import configuration, gates
from promotion.errors import BadConfiguration
from promotion.gates import Standing
from promotion.pipeline import Pipeline, Pipelines
from promotion.verdict import Decision
from tests.unit.histories import OTHER, Stated, codes, judge, promoted, run, shop

PROMOTE, WAIT, DENY = Decision.PROMOTE, Decision.WAIT, Decision.DENY

ONE = shop("suites: [functional]")
THREE = shop("suites: [functional, nft, integration]")

NFT = "projects/acme-ci/subscriptions/nft"
FUNCTIONAL = "projects/acme-ci/subscriptions/functional"
BY_RUNNER = shop(f"suites: [{{suite: functional, via: {FUNCTIONAL}}}, {{suite: nft, via: {NFT}}}]")
RESULTS = "projects/acme-ci/subscriptions/results"
THROUGH_RESULTS = shop(
    f"suites: [functional, {{suite: nft, via: {NFT}}}]", pipeline=f"results: {RESULTS}"
)


@pytest.mark.parametrize(
    ("stated", "decision", "found"),
    [
        ([], WAIT, ["suite-missing"] * 3),
        ([run()], WAIT, ["suite-succeeded", "suite-missing", "suite-missing"]),
        ([run(), run("nft")], WAIT, ["suite-succeeded", "suite-succeeded", "suite-missing"]),
        ([run(), run("nft"), run("integration")], PROMOTE, ["suite-succeeded"] * 3),
        ([run("lint"), run("nft")], WAIT, ["suite-missing", "suite-succeeded", "suite-missing"]),
        (
            [run(), run("nft", passed=False), run("integration")],
            DENY,
            ["suite-succeeded", "suite-failed", "suite-succeeded"],
        ),
        (
            [run("nft", passed=False)],
            DENY,
            ["suite-missing", "suite-failed", "suite-missing"],
        ),
        (
            [run(passed=False), run("nft", passed=False)],
            DENY,
            ["suite-failed", "suite-failed", "suite-missing"],
        ),
    ],
)
def test_all_suites_decide_together(
    stated: list[Stated], decision: Decision, found: list[str]
) -> None:
    """An image leaves when every suite has succeeded; each suite has a finding of its own."""
    verdict = judge(THREE, *stated)
    assert (verdict.decision, codes(verdict)) == (decision, found)


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([(True, 0)], "suite-succeeded"),
        ([(False, 0)], "suite-failed"),
        ([(True, 0), (False, 1)], "suite-failed"),
        ([(False, 0), (True, 1)], "suite-succeeded"),
        ([(True, 1), (False, 0)], "suite-succeeded"),
        ([(True, 0), (False, 1), (True, 2)], "suite-succeeded"),
        ([(False, 0), (True, 1), (False, 2)], "suite-failed"),
        ([(True, 1), (False, 1)], "suite-failed"),
        ([(False, 1), (True, 1)], "suite-failed"),
        ([(False, 1), (True, 1), (True, 2)], "suite-succeeded"),
    ],
)
def test_the_newest_run_of_a_suite_counts(runs: list[tuple[bool, int]], found: str) -> None:
    """The run that ended last counts, however they arrived; a tie goes to the failure."""
    verdict = judge(ONE, *(run(passed=passed, minute=minute) for passed, minute in runs))
    assert codes(verdict) == [found]
    assert verdict.decision is (PROMOTE if found == "suite-succeeded" else DENY)


def test_a_finding_rests_on_the_run_that_decided() -> None:
    """What a suite said leads to the run that said it, and to its statement."""
    failure, success = run(passed=False, minute=1), run(minute=2)
    (denied,) = judge(ONE, run(), failure).findings
    (lifted,) = judge(ONE, run(), failure, success).findings
    assert (denied.url, denied.basis) == (failure.said.url, (failure.basis,))
    assert (lifted.url, lifted.basis) == (success.said.url, (success.basis,))


@pytest.mark.parametrize("passed", [True, False])
def test_of_runs_at_the_same_moment_always_the_same_one_is_named(passed: bool) -> None:
    """Neither the order of arrival nor who signed last decides which statement is named."""
    runs = [run(passed=passed, ref=ref, signature=each) for ref in "ab" for each in range(2)]
    verdicts = [judge(ONE, *order) for order in permutations(runs)]
    assert verdicts == [verdicts[0]] * len(verdicts)


def test_waiting_names_every_missing_signal() -> None:
    """A person reads which suites have yet to report, and from where."""
    text = str(judge(THREE, run("nft")))
    assert text.startswith("WAIT: ")
    assert "suite functional has not reported from fast-feedback" in text
    assert "suite integration has not reported from fast-feedback" in text


def test_a_denial_has_every_reason() -> None:
    """Whoever mends one thing is not told of the next only afterwards."""
    verdict = judge(
        shop("suites: [functional, nft, integration], refs: [refs/heads/main], versions: semver"),
        run(passed=False),
        run("nft", ref="refs/heads/x"),
        version="latest",
        standing=Standing(OTHER, OTHER),
    )
    assert [each.code for each in verdict.reasons] == [
        "suite-failed",
        "ref-not-allowed",
        "version-not-allowed",
        "tag-moved",
        "tag-conflict",
    ]
    assert codes(verdict).count("suite-missing") == 1


@pytest.mark.parametrize(
    ("pipeline", "stated", "found"),
    [
        (BY_RUNNER, [run(subscription=FUNCTIONAL), run("nft", subscription=NFT)], []),
        (
            BY_RUNNER,
            [run(subscription=FUNCTIONAL), run("nft", subscription=FUNCTIONAL)],
            ["nft has not reported from fast-feedback through " + NFT],
        ),
        (BY_RUNNER, [run(), run("nft", subscription=NFT)], ["it did through no subscription"]),
        (
            BY_RUNNER,
            [
                run(subscription=FUNCTIONAL),
                run("nft", subscription=NFT),
                run("nft", passed=False, minute=1, subscription=FUNCTIONAL),
            ],
            [],
        ),
        (THROUGH_RESULTS, [run(subscription=RESULTS), run("nft", subscription=NFT)], []),
        (THROUGH_RESULTS, [run(), run("nft", subscription=NFT)], ["functional has not reported"]),
        (
            THROUGH_RESULTS,
            [run(subscription=RESULTS), run("nft", subscription=RESULTS)],
            [f"through {NFT}, which alone counts; it did through {RESULTS}"],
        ),
    ],
)
def test_a_suite_counts_only_through_the_subscription_that_must_report_it(
    pipeline: Pipeline, stated: list[Stated], found: list[str]
) -> None:
    """The functional runner cannot sign off nft, nor fail it; ``via`` goes before ``results``."""
    verdict = judge(pipeline, *stated)
    assert verdict.decision is (WAIT if found else PROMOTE)
    for text in found:
        assert text in str(verdict)


@pytest.mark.parametrize(
    ("stated", "decision", "found"),
    [
        ([run()], PROMOTE, ["suite-succeeded"]),
        ([], WAIT, ["suite-missing"]),
        ([run(stage="extended-test")], WAIT, ["suite-missing"]),
        ([run(passed=False)], DENY, ["suite-failed"]),
        ([run(), run(passed=False, minute=1, stage="extended-test")], PROMOTE, ["suite-succeeded"]),
    ],
)
def test_a_suite_can_be_that_of_another_stage(
    stated: list[Stated], decision: Decision, found: list[str]
) -> None:
    """A suite with ``from`` counts where it is to run and nowhere else, and is judged once."""
    pipeline = shop(extended_test="suites: [{suite: functional, from: fast-feedback}]")
    verdict = judge(pipeline, promoted(), *stated, stage="extended-test")
    assert (verdict.decision, codes(verdict)) == (decision, ["promoted-here", *found])


@pytest.mark.parametrize(
    "foreign",
    [
        {"pipeline": "till"},
        {"stage": "extended-test"},
        {"name": "shop-db"},
        {"name": "team/shop"},
    ],
)
def test_what_is_said_of_something_else_does_not_count(foreign: dict[str, Any]) -> None:
    """The same digest may be tested elsewhere: nothing follows from that here."""
    assert judge(ONE, run(**foreign)) == judge(ONE)
    assert judge(ONE, run(), run(passed=False, minute=1, **foreign)) == judge(ONE, run())


def test_a_statement_that_contradicts_itself_does_not_count() -> None:
    """The stage that it names and the repository that it is about have to belong together."""
    ran, record = run(), promoted()
    elsewhere = replace(ran, said=replace(ran.said, stage="extended-test"))
    into_prod = replace(record, said=replace(record.said, to_stage="prod"))
    assert codes(judge(ONE, elsewhere)) == ["suite-missing"]
    assert codes(judge(ONE, into_prod, stage="extended-test")) == ["no-record", "suite-missing"]


@pytest.mark.parametrize(
    ("runs", "decision"),
    [
        ([("refs/heads/main", True)], PROMOTE),
        ([("refs/tags/1.4.2", True)], PROMOTE),
        ([("refs/heads/x", True)], DENY),
        ([("refs/heads/main2", True)], DENY),
        ([("REFS/HEADS/MAIN", True)], DENY),
        ([("", True)], DENY),
        ([("refs/heads/main", True), ("refs/heads/x", True)], PROMOTE),
        ([("refs/heads/x", True), ("refs/heads/main", True)], PROMOTE),
        ([("refs/heads/main", True), ("refs/heads/x", False), ("refs/heads/x", True)], DENY),
        ([("refs/heads/x", False), ("refs/heads/main", True), ("refs/heads/x", True)], PROMOTE),
    ],
)
def test_only_some_refs_may_leave(runs: list[tuple[str, bool]], decision: Decision) -> None:
    """Of the successes since the last failure one has to be on an allowed ref, matched by glob."""
    pipeline = shop('suites: [functional], refs: ["refs/heads/main", "refs/tags/*"]')
    stated = [
        run(passed=passed, minute=minute, ref=ref) for minute, (ref, passed) in enumerate(runs)
    ]
    verdict = judge(pipeline, *stated)
    expected = "suite-succeeded" if decision is PROMOTE else "ref-not-allowed"
    assert (verdict.decision, codes(verdict)) == (decision, [expected])


def test_a_ref_that_is_not_known_is_on_no_list() -> None:
    """Not even on one that takes every ref."""
    verdict = judge(shop('suites: [functional], refs: ["*"]'), run(ref=""))
    assert (verdict.decision, codes(verdict)) == (DENY, ["ref-not-allowed"])


def test_a_success_on_an_allowed_ref_has_to_be_newer_than_the_failure() -> None:
    """A tie goes to the failure here too: only what came after it opens the gate."""
    pipeline = shop("suites: [functional], refs: [refs/heads/main]")
    tie = [run(ref="refs/heads/main", minute=1), run(passed=False, minute=1)]
    verdict = judge(pipeline, *tie, run(ref="refs/heads/x", minute=2))
    assert codes(verdict) == ["ref-not-allowed"]


def test_the_newest_run_on_an_allowed_ref_is_named() -> None:
    """The finding rests on a run that may leave, also when a newer one may not."""
    pipeline = shop("suites: [functional], refs: [refs/heads/main]")
    first, second = (run(ref="refs/heads/main", minute=minute) for minute in (1, 2))
    third = run(ref="refs/heads/x", minute=3)
    (finding,) = judge(pipeline, first, second, third).findings
    assert (finding.code, finding.basis) == ("suite-succeeded", (second.basis,))


def test_a_ref_that_may_not_leave_is_named_with_those_that_may() -> None:
    """A person reads which ref it was, or that there was none, and what would do."""
    pipeline = shop("suites: [functional], refs: [refs/heads/main]")
    said = str(judge(pipeline, run(ref="refs/heads/x")))
    assert said == "DENY: suite functional ran on refs/heads/x, and only refs/heads/main may leave"
    assert "ran on a ref that is not known" in str(judge(pipeline, run()))


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ([run(passed=False)], ["suite-failed-upstream"]),
        ([run(), run(passed=False, minute=1)], ["suite-failed-upstream"]),
        ([run(minute=1), run(passed=False, minute=1)], ["suite-failed-upstream"]),
        ([run(passed=False), run(minute=1)], []),
        ([run()], []),
        ([], []),
        ([run("lint", passed=False)], []),
        ([run("functional", passed=False, stage="extended-test")], []),
    ],
)
def test_a_failure_upstream_denies_further_on(stated: list[Stated], found: list[str]) -> None:
    """What an earlier gate asks for may not have failed since; that it succeeded is not asked."""
    extended = run("extended", stage="extended-test", minute=9)
    verdict = judge(ONE, promoted(), extended, *stated, stage="extended-test")
    assert codes(verdict) == ["promoted-here", "suite-succeeded", *found]
    assert verdict.decision is (DENY if found else PROMOTE)


def test_a_failure_upstream_says_where() -> None:
    """A person reads which suite failed in which stage, and what lifts it."""
    said = judge(ONE, promoted(), run(passed=False, minute=7), stage="extended-test").findings[-1]
    assert said.message == (
        "suite functional has failed in fast-feedback at 2026-01-31T09:07:00Z;"
        " a newer success lifts this"
    )
    assert said.url == "https://ci/functional/7/failure"


@pytest.mark.parametrize("stated", [[], [run()], [run(), run("nft", passed=False)]])
@pytest.mark.parametrize("stage", ["fast-feedback", "extended-test"])
def test_nothing_follows_from_statements_that_were_not_all_read(
    stated: list[Stated], stage: str
) -> None:
    """What was cut off may lift a failure or bring one: so the image stays."""
    verdict = judge(THREE, *stated, stage=stage, overflow=True)
    assert (verdict.decision, codes(verdict)) == (DENY, ["evidence-overflow"])
    moved = judge(THREE, *stated, stage=stage, overflow=True, standing=Standing(OTHER, None))
    assert codes(moved) == ["evidence-overflow", "tag-moved"]


def parsed(gate: str, signals: str = "") -> Pipelines:
    """Pipelines whose first gate says this."""
    text = f"""
pipelines:
  shop:
    mode: observe
    results: projects/p/subscriptions/results
    stages:
      one: {{registry: gcr.io/acme, promotes_to: two, gate: {{{gate}}}}}
      two: {{registry: gcr.io/acme, promotes_to: three, gate: {{versions: semver}}}}
      three: {{registry: gcr.io/acme}}
signing: {{key: file.pem}}
{signals}
"""
    return configuration.parse("promotion.yaml", text)


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        ("suites: [a], alerts: none", "alerts: alerts come through signals"),
        ("versions: semver", "suites: without suites nothing is judged but by signals"),
    ],
)
def test_what_nothing_would_ever_judge_is_refused_at_start(gate: str, problem: str) -> None:
    """A condition that is written down is never silently left out of the decision."""
    with pytest.raises(BadConfiguration, match=f"pipelines.shop.stages.one.gate.{problem}"):
        gates.check_supported(parsed(gate))
    gates.check_supported(parsed(gate, "signals: projects/p/subscriptions/signals"))


@pytest.mark.parametrize(
    "conditions",
    [
        "suites: [a, {suite: b, from: two, via: projects/p/subscriptions/s}]",
        "suites: [a], refs: [refs/heads/main], versions: semver, order: strict",
        "suites: [a], soak: 4h, restart_soak_on_alert: true, approvals: 1",
        "suites: [a], freeze: [{from: fri 16:00, to: mon 08:00, reason: r}]",
    ],
)
def test_what_can_be_decided_is_supported(conditions: str) -> None:
    """All else that can be written, also without a subscription for signals."""
    gates.check_supported(parsed(conditions))
