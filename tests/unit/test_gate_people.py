"""Decisions that people take part in: approvals, overrides, holds, revocations, promotions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion.evidence.act import Kind
from promotion.gates import Standing
from promotion.gates.overrides import GATES
from promotion.pipeline import Pipeline
from promotion.verdict import Decision, Verdict
from tests.unit.histories import (
    OTHER,
    TESTED,
    Stated,
    act,
    alert,
    at,
    codes,
    deployed,
    judge,
    promoted,
    run,
    shop,
)

STAGE = "extended-test"
ANA, BO, CY = "ana@acme.dev", "bo@acme.dev", "cy@acme.dev"
NEVER_LIFTED = {
    "tag-moved",
    "tag-conflict",
    "not-at-source",
    "no-record",
    "revoked",
    "evidence-overflow",
}

FREE = shop(extended_test="suites: [extended]", entry="any")
APPROVED = shop(extended_test="approvals: 2", entry="any")
LIMITED = shop(extended_test=f"approvals: 2, approvers: [{ANA}, {BO}]", entry="any")
BY_HAND = shop(entry="any", auto=False)
STRICT = shop(
    extended_test="suites: [extended], refs: [main], versions: 'v.*', order: strict, soak: 30m,"
    " alerts: none, approvals: 1, freeze: [{from: sat 10:00, to: sat 11:00, reason: r}]",
    auto=False,
)
PIPELINES = (FREE, APPROVED, LIMITED, BY_HAND, STRICT)

ELSEWHERE: list[dict[str, Any]] = [
    {"stage": "fast-feedback"},
    {"pipeline": "till"},
    {"name": "shop-db"},
    {"of": "stage"},
    {"of": "pipeline"},
]


def judged(pipeline: Pipeline, *stated: Stated, minute: float = 60, **more: Any) -> Verdict:
    """The verdict on the image in the stage that has the gate."""
    return judge(pipeline, *stated, stage=STAGE, now=at(minute), **more)


def approve(author: str, minute: int = 0, expires: int | None = None, **where: Any) -> Stated:
    """An approval."""
    return act(Kind.APPROVE, minute, expires, author=author, **where)


@pytest.mark.parametrize(
    ("pipeline", "stated", "found"),
    [
        (APPROVED, [approve(ANA), approve(BO)], "approved"),
        (APPROVED, [approve(ANA), approve(ANA, 1)], "approvals-missing"),
        (APPROVED, [approve(ANA), approve("Ana@ACME.dev", 1)], "approvals-missing"),
        (APPROVED, [approve(ANA), approve(BO, 0, 60)], "approvals-missing"),
        (APPROVED, [approve(ANA), approve(BO, 0, 61)], "approved"),
        (APPROVED, [approve(ANA), approve(BO, 0, 9), approve(BO, 1)], "approved"),
        (LIMITED, [approve(ANA), approve(CY)], "approvals-missing"),
        (LIMITED, [approve("ANA@acme.dev"), approve(BO)], "approved"),
        *(
            (APPROVED, [approve(ANA), approve(BO, **each)], "approvals-missing")
            for each in ELSEWHERE
        ),
    ],
)
def test_so_many_different_people_must_approve(
    pipeline: Pipeline, stated: list[Stated], found: str
) -> None:
    """Each counts once, for this stage alone, while it has not expired, and if they may."""
    assert codes(judged(pipeline, *stated)) == [found]


def test_approvals_that_are_missing_are_counted_and_named() -> None:
    """A person reads how many there are, by whom, and who may."""
    (finding,) = judged(LIMITED, approve(ANA), approve(CY)).findings
    assert finding.message == (f"1 of 2 approvals for extended-test, by {ANA}; {ANA}, {BO} may")


@pytest.mark.parametrize(
    ("decided", "found"),
    [
        ({}, "promoted-by-hand"),
        ({"to_stage": "prod"}, "promoted-by-hand"),
        ({"to_stage": "elsewhere"}, "needs-promote"),
        ({"expires": 60}, "needs-promote"),
        *((each, "needs-promote") for each in ELSEWHERE),
    ],
)
def test_a_stage_without_auto_waits_for_a_person(decided: dict[str, Any], found: str) -> None:
    """Whoever promotes says so of this image and stage, and of where it goes, or of anywhere."""
    stated = run("extended", stage=STAGE)
    assert codes(judged(BY_HAND, stated)) == ["suite-succeeded", "needs-promote"]
    verdict = judged(BY_HAND, stated, act(Kind.PROMOTE, **decided))
    assert codes(verdict) == ["suite-succeeded", found]


HOLDS: list[dict[str, Any]] = [
    {},
    {"stage": "fast-feedback"},
    {"of": "stage"},
    {"of": "pipeline"},
]


@pytest.mark.parametrize("held", HOLDS)
@pytest.mark.parametrize("released", HOLDS)
def test_what_is_held_waits_until_the_same_is_released(
    held: dict[str, Any], released: dict[str, Any]
) -> None:
    """An image, a stage and a pipeline are each held and released on their own."""
    success = run("extended", stage=STAGE)
    hold, release = act(Kind.HOLD, 5, **held), act(Kind.RELEASE, 6, **released)
    waits = ["suite-succeeded", "held"]
    assert codes(judged(FREE, success, hold)) == waits
    expected = ["suite-succeeded"] if held == released else waits
    assert codes(judged(FREE, success, hold, release)) == expected


@pytest.mark.parametrize("minute", [4, 5])
def test_a_release_lifts_what_was_held_before(minute: int) -> None:
    """Who holds again after a release, or at the same moment, holds."""
    stated = [act(Kind.HOLD, 5), act(Kind.RELEASE, minute)]
    assert "held" in codes(judged(FREE, *stated))


@pytest.mark.parametrize(
    "other",
    [
        {"pipeline": "till"},
        {"name": "shop-db"},
        {"of": "stage", "stage": "fast-feedback"},
        {"of": "stage", "pipeline": "till"},
    ],
)
def test_what_is_held_elsewhere_does_not_wait_here(other: dict[str, Any]) -> None:
    """Another pipeline, image or stage is held on its own."""
    assert judged(FREE, act(Kind.HOLD, **other)) == judged(FREE)


def test_a_hold_ends_at_the_moment_that_is_named() -> None:
    """And not a second before; who holds it, until when and why is said."""
    hold = act(Kind.HOLD, 0, 90, reason="odd figures")
    finding = judged(FREE, hold, minute=90 - 1 / 60).findings[-1]
    assert finding.code == "held"
    assert f"held by {ANA} until 2026-01-31T10:30:00Z: odd figures" in finding.message
    assert "held" not in codes(judged(FREE, hold, minute=90))


@pytest.mark.parametrize(
    ("revoked", "counts"),
    [
        ({}, True),
        ({"stage": "fast-feedback"}, True),
        ({"stage": "prod"}, True),
        ({"expires": 10}, True),
        ({"pipeline": "till"}, False),
        ({"name": "shop-db"}, False),
        ({"of": "stage"}, False),
    ],
)
def test_a_revoked_image_goes_nowhere(revoked: dict[str, Any], counts: bool) -> None:
    """In whichever stage of the pipeline it was said, and for good."""
    verdict = judged(FREE, run("extended", stage=STAGE), act(Kind.REVOKE, **revoked))
    assert codes(verdict) == ["suite-succeeded", *(["revoked"] if counts else [])]
    assert verdict.decision is (Decision.DENY if counts else Decision.PROMOTE)


def test_an_override_is_named_with_all_that_it_is_about() -> None:
    """Author, reason, expiry and what was overridden; the finding rests on the override alone."""
    override = act(Kind.OVERRIDE, 1, 90, gates=("suites",), reason="the suite is broken")
    failure = run("extended", False, stage=STAGE)
    (finding,) = judged(FREE, failure, override).findings
    assert (finding.decision, finding.code) == (Decision.PROMOTE, "overridden")
    assert finding.message == (
        f"{ANA} overrides suites until 2026-01-31T10:30:00Z: the suite is broken; overridden is:"
        " suite extended failed at 2026-01-31T09:00:00Z; a newer success lifts this"
    )
    assert finding.basis == (override.basis,)
    assert codes(judged(FREE, failure, override, minute=90)) == ["suite-failed"]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_an_override_is_for_one_image_in_one_stage(where: dict[str, Any]) -> None:
    """What was overridden of something else, or of a whole stage, changes nothing here."""
    assert judged(FREE, act(Kind.OVERRIDE, gates=tuple(GATES), **where)) == judged(FREE)


def test_each_gate_can_be_overridden_by_its_name() -> None:
    """With all of them an image leaves that none of them let go; without one it stays."""
    stated: list[Stated] = [promoted(), alert(minute=5), act(Kind.HOLD)]
    standing = Standing(TESTED, None, ["1.5.0"])
    verdict = judged(STRICT, *stated, minute=61, standing=standing)
    found = [each for each in codes(verdict) if each != "promoted-here"]
    gates = [name for name, made in GATES.items() if set(made) & set(found)]
    assert set(GATES) - set(gates) == {"refs"}
    for left_out in gates:
        named = tuple(each for each in gates if each != left_out)
        override = act(Kind.OVERRIDE, gates=named)
        verdict = judged(STRICT, *stated, override, minute=61, standing=standing)
        left = [each.code for each in verdict.findings if each.decision is not Decision.PROMOTE]
        assert left
        assert set(left) <= set(GATES[left_out])
    override = act(Kind.OVERRIDE, gates=tuple(gates))
    verdict = judged(STRICT, *stated, override, minute=61, standing=standing)
    assert verdict.decision is Decision.PROMOTE


minutes = st.integers(0, 50)
wheres = st.sampled_from([{}, *ELSEWHERE])
decisions = st.builds(
    lambda kind, minute, length, author, where, gates: act(
        kind, minute, length and minute + length, author=author, gates=tuple(gates), **where
    ),
    st.sampled_from(Kind),
    minutes,
    st.none() | st.integers(1, 30),
    st.sampled_from([ANA, BO, CY]),
    wheres,
    st.lists(st.sampled_from(sorted(GATES)), max_size=3),
)
alerts = st.builds(
    lambda name, start, length, whole: alert(
        name, start, None if length is None else start + length, whole=whole
    ),
    st.sampled_from("123"),
    minutes,
    st.none() | st.integers(0, 20),
    st.booleans(),
)
others = st.one_of(
    st.builds(deployed, minutes),
    st.builds(promoted, minute=minutes),
    st.builds(run, st.just("extended"), st.booleans(), minutes, stage=st.just(STAGE)),
)
histories = st.lists(st.one_of(decisions, decisions, alerts, others), max_size=12)
pipelines = st.sampled_from(PIPELINES)
standings = st.builds(
    Standing,
    st.sampled_from([TESTED, OTHER, None]),
    st.sampled_from([TESTED, OTHER, None]),
    st.sampled_from([(), ("1.4.1", "1.5.0")]),
)


@given(pipelines, histories, st.integers(0, 120), st.data())
def test_the_order_of_arrival_changes_nothing(
    pipeline: Pipeline, history: list[Stated], minute: int, data: st.DataObject
) -> None:
    """In any order, and with anything said twice, the verdict is the same to the last word."""
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    otherwise = data.draw(st.permutations([*history, *again]))
    expected = judged(pipeline, *history, minute=minute)
    assert judged(pipeline, *otherwise, minute=minute) == expected


@given(pipelines, histories, standings, st.booleans(), st.integers(0, 120))
def test_an_override_of_everything_lifts_only_what_it_may(
    pipeline: Pipeline, history: list[Stated], standing: Standing, overflow: bool, minute: int
) -> None:
    """What an image is, where it came from and that it was revoked stand, whoever says what."""
    without = judged(pipeline, *history, minute=minute, standing=standing, overflow=overflow)
    override = act(Kind.OVERRIDE, gates=(*GATES, *NEVER_LIFTED, ""))
    verdict = judged(
        pipeline, *history, override, minute=minute, standing=standing, overflow=overflow
    )
    stand = [each for each in without.findings if each.code in NEVER_LIFTED]
    left = [each for each in verdict.findings if each.decision is not Decision.PROMOTE]
    assert [each for each in left if each.code in NEVER_LIFTED] == stand
    if overflow:
        assert verdict == without
    else:
        assert left == stand


@given(pipelines, histories, st.integers(0, 120))
def test_a_verdict_changes_only_when_something_expires_or_is_over(
    pipeline: Pipeline, history: list[Stated], minute: int
) -> None:
    """Between two whole minutes, at which all in these histories begins and ends, nothing does."""
    before = judged(pipeline, *history, minute=minute)
    assert judged(pipeline, *history, minute=minute + 59 / 60) == before
